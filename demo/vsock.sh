# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2154 # for and of those who source it
#
# The road of vsock, for the demo's scripts in the guest, which has no module of ours: each
# connection is a channel. The host does not know the guest's users, and
# vhost-device-vsock carries no half-close: a client ends by closing, and says before how
# long an upload is. module.sh has the same names for its road.

channel="vsock connection"
session_options="--no-shutdown --linger=0"
store="manyport connect --no-shutdown put+$FILE_SIZE"

open_road()
{
	modprobe vmw_vsock_virtio_transport
}

show_road()
{
	has_no_module || return
	show manyport list
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

# The kernel does not tell of its vsock connections in /proc. So these are the sockets of all
# processes that run "manyport connect".
show_channels()
{
	local pid fd target

	for pid in $(pidof manyport); do
		grep -q -a connect "/proc/$pid/cmdline" || continue
		for fd in /proc/"$pid"/fd/*; do
			target=$(readlink "$fd")
			! is_channel "$target" || echo "$target of process $pid"
		done
	done
}

count_channels()
{
	show_channels | wc -l
}

# differ_openers LINE LINE: of the service opener.
differ_openers()
{
	case "$1 / $2" in
	*"for somebody in guest demo / "*"for somebody in guest demo") ;;
	*) echo "wrong: the host should not know who opens"; return 1 ;;
	esac
	if [ "$1" = "$2" ]; then
		echo "wrong: these are one process of the host"
		return 1
	fi
}

refused_users()
{
	refuse "not allowed" "su alice -c 'manyport connect admin'" || return
	refuse "not allowed" "manyport connect admin"
}

more_to_try()
{
	cat <<-TEXT
	  manyport connect opener              the host does not know who you are (^C ends it)
	  manyport connect upper               through a program of the host (^C ends it)
	  manyport connect admin               refused for the same reason
	TEXT
}
