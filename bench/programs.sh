#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: programs.sh redis|pgbench unix|tcp AMOUNT WHERE...
#
# Runs a real program against its server and prints ops_s=NUMBER, as the client does. AMOUNT: requests
# of redis-benchmark, seconds of pgbench. With unix, WHERE is a folder with the servers' sockets; with
# tcp, an address, redis' port and PostgreSQL's. With "forward NODE COMMAND", COMMAND forward offers
# the services of that port first, in either way; with "run NODE COMMAND", COMMAND run gives them to
# the program itself.
set -eu
program=$1 family=$2 amount=$3
shift 3
through=

if [ "$1" = forward ]; then
	dir=/tmp/forward.$$
	mkdir "$dir"
	ip link set lo up
	"$3" forward -p "$2" -L "unix:$dir/redis.sock:redis" -L 6390:redis \
		-L "unix:$dir/.s.PGSQL.5432:postgres" -L 6432:postgres >"$dir/log" 2>&1 &
	forward=$!
	trap 'kill $forward; wait $forward || true; rm -r "$dir"' EXIT
	while [ "$(grep -c forwarding "$dir/log")" -lt 4 ]; do
		kill -0 $forward
		sleep 0.05
	done
	if [ "$family" = unix ]; then
		set -- "$dir"
	else
		set -- 127.0.0.1 6390 6432
	fi
elif [ "$1" = run ]; then
	through="$3 run -p $2 -L unix:/run/redis.sock:redis -L unix:/run/.s.PGSQL.5432:postgres --"
	set -- /run
fi

run_redis()
{
	if [ "$family" = unix ]; then
		set -- -s "$1/redis.sock"
	else
		set -- -h "$1" -p "$2"
	fi
	# shellcheck disable=SC2086 # a command's words
	$through redis-benchmark "$@" -c 100 -n "$amount" -t set --csv |
		sed -n 's/^"SET","\([0-9.]*\)".*/ops_s=\1/p'
}

# Without the time that its clients take to connect.
run_pgbench()
{
	if [ "$family" = unix ]; then
		set -- -h "$1" -p 5432
	else
		set -- -h "$1" -p "$3"
	fi
	# shellcheck disable=SC2086
	$through "$(ls /usr/lib/postgresql/*/bin/pgbench)" "$@" -U postgres -S -n -c 50 -T "$amount" \
		postgres 2>&1 | sed -n 's/^tps = \([0-9.]*\).*/ops_s=\1/p'
}

run_"$program" "$@"
