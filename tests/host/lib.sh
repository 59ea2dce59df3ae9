# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the black-box tests of manyportd share; they source it. Output is TAP.
#
#	$O		where the project was built (default: build)
#	$daemon		the program
#	$dir		a folder of the test's own, removed at the end
#	$front_end	see front_end.c

set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.." || exit 1
O=${O:-build}
daemon=$(realpath "$O/manyportd")
[ -x "$daemon" ] || { echo "1..0 # SKIP no $O/manyportd"; exit 77; }
dir=$(mktemp -d /tmp/manyportd-test.XXXXXX)
export RUNTIME_DIRECTORY=$dir	# for what a keeper that is killed leaves
front_end=$dir/front-end
tests=0
failed=0
children=()

finish()
{
	local status=$?

	trap - EXIT
	# The number of one that has ended may be another process's by now.
	for pid in "${children[@]}"; do
		grep -qsF "$dir" "/proc/$pid/cmdline" && kill "$pid" 2>/dev/null
	done
	wait
	if [ $status = 0 ] && [ "$(find "$dir" -name 'daemon.*' -exec grep -lE \
			'Sanitizer|runtime error' {} +)" ]; then
		echo "# a sanitizer found something:"
		cat "$dir"/daemon.* | sed 's/^/# /'
		status=1
	fi
	rm -rf "$dir"
	echo "1..$tests"
	[ $failed = 0 ] || status=1
	exit $status
}
trap finish EXIT
trap 'exit 143' TERM INT

${CC:-cc} -O1 -D_GNU_SOURCE -o "$front_end" "$here/front_end.c" || exit 1

# ok NAME: passes if the last command did.
ok()
{
	local status=$?

	tests=$((tests + 1))
	if [ $status = 0 ]; then
		echo "ok $tests - $1"
	else
		failed=$((failed + 1))
		echo "not ok $tests - $1"
		[ -f "$dir/out" ] && sed 's/^/# out: /' "$dir/out"
		[ -f "$dir/err" ] && sed 's/^/# err: /' "$dir/err"
	fi
	return 0
}

# run ARG...: the daemon to its end; its status in $status, its words in out and err.
run()
{
	timeout 60 "$daemon" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	cp "$dir/err" "$dir/daemon.err"
}

# says TEXT: on standard error, literally.
says()
{
	grep -qF -- "$1" "$dir/err"
}

# until_true COMMAND...: waits for it to succeed, three minutes at most.
until_true()
{
	local end=$((SECONDS + 180))

	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.02
	done
}

# listens PATH: a socket there takes connections. A server's file is there a moment before it does.
listens()
{
	grep -qE " 00010000 [0-9A-F]+ [0-9A-F]+ +[0-9]+ $1\$" /proc/net/unix
}

# start ARG...: the daemon in the background, on $dir/sock.
start()
{
	: >"$dir/err"
	"$daemon" --socket-path="$dir/sock" "$@" >"$dir/out" 2>"$dir/err" </dev/null &
	pid=$!
	children+=("$pid")
	until_true says "listening on $dir/sock"
}

# has_ended [PROCESS]: the daemon, or that one.
has_ended()
{
	! kill -0 "${1:-$pid}" 2>/dev/null
}

# stop [SIGNAL]: its status in $status.
stop()
{
	kill "-${1:-TERM}" "$pid"
	wait "$pid"
	status=$?
	cat "$dir/err" >>"$dir/daemon.err"
}
