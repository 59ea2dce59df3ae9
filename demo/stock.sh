#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC3045 # busybox has read -t
# shellcheck disable=SC2317,SC2154 # called by step; set by eval
#
# The demo inside a guest that has only the stock driver: the port is an ordinary
# virtio-serial port. The status is 0 when that is so.
# shellcheck source=demo/session.sh
. ./session.sh
cd /tmp || exit

node=/dev/vport0p1
port=/sys/class/virtio-ports/${node#/dev/}

ask()
{
	echo "$1" >&3
	heard=
	read -r -t 30 heard <&3
	echo "wrote '$1', read '$heard'"
}

is_ordinary()
{
	show ls -l "$node"
	show readlink "$port"/device/driver
	expect "the driver" "$(basename "$(readlink "$port"/device/driver)")" \
		virtio_console || return
	show cat "$port"/name
	expect "the port's name" "$(cat "$port"/name)" demo
}

# Descriptor 3 has the port, as a program would that knows nothing of channels.
first_line_names()
{
	exec 3<>"$node"
	echo "wrote 'opener' as the first line"
	echo opener >&3
	read -r -t 30 heard <&3
	echo "read '$heard'"
	ask "hello from the stock driver"
	expect "the answer" "$heard" "hello from the stock driver"
}

second_open_is_busy()
{
	local said

	echo "guest# cat $node    (while the other is open)"
	said=$(cat "$node" 2>&1)
	echo "$said"
	exec 3>&-
	case $said in
	*"resource busy"*) note="EBUSY" ;;
	*) return 1 ;;
	esac
}

refusal_closes()
{
	exec 3<>"$node"
	echo "wrote 'nonsuch' as the first line"
	echo nonsuch >&3
	heard=none
	read -r -t 30 heard <&3 && return 1
	expect "what was read" "$heard" "" || return
	echo "read the end: the host has closed the port"
	note="then the next open works"
	exec 3>&-
	exec 3<>"$node"
	echo echo >&3
	ask "and it works again"
	expect "the answer" "$heard" "and it works again" || return
	exec 3>&-
}

step "6 the same port under the stock driver: virtio_console" is_ordinary
step "  the first line names the service" first_line_names
step "  a second open at the same time" second_open_is_busy
step "  a refused name closes the port" refusal_closes
exit "$failed"
