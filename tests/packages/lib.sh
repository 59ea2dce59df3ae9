# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the tests of the packages share; they source it. TAP.
#
#	$dir	a folder of the test's own, removed at the end
#	$root	a fresh Debian (after fresh()): an overlay, whose changes are in $dir/changes, in memory
#	$lower	what it is an overlay of
#
# The test runs in a mount namespace of its own, so its mounts end with it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
if [ -z "${IN_NAMESPACE:-}" ]; then
	export IN_NAMESPACE=1
	exec $([ "$(id -u)" = 0 ] || echo sudo -E) unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@"
fi
O=${O:-build}
count=0
status=0
dir=$(mktemp -d "${TMPDIR:-/tmp}/manyport-packages.XXXXXX")
root=$dir/root
# A make that runs us must not tell our own make what to do.
unset MAKEFLAGS MAKELEVEL MFLAGS

# shellcheck disable=SC2317 # called by the trap
finish()
{
	trap - EXIT
	# What a test left there may still run; it ends with us.
	umount -R -l "$root" 2>/dev/null
	umount -l "$dir/changes" "$dir/cgroup" 2>/dev/null
	rm -rf --one-file-system "$dir"
	exit $status
}
trap finish EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT

# try NAME COMMAND...: passes when COMMAND does, shows what it said when not.
try()
{
	local name=$1

	shift
	count=$((count + 1))
	if "$@" >"$dir/out" 2>&1 </dev/null; then
		echo "ok $count - $name"
	else
		tail -n 40 "$dir/out" | sed 's/^/# /'
		echo "not ok $count - $name"
		status=1
	fi
}

# fresh SUITE|host-SUITE|machine: $root is a fresh Debian of that suite, which has the kernel and DKMS, or git and
# make; or what this machine is.
fresh()
{
	case $1 in
	machine) lower=/ ;;
	host-*) lower=$(tests/world/host-root "${1#host-}")/root || exit 1 ;;
	*) lower=$(tests/world/release-root "$1")/root || exit 1 ;;
	esac
	umount -R "$root" 2>/dev/null
	umount "$dir/changes" 2>/dev/null
	mkdir -p "$dir/changes" "$root" && mount -t tmpfs tmpfs "$dir/changes" &&
		mkdir "$dir/changes/upper" "$dir/changes/work" &&
		mount -t overlay overlay -o "lowerdir=$lower,upperdir=$dir/changes/upper,workdir=$dir/changes/work" \
			"$root" &&
		mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
		mount -t tmpfs tmpfs "$root/tmp" && mount -t tmpfs tmpfs "$root/srv" &&
		mkdir "$root/srv/packages" || exit 1
}

# inside COMMAND...: in $root.
inside()
{
	chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		DEBIAN_FRONTEND=noninteractive "$@"
}

# hand_over FOLDER NAME...: these packages of FOLDER are in /srv/packages of $root, and no others.
hand_over()
{
	local folder=$1 name

	shift
	rm -f "$root"/srv/packages/*
	for name; do
		cp "$folder/${name}"_*.deb "$root/srv/packages/" || return
	done
}

# install_packages FOLDER NAME...: nothing else is missing in $root.
install_packages()
{
	hand_over "$@" &&
		inside sh -c 'apt-get install -qq -y --no-install-recommends /srv/packages/*.deb'
}

# What is in $root and was not there before, or has gone. Each line is a fault, but for what belongs to others:
# logs and caches; dpkg's and apt's own; the key with which DKMS signs for all modules; the copies of
# the files of users.
left_behind()
{
	(cd "$dir/changes/upper" && find . -mindepth 1 -printf '%y %P\n') |
		grep -vE '^. (tmp|srv|root|run|proc|dev)(/|$)|^. var/(log|cache|lib/apt|lib/dpkg)/' |
		grep -vE '^. (var/lib/dkms/mok\.|etc/(passwd|group|shadow|gshadow|subuid|subgid)-$)' |
		while read -r type path; do
			if [ "$type" = c ]; then
				echo "gone: $path"
			elif [ ! -e "$lower/$path" ] && [ ! -L "$lower/$path" ]; then
				echo "left: $path"
			fi
		done
}

nothing_is_left()
{
	left_behind >"$dir/left"
	cat "$dir/left"
	[ ! -s "$dir/left" ]
}
