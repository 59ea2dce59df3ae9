# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2154 # for and of those who source it
#
# The road of an ordinary virtio-serial port, for the demo's scripts in the guest, which has no
# module of ours: each connection to the door of "manyport serve" is a channel, and all go
# through that port. The host is told the user of each. module.sh has the same names for its road.

node=/dev/vport0p1
door=/run/manyport/port
channel="connection to $door"
session_options=
store="manyport connect store"

# As manyport-serve.service would: it opens the port and the door as root, which any user may
# enter, and goes on without rights. It listens when it says so.
open_road()
{
	manyport serve --door=$door,mode=0666 org.manyport.0 2>/tmp/serve.log &
	serve=$!
	until grep -q " $door\$" /tmp/serve.log; do
		kill -0 "$serve" 2>/dev/null || { cat /tmp/serve.log; return 1; }
	done
}

show_road()
{
	local user

	has_no_module || return
	show cat "/sys/class/virtio-ports/${node#/dev/}/name"
	show manyport list
	user=$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$serve/status")
	echo "process $serve, user $user: $(tr '\0' ' ' <"/proc/$serve/cmdline")"
	expect "its user" "$user" 65534
}

# is_channel TARGET: of the link that is a descriptor of "manyport connect", which has no
# other sockets.
is_channel()
{
	case $1 in
	socket:*) ;;
	*) return 1 ;;
	esac
}

# Connected sockets with the door's name: the kernel's word for what "manyport serve" holds.
show_channels()
{
	grep " 03 .* $door\$" /proc/net/unix
}

count_channels()
{
	show_channels | wc -l
}

# differ_openers LINE LINE: of the service opener.
differ_openers()
{
	are_alice_and_bob "$@"
}

refused_users()
{
	admin_is_for_root
}

more_to_try()
{
	cat <<-TEXT
	  manyport connect opener              who the host thinks you are (^D ends it)
	  echo hello | manyport connect upper  through a program of the host
	  su alice                             another user; "admin" is not for her
	  cat /tmp/serve.log                   what the guest's daemon had to say
	TEXT
}
