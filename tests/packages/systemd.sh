# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
#
# systemd in $root of lib.sh, for tests of the packages; they source it behind lib.sh.

cgroup=$dir/cgroup/$(basename "$dir")
unshare_pid=
systemd_pid=

# start_systemd [UNIT]: it is process 1 of namespaces of its own, with a branch of the control groups, and $root as
# its root. UNIT is what it starts.
start_systemd()
{
	mkdir -p "$dir/cgroup" && mount -t cgroup2 cgroup2 "$dir/cgroup" &&
		mkdir "$cgroup" && mount -t tmpfs tmpfs "$root/run" || return
	rm -f "$root/usr/sbin/policy-rc.d" && umount -R "$root/dev" &&
		mount -t tmpfs -o mode=755 tmpfs "$root/dev" &&
		cp -a /dev/{null,zero,full,random,urandom,tty,ptmx} "$root/dev/" &&
		mkdir "$root"/dev/{pts,shm,mqueue} && ln -s /proc/self/fd "$root/dev/fd" || return
	echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
	mkfifo "$root/run/started"
	(
		echo "$BASHPID" >"$cgroup/cgroup.procs"
		# shellcheck disable=SC2016 # for the inner shell
		exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin unshare --pid --fork --kill-child \
			--mount --cgroup sh -c 'mount -t proc proc "$1/proc" && mount -t sysfs -o ro sysfs "$1/sys" &&
			mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup" &&
			cd "$1" && pivot_root . . && umount -l . &&
			exec /lib/systemd/systemd --unit="$2" --show-status=no' \
			sh "$root" "${1:-multi-user.target}" >"$dir/systemd.log" 2>&1
	) &
	unshare_pid=$!
	until [ -S "$root/run/systemd/private" ]; do
		kill -0 "$unshare_pid" || { cat "$dir/systemd.log"; return 1; }
		sleep 0.1
	done
	systemd_pid=$(pgrep -P "$unshare_pid") && beside systemctl is-system-running --wait
	beside systemctl list-units --failed
}

# unshare takes no SIGTERM; its namespaces end with their process 1.
end_systemd()
{
	[ -z "$systemd_pid" ] || kill -KILL "$systemd_pid"
	[ -z "$unshare_pid" ] || wait "$unshare_pid"
	find "$cgroup" -depth -type d -exec rmdir {} +
}

# beside COMMAND...: in the Debian that systemd runs.
beside()
{
	nsenter -t "$systemd_pid" -m -p -C -r -w /usr/bin/env -i HOME=/root LANG=C.UTF-8 \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}
