#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-both: starts the Debian in /host, with systemd as process 1 of a namespace of its own,
# until a file of it says that the tools are done.
root=/host
cp 90-manyport.rules $root/usr/lib/udev/rules.d/
cp desktop.py $root/srv/
# Without sessions of users (which systemd-logind would have), and without a pointer to move.
echo 'SPICE_VDAGENTD_EXTRA_ARGS="-X -f -u /dev/null"' >$root/etc/default/spice-vdagentd
echo 0123456789abcdef0123456789abcdef >$root/etc/machine-id
# No unit that waits for a terminal, or is of no use here.
for unit in getty.target systemd-logind.service; do
	ln -sf /dev/null $root/etc/systemd/system/$unit
done
mount --bind $root $root
mount --rbind /dev $root/dev
mount -t sysfs sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
mount -t tmpfs tmpfs $root/run
unshare -p -f -m sh -c 'cd /host && mount -t proc proc proc && mount --move . / &&
	exec chroot . /lib/systemd/systemd --unit=multi-user.target --log-target=console --show-status=no' &
systemd=$!
tries=0
until [ -e $root/tmp/done ]; do
	kill -0 $systemd || exit 1
	sleep 0.2
	# A minute without an agent: what systemd thinks of it.
	tries=$((tries + 1))
	[ $tries != 300 ] || pidof qemu-ga || nsenter -t "$(pidof systemd)" -m -p chroot . sh -c \
		'systemctl list-jobs; systemctl --failed; systemctl status qemu-guest-agent *.device; udevadm info -e | grep -A20 vport'
done
