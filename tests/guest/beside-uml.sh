#!/bin/sh
# SPDX-License-Identifier: MIT
# In User Mode Linux (test-beside): there a device that the stock driver has had cannot be known
# any more, so it stays where it is; and it is manyport's when manyport comes first. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
device=$(basename /sys/bus/virtio/devices/virtio*)

port_comes()
{
	until_true has_port multi
}

case $WORLD in
uml-debug)
	echo "1..7"
	insmod ./manyport.ko debug_fail=find_vqs && is "$device" none 80 && rmmod manyport &&
		insmod ./manyport.ko && is "$device" manyport 0f && rmmod manyport
	ok "a start that failed leaves FAILED, and the next one begins with a reset" ;;
*)
	echo "1..6" ;;
esac
insmod ./manyport.ko && modprobe virtio_console && is "$device" manyport 0f && port_comes
ok "manyport first: it has the device, and keeps it"
rmmod manyport && is "$device" none 01 && insmod ./manyport.ko && is "$device" manyport 0f && port_comes &&
	! dmesg | grep -q 'stays with'
ok "unloaded and loaded: it has the device again"
rmmod manyport && echo "$device" >/sys/bus/virtio/drivers_probe && is "$device" virtio_console 0f
ok "unloaded and asked for: the stock driver has it"
insmod ./manyport.ko && is "$device" virtio_console 0f && port_comes &&
	[ "$(dmesg | grep -c 'stays with virtio_console')" = 1 ]
ok "manyport second: the device stays, and one line in the log says why"
! manyport connect echo </dev/null >/tmp/out 2>&1 &&
	grep -q 'virtio_console has /dev/vport.*modprobe manyport' /tmp/out
ok "the command says who has the port, and what to do"
exec 5<>/dev/virtio-ports/multi && printf 'echo\nclassic\n' >&5 && read -r line <&5 &&
	[ "$line" = classic ]
ok "the stock driver's port works"
exec 5>&-
rmmod manyport
rmmod virtio_console
exit $status
