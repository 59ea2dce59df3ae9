#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-run. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
until_true test -e /dev/virtio-ports/manyport || exit 1
ifconfig lo up
mkdir -p /run
run="manyport run -v -L /run/redis.sock:redis -L 6379:redis -L /run/.s.PGSQL.5432:db -L 8080:web"
run="$run -L /run/echo.sock:echo -L @echo:echo -L 7000:echo -L /run/sum.sock:sum -L /run/stuck.sock:stuck"
run="$run -L /run/none.sock:none -L /run/dead.sock:dead -L /run/denied.sock:denied -L 7001:none -L /run/late.sock:late -L 7002:gone"
psql="$POSTGRES/psql -h /run -U postgres -q -A -t -v ON_ERROR_STOP=1"

why()
{
	tail -n 5 /tmp/out /tmp/err
}

# in_run COMMAND...: its output and errors go to files.
in_run()
{
	# shellcheck disable=SC2086 # words
	timeout 100 $run -- "$@" >/tmp/out 2>/tmp/err
}

says()
{
	grep -qE -e "$1" /tmp/out
}

complains()
{
	grep -qE -e "$1" /tmp/err
}

sum_of()
{
	sha256sum <"$1" | cut -d' ' -f1
}

no_channels()
{
	[ "$(cat /sys/class/manyport/*/channels)" = 0 ]
}


in_run redis-cli -s /run/redis.sock ping && says '^PONG$'
ok "redis-cli over a unix socket that is not there"
in_run redis-cli ping && says '^PONG$'
ok "redis-cli over TCP"
[ ! -e /run/redis.sock ]
ok "no socket was made"

# 10 MB each way, counted at the far end.
head -c 10000000 /dev/urandom >/tmp/value
in_run redis-cli -s /run/redis.sock -x set big </tmp/value && says '^OK$' &&
	in_run redis-cli -s /run/redis.sock strlen big && says '^10000000$'
ok "redis-cli: a value of 10 MB arrives"
in_run redis-cli -s /run/redis.sock get big &&
	[ "$(head -c 10000000 /tmp/out | sha256sum | cut -d' ' -f1)" = "$(sum_of /tmp/value)" ]
ok "redis-cli: and comes back"
in_run redis-benchmark -s /run/redis.sock -c 20 -n 500 -t set,get --csv && says '"SET"' && says '"GET"'
ok "redis-benchmark: 20 connections in an epoll loop"

in_run $psql -c 'select 6*7' postgres && says '^42$'
ok "psql: a query"
seq 1 100000 >/tmp/rows
{
	echo 'create table rows (n int);'
	echo '\copy rows from /tmp/rows'
	echo 'select count(*), sum(n) from rows;'
} | in_run $psql postgres && says '^100000\|5000050000$'
ok "psql: \\copy of 100,000 rows arrives"
in_run $psql -c '\copy (select n from rows order by n) to /tmp/back' postgres && cmp -s /tmp/rows /tmp/back
ok "psql: and comes back"
in_run $psql -c "\\c" -c "select 'again'" postgres && says '^again$'
ok "psql: connects again"
in_run "$POSTGRES/pgbench" -h /run -U postgres -i -q postgres &&
	in_run "$POSTGRES/pgbench" -h /run -U postgres -S -c 10 -t 10 -n postgres &&
	says 'actually processed: 100/100'
ok "pgbench: 10 connections in a ppoll loop"
in_run "$POSTGRES/pgbench" -h /run -U postgres -S -c 4 -j 2 -t 10 -n postgres &&
	says 'actually processed: 40/40'
ok "pgbench: two threads"

in_run curl -sS http://127.0.0.1:8080/3000000 && [ "$(wc -c </tmp/out)" = 3000000 ] &&
	[ "$(tr -d x </tmp/out | wc -c)" = 0 ]
ok "curl: a download"
in_run curl -sS --data-binary @/tmp/value http://127.0.0.1:8080/sum && says "^$(sum_of /tmp/value)$"
ok "curl: an upload of 10 MB, and its sum from the far end"
in_run curl -sv http://127.0.0.1:8080/100000 http://127.0.0.1:8080/1 && [ "$(wc -c </tmp/out)" = 100001 ] &&
	complains 'Re-using existing connection'
ok "curl: two requests on one connection"
in_run curl -sS --unix-socket /run/none.sock http://host/1
[ $? = 7 ] && complains 'ENOENT'
ok "curl: a refusal, and the reason with -v"
in_run curl -sS http://127.0.0.1:9/
[ $? = 7 ] && ! complains 'manyport run'
ok "curl: a port that is not configured stays the kernel's"

# Each socket call on a channel, and the same on the socket of a relay: a socket is what they are measured by.
manyport forward -L /run/real.sock:echo -L @real:echo -L 7100:echo -L /run/real-sum.sock:sum -L /run/real-stuck.sock:stuck \
	2>/tmp/forward &
forward=$!
until_true grep -q 'forwarding /run/real-stuck' /tmp/forward
for check in names calls dontwait peek nonblock epoll children threads cancel reuse limits; do
	for address in unix:/run/echo.sock tcp:7000; do
		in_run sockets $check $address
		ok "$check: $address"
	done
	timeout 100 sockets $check unix:/run/real.sock >/tmp/out 2>/tmp/err
	ok "$check: a socket"
done
in_run sockets calls unix:@echo
ok "calls: an abstract socket"
for check in descriptors linger; do
	in_run sockets $check unix:/run/echo.sock
	ok "$check"
done
in_run sockets halves unix:/run/sum.sock
ok "halves"
timeout 100 sockets halves unix:/run/real-sum.sock >/tmp/out 2>/tmp/err
ok "halves: a socket"
in_run sockets full unix:/run/stuck.sock
ok "full"
in_run sockets full-limits unix:/run/stuck.sock
ok "full, with a limit of time"
timeout 100 sockets full-limits unix:/run/real-stuck.sock >/tmp/out 2>/tmp/err
ok "full, with a limit of time: a socket"

for refusal in none=111 dead=111 denied=13; do
	in_run sockets refused "unix:/run/${refusal%=*}.sock=${refusal#*=}"
	ok "refused: $refusal, waiting or not, and the socket is still good"
done
in_run sockets refused tcp:7001=111
ok "refused: over TCP"
in_run sockets late unix:/run/late.sock
ok "late: a connect() that may not wait does not wait for the service"
in_run sockets gone tcp:7002
ok "gone: a refusal that comes late is told once, and the socket connects again"

# The command: statuses, programs that it cannot reach, what it needs.
in_run sockets no-such-check x
[ $? = 2 ]
ok "the program's status is the command's"
in_run sh -c 'exit 7'
[ $? = 7 ] && complains 'is a static program'
ok "a static program runs, with a warning"
in_run sh -c 'redis-cli -s /run/redis.sock ping' && says '^PONG$'
ok "and what it starts has channels"
in_run no-such-program
[ $? = 127 ] && in_run /tmp/value
[ $? = 126 ]
ok "a program that is not there, and one that may not be run"
printf '#!/no/interpreter\n' >/tmp/lost && chmod 755 /tmp/lost
in_run /tmp/lost
[ $? = 127 ] && complains 'the linker or interpreter that it names'
ok "a program whose interpreter is not there"
cp /manyport/manyport /tmp/
/tmp/manyport run -L /run/redis.sock:redis -- redis-cli ping 2>/tmp/err
[ $? = 125 ] && complains 'manyport-run.so is not there'
ok "without its library the command says so"
manyport run -p none -L /run/redis.sock:redis -- redis-cli ping 2>/tmp/err
[ $? = 125 ] && complains 'ENODEV'
ok "without a port, too"
cd /run || exit 1
long=$(printf '%0108d' 0 | tr 0 x)
mkdir "$long" "$long/$long"
(cd "$long" && manyport run -L r.sock:redis -- redis-cli ping 2>/tmp/err)
[ $? = 2 ] && complains "'r.sock:redis': .* no path of a socket"
ok "a relative path that becomes too long is refused"
manyport run -L r.sock:redis -L /run/r.sock:none -- redis-cli ping 2>/tmp/err
[ $? = 2 ] && complains "'/run/r.sock:none': .* given twice"
ok "the same socket twice is refused"
ln -s /dev/virtio-ports node
manyport run -p node/manyport -L r.sock:redis -- sh -c 'cd / && redis-cli -s /run/r.sock ping' >/tmp/out 2>/tmp/err &&
	says '^PONG$'
ok "a relative path of the port and of a socket, and a program that goes elsewhere"
cd / || exit 1
manyport run -L /run/redis.sock,mode=0660:redis -- redis-cli ping 2>/tmp/err
[ $? = 2 ] && complains 'mode'
ok "rights of a socket that there is not are refused"
kill $forward
wait $forward
until_true no_channels
ok "no channel is left"
echo "1..$count"
exit $status
