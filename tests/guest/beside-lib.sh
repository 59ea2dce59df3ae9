# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Of a QEMU guest with a device of manyport's and two plain virtio-serial devices (test-beside), for
# the scripts that run there.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh

why()
{
	for device in /sys/bus/virtio/devices/*; do
		echo "${device##*/}: status $(cat "$device/status"), driver $(driver_of "${device##*/}")"
	done
	dmesg | tail -n 5
}

# The virtio device in a slot of the PCI bus, as "virtio3".
in_slot()
{
	name=$(echo /sys/bus/pci/devices/0000:00:"$1".0/virtio*)
	echo "${name##*/}"
}

# foreign_are DRIVER STATUS
foreign_are()
{
	is "$(in_slot 10)" "$1" "$2" && is "$(in_slot 11)" "$1" "$2"
}

# The host has one line for each port, for the first who opens it.
foreign_works()
{
	node=/dev/virtio-ports/foreign$1

	until_true has_port "foreign$1" && exec 4<>"$node" && read -r line <&4 &&
		[ "$line" = "from the host $1" ] && echo "from the guest $1, beside" >&4 &&
		exec 4>&-
}

# Two opens at once, each a channel: only manyport's driver gives them.
ours_works()
{
	until_true has_port multi && exec 5<>"$port" 6<>"$port" &&
		printf 'echo\0one\n' >&5 && printf 'echo\0two\n' >&6 &&
		read -r line <&6 && [ "$line" = two ] && read -r line <&5 && [ "$line" = one ]
	result=$?
	exec 5>&- 6>&-
	return $result
}

# The stock driver's port: one open at a time, named by the first line.
stock_works()
{
	until_true has_port multi && exec 5<>"$port" && printf 'echo\nclassic\n' >&5 &&
		read -r line <&5 && [ "$line" = classic ] && ! (exec 6<>"$port") 2>/dev/null
	result=$?
	exec 5>&-
	return $result
}

says()
{
	[ "$(dmesg | grep -c "$1")" = "$2" ]
}

command_says()
{
	! manyport connect "$@" echo </dev/null >/tmp/out 2>&1 &&
		grep -q 'virtio_console has /dev/vport.*modprobe manyport' /tmp/out
}

replug()
{
	echo 1 >"/sys/bus/pci/devices/0000:00:$1.0/remove"
	echo 1 >/sys/bus/pci/rescan
}

slot_of_ours=
for path in /sys/bus/pci/devices/0000:00:*/virtio*; do
	slot=${path#*0000:00:}
	slot=${slot%%.*}
	case $slot in
	10 | 11) ;;
	*) slot_of_ours=$slot ;;
	esac
done
port=/dev/virtio-ports/multi
ours=$(in_slot "$slot_of_ours")
