#!/bin/sh
# SPDX-License-Identifier: MIT
# In a QEMU guest into which the host plugs a device of manyport's and a plain virtio-serial device
# (test-orders). Each argument is an order in which the drivers and the devices come, as
# "module,ours,console,stock"; without "console" the kernel has that driver built in.
# "# host: WORDS" asks the host to act. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
port=/dev/virtio-ports/multi
stock_port=/dev/virtio-ports/stock

why()
{
	echo "the step before: $step"
	for device in /sys/bus/virtio/devices/*; do
		echo "${device##*/}: status $(cat "$device/status"), driver $(driver_of "${device##*/}")"
	done
	dmesg | tail -n 5
}

# The virtio device behind a root port of the PCI bus, as "virtio3", or nothing.
behind()
{
	for path in /sys/bus/pci/devices/0000:00:"$1".0/0000:*/virtio*; do
		[ ! -e "$path" ] || echo "${path##*/}"
	done
}

is_there()
{
	[ -n "$(behind "$1")" ]
}

is_gone()
{
	! ls -d /sys/bus/pci/devices/0000:00:"$1".0/0000:??:00.0 >/tmp/there 2>&1
}

# Each device that is there has the driver that it should have of those that are there, and one
# that no driver has is as the bus left it.
is_right()
{
	if [ "$has_ours" ]; then
		ours=$(behind 10)
		case $has_module,$has_console in
		yes,*) is "$ours" manyport 0f ;;
		,yes) is "$ours" virtio_console 0f ;;
		*) is "$ours" none 01 ;;
		esac || return
	fi
	if [ "$has_stock" ]; then
		stock=$(behind 11)
		if [ "$has_console" ]; then
			is "$stock" virtio_console 0f
		else
			is "$stock" none 01
		fi
	fi
}

# comes WHAT: a driver or a device.
comes()
{
	step=$1
	case $1 in
	module)
		insmod ./manyport.ko || return
		has_module=yes ;;
	console)
		modprobe virtio_console || return
		has_console=yes ;;
	ours)
		echo "# host: plug ours"
		until_true is_there 10 || return
		has_ours=yes ;;
	stock)
		echo "# host: plug stock $count"
		until_true is_there 11 || return
		has_stock=yes ;;
	esac
	until_true is_right
}

goes()
{
	step="no $1"
	case $1 in
	module)
		has_module=
		rmmod manyport ;;
	console)
		[ -n "$has_builtin" ] && return
		has_console=
		rmmod virtio_console ;;
	ours)
		has_ours=
		echo "# host: unplug ours"
		until_true is_gone 10 ;;
	stock)
		has_stock=
		echo "# host: unplug stock"
		until_true is_gone 11 ;;
	esac
}

# Two opens at once, each a channel, and one whose bytes the far end counts.
ours_works()
{
	step="a channel"
	until_true has_port multi && exec 5<>"$port" 6<>"$port" &&
		printf 'echo\0one\n' >&5 && printf 'echo\0two\n' >&6 &&
		read -r line <&6 && [ "$line" = two ] && read -r line <&5 && [ "$line" = one ] &&
		[ "$(head -c $((count + 100000)) /dev/zero | manyport connect count)" = $((count + 100000)) ]
	result=$?
	exec 5>&- 6>&-
	return $result
}

# Opens the stock port, for an order's rest.
stock_works()
{
	step="the stock port"
	until_true has_port stock && exec 4<>$stock_port && read -r line <&4 &&
		[ "$line" = "from the host $count" ] && echo "from the guest $count" >&4
}

all_come()
{
	for what; do
		comes "$what" || return
	done
	ours_works && stock_works
}

# The module alone goes and comes; the stock port is open all the time.
comes_again()
{
	goes module && [ ! -e $port ] && is "$(behind 10)" none 01 && comes module && ours_works &&
		step="the stock port, held open" && echo "again $count" >&4
}

# Before their drivers, and after them.
all_go()
{
	exec 4>&-
	if [ $((count % 4)) = 0 ]; then
		goes ours && goes stock && goes module && goes console
	else
		goes module && goes console && goes stock && goes ours
	fi
}

has_module='' has_console='' has_ours='' has_stock='' has_builtin=''
if [ -e /sys/bus/virtio/drivers/virtio_console ]; then
	has_console=yes has_builtin=yes
fi
echo "1..$(($# * 2 + 1))"
for order; do
	# shellcheck disable=SC2046 # words
	all_come $(echo "$order" | tr , ' ')
	ok "$order: each device is its driver's, and both work"
	comes_again
	ok "$order: the module goes and comes, and both work"
	all_go || break
done
[ -z "$has_ours$has_stock$has_module" ]
ok "all devices are gone, before their drivers and after them"
exit $status
