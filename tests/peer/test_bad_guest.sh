#!/bin/sh
# SPDX-License-Identifier: MIT
# Starts a manyportd and lets the bad guest at it. TAP on standard output.
#
#	tests/peer/test_bad_guest.sh [-n COUNT] [-s SEED] [FILE/NAME...]
#
# $O: the build folder (build). $MANYPORTD, $BAD_GUEST: the programs. $RUNNER: what to run
# the daemon under. Arguments go to bad_guest; by default it adds 50 random attacks.

set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
O=${O:-$top/build}
manyportd=${MANYPORTD:-$O/manyportd}
bad_guest=${BAD_GUEST:-$O/tests/peer/bad_guest}

for program in "$manyportd" "$bad_guest"; do
	if [ ! -x "$program" ]; then
		echo "1..0 # SKIP $program is not built"
		exit 77
	fi
done

count=50 seed=1
while getopts n:s: option; do
	case $option in
	n) count=$OPTARG ;;
	s) seed=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

dir=$(mktemp -d)
pid=
cleanup()
{
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || :
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

cat >"$dir/conf" <<CONF
[Guest]
Name=bad
LingerTimeoutSec=1h
ConnectTimeoutSec=60s
MaxChannels=800
MaxChannelsPerUser=500

[Port victim]
Id=1
Kind=multi
MaxChannels=1000

[Port other]
Id=2

[Service echo]
Connect=echo

[Service brief]
Connect=echo
LingerTimeoutSec=500ms

[Service zero]
Connect=zero

[Service pingpong]
Connect=pingpong

[Service cat]
Connect=exec:/bin/cat
CONF

# shellcheck disable=SC2086 # $RUNNER is a command with its arguments.
${RUNNER:-} "$manyportd" --config="$dir/conf" --socket-path="$dir/sock" \
	2>"$dir/log" &
pid=$!

# The last line of its start, or the daemon's end, within a minute: what it holds is counted from then on.
tries=0
until grep -q 'listening on' "$dir/log"; do
	tries=$((tries + 1))
	if [ $tries -gt 6000 ] || ! kill -0 "$pid" 2>/dev/null; then
		sed 's/^/# /' "$dir/log"
		echo "Bail out! the daemon does not start"
		exit 1
	fi
	sleep 0.01
done

status=0
"$bad_guest" -p "$pid" -P 1 -n "$count" -s "$seed" "$dir/sock" "$@" || status=$?

# It also ends as it should, and its log shows no fault of its own.
ended=0
kill "$pid"
wait "$pid" || ended=$?
pid=
if [ $ended -ne 0 ]; then
	echo "# the daemon ended with status $ended"
	status=1
fi
if grep -qE 'runtime error|Sanitizer|assertion' "$dir/log"; then
	status=1
fi
# The log tells the address to an administrator whose guest is slow, or lost its device.
if [ $# -eq 0 ] && ! grep -q 'guest memory at 0x.* is not shared with the daemon' "$dir/log"; then
	echo "# the log names no address that cannot be reached"
	status=1
fi
[ $status -eq 0 ] || tail -n 60 "$dir/log" | sed 's/^/# /'
exit $status
