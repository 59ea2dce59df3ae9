#!/bin/bash
# SPDX-License-Identifier: MIT
# Lies over a byte stream, to a running manyportd or to manyport serve. TAP on standard output.
#
#	tests/peer/test_bad_stream.sh [-s SEED] [-t SECONDS] guest|host [LIE...]
#
# $O: the build folder (build). SEED and SECONDS are those of the lies at random (1, and 10).

set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
O=$(readlink -f "${O:-$top/build}")
options=()
while getopts s:t: option; do
	case $option in
	s | t) options+=("-$option" "$OPTARG") ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
side=${1:?guest or host}
shift

for program in manyportd manyport tests/peer/bad_stream; do
	if [ ! -x "$O/$program" ]; then
		echo "1..0 # SKIP $O/$program is not built"
		exit 77
	fi
done

# Memory that was freed must not look like memory that is held.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=4
dir=$(mktemp -d /tmp/bad-stream.XXXXXX)
pid=
cleanup()
{
	[ -z "$pid" ] || kill "$pid" 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# How the lies end; then, what the programs under test have said of themselves.
finish()
{
	local status=$1

	if grep -qE 'runtime error|Sanitizer|[Aa]ssertion' "$dir"/log*; then
		status=1
	fi
	[ "$status" = 0 ] || tail -n 60 "$dir"/log* | sed 's/^/# /'
	exit "$status"
}

if [ "$side" = host ]; then
	"$O/tests/peer/bad_stream" "${options[@]}" host "$O/manyport" "$dir" "$@"
	finish $?
fi

cat >"$dir/conf" <<CONF
[Guest]
Name=bad
LingerTimeoutSec=500ms
ConnectTimeoutSec=120s
MaxChannels=200
MaxChannelsPerUser=150

[Service echo]
Connect=echo

[Service zero]
Connect=zero

[Service keep]
Connect=unix:$dir/keep

[Service busy]
Connect=unix:$dir/busy
CONF

"$O/manyportd" --config="$dir/conf" --stream="unix-listen:$dir/stream" --vsock-unix="$dir/vsock" \
	2>"$dir/log" &
pid=$!

# The last lines of its start, within a minute: what it holds is counted from then on.
tries=0
until grep -q 'serving --stream' "$dir/log" && grep -q 'serving --vsock-unix' "$dir/log"; do
	tries=$((tries + 1))
	if [ $tries -gt 6000 ] || ! kill -0 "$pid" 2>/dev/null; then
		sed 's/^/# /' "$dir/log"
		echo "Bail out! the daemon does not start"
		exit 1
	fi
	sleep 0.01
done

status=0
"$O/tests/peer/bad_stream" "${options[@]}" guest "$pid" "$dir" "$@" || status=$?
ended=0
kill "$pid"
wait "$pid" || ended=$?
pid=
if [ $ended -ne 0 ]; then
	echo "# the daemon ended with status $ended"
	status=1
fi
finish $status
