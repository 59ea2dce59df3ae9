# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC3045 # busybox has read -t
# shellcheck disable=SC2034,SC2154,SC3045 # for and of those who source it
#
# What the demo's scripts in the guest share: steps, and conversations with
# services through processes that stay. What differs between the roads to the host is
# in module.sh, vsock.sh and stream.sh.

failed=0

# Centiseconds.
now()
{
	local up rest

	read -r up rest </proc/uptime
	# "1": a leading zero would make it octal.
	echo $((${up%.*} * 100 + 1${up#*.} - 100))
}

# seconds CENTISECONDS
seconds()
{
	printf '%d.%02d' $(($1 / 100)) $(($1 % 100))
}

# step TITLE FUNCTION: the function may set $note, to be shown behind the title.
step()
{
	local begin result=ok

	note=
	begin=$(now)
	echo
	echo "--- $1"
	if ! "$2"; then
		result=FAILED
		failed=1
	fi
	printf '%-6s %8s s    %s%s\n' $result "$(seconds $(($(now) - begin)))" \
		"$1" "${note:+: $note}"
}

# expect WHAT IS SHOULD: says what is wrong, if it is.
expect()
{
	if [ "$2" = "$3" ]; then
		return
	fi
	echo "wrong: $1 is '$2', not '$3'"
	return 1
}

# show COMMAND...: with the line that a user would type.
show()
{
	echo "guest# $*"
	"$@"
}

# start_session NUMBER USER SERVICE: a process of that user with a channel to the
# service; descriptors 2 * NUMBER + 1 and + 2 are its input and output. NUMBER is
# 1 to 3: the shell's descriptors have one digit.
start_session()
{
	rm -f "in$1" "out$1"
	mkfifo "in$1" "out$1"
	su "$2" -c "exec manyport connect $session_options $3" <"in$1" >"out$1" \
		3>&- 4>&- 5>&- 6>&- 7>&- 8>&- &
	eval "pid$1=$!"
	eval "exec $(($1 * 2 + 1))>in$1 $(($1 * 2 + 2))<out$1"
}

say()
{
	eval "echo \"\$2\" >&$(($1 * 2 + 1))"
}

# hear NUMBER: one line of the service, in $heard; waits half a minute at most.
hear()
{
	heard=
	eval "read -r -t 30 heard <&$(($1 * 2 + 2))"
	echo "process $(pid_of "$1") hears: $heard"
}

pid_of()
{
	eval "echo \$pid$1"
}

# What holds the channel, and as what.
show_session()
{
	local pid fd target

	pid=$(pid_of "$1")
	for fd in /proc/"$pid"/fd/*; do
		target=$(readlink "$fd")
		is_channel "$target" || continue
		echo "process $pid, user $(stat -c %U "/proc/$pid"): $(
			)$(tr '\0' ' ' <"/proc/$pid/cmdline"), descriptor $(
			)${fd##*/} is $target"
		return
	done
	echo "process $pid has no channel open"
	return 1
}

# Its input ends, then the service, then the process, with status 0.
end_session()
{
	eval "exec $(($1 * 2 + 1))>&- $(($1 * 2 + 2))<&-"
	wait "$(pid_of "$1")"
	expect "the status of $(pid_of "$1")" $? 0
}
