#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with one device of virtio-fs whose tag is "manyport" (test-fs): the drivers of manyport
# and of file systems, one after the other. $1: "manyport", or "other" when it is a file system. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
device=$(basename /sys/bus/virtio/devices/virtio*)
port=/dev/virtio-ports/multi

mount_it()
{
	mkdir -p /mnt/fs && (cd / && timeout 90 mount -t virtiofs manyport /mnt/fs)
}

# fails COMMAND...: by itself, and not because timeout ended it.
fails()
{
	"$@" 2>/tmp/error
	case $? in
	0 | 124 | 143) return 1 ;;
	esac
	[ -s /tmp/error ]
}

# A mount does not wait for the host's first answer: what comes after it fails.
is_refused()
{
	mount_it && fails timeout 90 ls /mnt/fs && umount /mnt/fs
}

works()
{
	until_true has_port multi && exec 5<>$port 6<>$port && echo echo >&5 && echo echo >&6 &&
		echo five >&5 && echo six >&6 && read -r five <&5 && read -r six <&6 &&
		[ "$five,$six" = five,six ] && exec 5>&- 6>&-
}

gives_to_virtiofs()
{
	echo "$device" >/sys/bus/virtio/drivers_probe && is "$device" virtiofs 0f
}

[ -e /sys/bus/virtio/drivers/virtiofs ] || modprobe virtiofs || exit 1
is_builtin=$(grep -q '^virtiofs ' /proc/modules || echo yes)

if [ "$1" = other ]; then
	echo "1..3"
	is "$device" virtiofs 0f && insmod ./manyport.ko && is "$device" virtiofs 0f &&
		! dmesg | grep -q 'taken from'
	ok "a file system with our tag stays with its driver"
	mount_it && [ "$(cat /mnt/fs/file)" = "from the host" ] && umount /mnt/fs
	ok "and can be mounted"
	mount_it && rmmod manyport && insmod ./manyport.ko && [ -s /mnt/fs/file ] && umount /mnt/fs
	ok "what is mounted is left alone"
	rmmod manyport
	exit $status
fi

echo "1..9"
is "$device" virtiofs 0f && is_refused
ok "who mounts our tag without the module is refused"
echo "$device" >/sys/bus/virtio/drivers/virtiofs/unbind && is "$device" none 01 && gives_to_virtiofs
ok "and the driver can be taken from the device"
insmod ./manyport.ko && is "$device" manyport 0f && dmesg | grep -q 'taken from virtiofs' && works
ok "the module takes the device from virtiofs"
fails mount_it && is "$device" manyport 0f && works
ok "who mounts it now is refused, and disturbs nobody"
rmmod manyport && is "$device" none 01 && gives_to_virtiofs && is_refused
ok "unloaded and asked for: virtiofs has it, and is refused"
insmod ./manyport-debug.ko debug_fail=fs_ask && is "$device" virtiofs 0f &&
	dmesg | grep -q 'does not answer as manyport' && [ ! -e /dev/vport0p1 ] && is_refused
ok "a device that does not answer as manyport goes back to virtiofs"
rmmod manyport && begin=$(cut -d. -f1 /proc/uptime) &&
	insmod ./manyport-debug.ko debug_fail=fs_silent && is "$device" virtiofs 0f &&
	[ $(($(cut -d. -f1 /proc/uptime) - begin)) -ge 1 ] && is_refused
ok "a device that does not answer at all goes back, too"
echo "$device" >/sys/bus/virtio/drivers/manyport/claim && is "$device" manyport 0f && works
ok "and is manyport's when it is asked again"
rmmod manyport
if [ -z "$is_builtin" ]; then
	rmmod virtiofs
	insmod ./manyport.ko && is "$device" manyport 0f && modprobe virtiofs &&
		is "$device" manyport 0f && works
else
	echo "$device" >/sys/bus/virtio/drivers/virtiofs/unbind 2>/dev/null
	insmod ./manyport.ko && is "$device" manyport 0f && works
fi
ok "manyport first: it has the device, and keeps it"
rmmod manyport
exit $status
