#!/bin/sh
# SPDX-License-Identifier: MIT
# The guest's half of bench/run: sets the transports up, then runs the commands that
# come through the port "control", a line each: ID SECONDS COMMAND. The answer is the
# output and a line "end ID STATUS". A command that cannot be killed holds no other up.
# shellcheck disable=SC3045 # busybox has it
ulimit -n 100000
sysctl -q -w net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range='1024 65535'
# After manyport.ko, which takes the one device that is meant for it.
for module in virtio_console virtio_net vmw_vsock_virtio_transport; do
	modprobe "$module" || echo "no $module"
done
# interface MAC ADDRESS MTU
interface()
{
	for net in /sys/class/net/*; do
		[ "$(cat "$net/address")" = "$1" ] || continue
		ip link set "${net##*/}" mtu "$3" up
		ip addr add "$2" dev "${net##*/}"
	done
}
interface 52:54:00:00:00:02 10.0.2.15/24 1500
interface 52:54:00:00:00:03 10.0.3.15/24 65520
control=/dev/virtio-ports/control
while [ ! -e $control ]; do
	sleep 0.1
done
exec 3<>$control
# Channels over an ordinary port, beside all the others.
mkdir -p /run/manyport
manyport serve org.manyport.0 2>/tmp/serve &
# What no relay in the guest can be faster than: this socket, and the port behind it.
bench-server each unix:/run/local >/dev/null &
while [ ! -S /run/manyport/port ] || [ ! -S /run/local ]; do
	sleep 0.1
done
for device in /sys/bus/virtio/devices/*; do
	path=$(readlink -f "$device")
	pci=${path%/*}
	echo "device ${device##*/} ${pci##*/}" >&3
done
for parameter in /sys/module/manyport/parameters/*; do
	echo "parameter ${parameter##*/} $(cat "$parameter")" >&3
done
echo "kernel $(uname -r)" >&3
echo "clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" >&3
cat /proc/interrupts >&3
echo "end ready 0" >&3

while read -r id seconds command <&3; do
	[ "$id" != exit ] || break
	(
		timeout -s KILL "$seconds" sh -c "$command" >"/tmp/$id" 2>&1 </dev/null
		echo "end $id $?" >>"/tmp/$id"
		cat "/tmp/$id" >&3
		rm "/tmp/$id"
	) &
done
exit 0
