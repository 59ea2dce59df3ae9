# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2154 # for and of those who source it
#
# The road of manyport.ko, for the demo's scripts in the guest: the port is a device
# node, each open of it a channel. vsock.sh and stream.sh have the same names for theirs.

node=/dev/vport0p1
channels=/sys/class/manyport/vport0p1/channels
channel="open of $node"
session_options=
store="manyport connect store"

# As a distribution's udev rule would: who may open it is a matter of the node.
open_road()
{
	chgrp shared "$node"
	chmod 660 "$node"
}

show_road()
{
	show ls -l "$node"
}

# is_channel TARGET: of the link that is a process's descriptor.
is_channel()
{
	[ "$1" = "$node" ]
}

show_channels()
{
	show cat "$channels"
}

count_channels()
{
	cat "$channels"
}

# differ_openers LINE LINE: of the service opener.
differ_openers()
{
	are_alice_and_bob "$@"
}

refused_users()
{
	admin_is_for_root || return
	refuse "No such file or directory" "echo nonsuch >$node"
}

more_to_try()
{
	cat <<-TEXT
	  manyport connect opener              who the host thinks you are (^D ends it)
	  echo hello | manyport connect upper  through a program of the host
	  cat $channels
	  su alice                             another user; "admin" is not for her
	  exec 3<>$node; echo date >&3; cat <&3; exec 3>&-
	TEXT
}
