#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-databases. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
# shellcheck source=tests/recipes/rate.sh
. ./rate.sh
until_true test -e /dev/virtio-ports/manyport || exit 1
ifconfig lo up
mkdir -p /run/db
export PATH="$PATH:$PROGRAMS" PGUSER=postgres
manyport forward -L /run/db/.s.PGSQL.5432:db -L 5432:db -L /run/redis.sock:redis -L 6379:redis \
	2>/tmp/forward &
forward=$!
until_true grep -q 'forwarding 6379' /tmp/forward || { cat /tmp/forward; exit 1; }

why()
{
	tail -n 8 /tmp/out /tmp/err /tmp/forward
}

sql()
{
	timeout 300 psql -h /run/db -qtAX -v ON_ERROR_STOP=1 -c "$1" postgres >/tmp/out 2>/tmp/err
}

# pgbench WORD...: fifty clients; the transactions of a second are in $tps.
fifty()
{
	timeout 300 pgbench "$@" -S -n -c 50 postgres >/tmp/out 2>/tmp/err
	[ $? = 0 ] && grep -q '^number of failed transactions: 0 ' /tmp/out || return 1
	tps=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' /tmp/out)
	[ "$tps" -gt 0 ]
}

# hundred WORD...: a hundred clients of redis; the SETs of a second are in $sets.
hundred()
{
	timeout 300 redis-benchmark "$@" -c 100 -n "$SETS" -t set --csv >/tmp/out 2>/tmp/err
	sets=$(sed -n 's/^"SET","\([0-9]*\).*/\1/p' /tmp/out)
	[ "${sets:-0}" -gt 0 ]
}

# Called by compare().
rate_pgbench()
{
	[ "$1" = here ] && set -- -h /run/db || set -- -h 10.0.2.2 -p "$DB"
	fifty "$@" -T 5 && echo "$tps"
}

# Without a relay.
rate_run()
{
	if [ "$1" = net ]; then
		rate_pgbench net
		return
	fi
	timeout 300 manyport run -L /run/db/.s.PGSQL.5432:db -- pgbench -h /run/db -S -n -c 50 -T 5 postgres \
		2>/tmp/err | sed -n 's/^tps = \([0-9]*\).*/\1/p'
}

rate_redis()
{
	[ "$1" = here ] && set -- -s /run/redis.sock || set -- -h 10.0.2.2 -p "$REDIS"
	(SETS=5000 && hundred "$@" && echo "$sets")
}

no_channels()
{
	[ "$(cat /sys/class/manyport/*/channels)" = 0 ]
}

plan=10
[ -z "$ALL" ] || plan=13
echo "1..$plan"
sql "CREATE TABLE t AS SELECT n, md5(n::text) AS sum FROM generate_series(1, $ROWS) AS n" &&
	sql '\copy t TO /tmp/rows' && [ "$(wc -l </tmp/rows)" = "$ROWS" ]
ok "psql: $ROWS rows arrive"
sql 'CREATE TABLE back (LIKE t)' && sql '\copy back FROM /tmp/rows' &&
	sql 'SELECT count(*) FROM t JOIN back USING (n, sum)' && [ "$(cat /tmp/out)" = "$ROWS" ]
ok "psql: and are the same when they are sent back"
psql -h /run/db -c 'SELECT pg_sleep(100)' postgres >/dev/null 2>/tmp/sleeper &
sleeper=$!
# A cancel is a connection of its own. The division fails until the server has the statement.
until_true sql "SELECT 1 / count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
kill -INT $sleeper
wait $sleeper
grep -q 'canceling statement' /tmp/sleeper
ok "psql: a statement is cancelled"
fifty -h /run/db -T "$SECONDS_EACH"
ok "pgbench -S -c 50 over a unix socket: no transaction fails"
fifty -h 127.0.0.1 -T "$SECONDS_EACH"
ok "pgbench -S -c 50 over TCP: no transaction fails"
hundred -s /run/redis.sock
ok "redis-benchmark -c 100 over a unix socket"
hundred -h 127.0.0.1
ok "redis-benchmark -c 100 over TCP"
seq "$SETS" | sed 's/.*/SET key:& &/' | redis-cli -s /run/redis.sock --pipe >/tmp/out 2>/tmp/err &&
	grep -q "errors: 0, replies: $SETS" /tmp/out
ok "redis-cli --pipe: $SETS commands, no error"
head -c 10000000 /dev/urandom >/tmp/big
redis-cli -s /run/redis.sock -x SET big </tmp/big >/tmp/out 2>/tmp/err &&
	redis-cli -s /run/redis.sock --raw GET big | head -c 10000000 | cmp - /tmp/big
ok "redis-cli: a value of 10 MB comes back as it was"
if [ -n "$ALL" ]; then
	compare pgbench "transactions a second of 50 clients"
	compare run "transactions a second of 50 clients of manyport run"
	compare redis "SETs a second of 100 clients"
fi
until_true no_channels
ok "no channel is left"
kill $forward
wait $forward
exit $status
