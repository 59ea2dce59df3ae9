#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-vsock, which has no module of ours. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
PATH=$PWD:$PATH

why()
{
	tail -n 5 /tmp/out /tmp/err /tmp/daemon
}

# run COMMAND: a line of shell, with a limit; its status in $got, what it says in out and err.
run()
{
	timeout 30 sh -c "$1" >/tmp/out 2>/tmp/err
	got=$?
}

# is_so STATUS [OUTPUT]
is_so()
{
	[ "$got" = "$1" ] || return 1
	[ $# = 1 ] || [ "$(cat /tmp/out)" = "$2" ]
}

# refused STATUS ERROR
refused()
{
	[ "$got" = "$1" ] && grep -q "($2)" /tmp/err
}

sum()
{
	sha256sum | cut -d' ' -f1
}

eight()
{
	for i in 1 2 3 4 5 6 7 8; do
		echo "$1$i"
	done
}

echo "1..30"
bytes=$(sum <bytes)
run 'manyport connect echo </dev/null'
refused 125 ENODEV
ok "without any road: there is no port"

# ---- the loopback transport, to a daemon in here ----

modprobe vsock_loopback && [ ! -e /sys/module/manyport ]
ok "a stock guest with vsock"
"$DAEMON" --vsock=7000,cid=1 --vsock=7001,cid=5 --config=inside.conf 2>/tmp/daemon &
daemon=$!
until_true grep -q 'guest inside' /tmp/daemon
export MANYPORT_PORT=vsock:1:7000
run 'manyport connect who+argument </dev/null'
is_so 0 'who argument'
ok "a program, with its argument"
run 'manyport connect nothing </dev/null'
refused 125 ENOENT
ok "a name that the host does not know"
run 'manyport connect alice </dev/null'
refused 126 EACCES
ok "a service for one user is not for an opener who is not known"
run 'manyport connect claims </dev/null'
is_so 0 'uid= gid= pid= comm='
ok "a program is told that its opener is not known"
run 'manyport connect away </dev/null'
refused 125 ECONNREFUSED
ok "a service that is not there"
run 'manyport connect "$(head -c 300 /dev/zero | tr "\0" x)" </dev/null'
refused 125 ENAMETOOLONG
ok "a name that is too long"
run 'MANYPORT_PORT=vsock:1:7001 manyport connect echo </dev/null'
[ "$got" = 125 ] && grep -q 'refused a connection of the guest with cid 1' /tmp/daemon
ok "the road of another guest"
run 'MANYPORT_PORT=vsock:1:7002 manyport connect echo </dev/null'
refused 125 ENODEV
ok "a port of vsock without a listener is no road"
run 'manyport connect echo <bytes | sha256sum | cut -d" " -f1'
is_so 0 "$bytes"
ok "1,000,000 bytes there and back"
run 'manyport connect who <bytes | tail -n +2 | sha256sum | cut -d" " -f1'
is_so 0 "$bytes"
ok "the same through a program, which ends when its input does"
run 'manyport connect status </dev/null'
is_so 0 'out'
ok "a program that fails: what it said; its status does not travel"
for size in 0 1 4096 65536 1000000; do
	run "head -c $size bytes | manyport connect keep+$size"
	run "manyport connect kept+$size </dev/null | cut -d' ' -f1"
	is_so 0 "$(head -c $size bytes | sum)"
	ok "$size bytes reach the service, and then the end"
done
run 'manyport connect early <bytes | tail -c 7'
is_so 0 'enough' || grep -q enough /tmp/out
ok "a service that takes no more has still said something"
run 'manyport forward -L /tmp/echo.sock:echo & sleep 0.5
	for i in $(seq 20); do manyport connect echo <bytes | sha256sum >/tmp/sum.$i & pids="$pids $!"; done
	wait $pids; kill %1; cat /tmp/sum.* | cut -d" " -f1 | sort -u'
is_so 0 "$bytes"
ok "20 at once, 1,000,000 bytes each, beside a forward"
run 'for i in $(seq 40); do (sleep 6 | manyport connect echo) & done; sleep 3
	manyport connect echo </dev/null; echo $?; wait'
grep -q 125 /tmp/out && grep -q EBUSY /tmp/err
ok "one more than the guest may have is refused"
run 'until manyport connect echo </dev/null; do usleep 200000; done 2>/dev/null'
is_so 0 ''
ok "and has a place when they are gone"
timeout -s KILL 1 manyport connect deaf </dev/zero >/dev/null 2>&1
run 'sleep 4; for i in $(seq 40); do (sleep 3 | manyport connect who) & done; wait'
[ "$(grep -c '^who' /tmp/out)" = 40 ]
ok "a client that was killed beside a service that never ends gives its place back"
run 'manyport list'
is_so 0 && grep -q 'vsock:1:7000' /tmp/out
ok "the list names the road that is meant"
kill $daemon
wait $daemon
ok "the daemon ends well"

# ---- vhost-device-vsock: it carries no half-close, so the ends here are the services' own ----

unset MANYPORT_PORT
modprobe vmw_vsock_virtio_transport
run 'manyport list'
is_so 0 && grep -q 'vsock:28016' /tmp/out
ok "over vhost-device-vsock: the list names the road"
run 'manyport connect --no-input --no-shutdown who+argument'
is_so 0 'who argument'
ok "a program of the host"
run 'manyport connect nothing </dev/null'
refused 125 ENOENT
ok "a name that the host does not know"
# Three at once: Redis, a program, a refusal, each many times.
run 'manyport forward -L /tmp/redis.sock:redis & sleep 0.5
	for i in 1 2 3 4 5 6 7 8; do redis-cli -s /tmp/redis.sock incr n; done >/tmp/1 &
	a=$!
	for i in 1 2 3 4 5 6 7 8; do manyport connect --no-input --no-shutdown who+$i; done >/tmp/2 &
	b=$!
	for i in 1 2 3 4 5 6 7 8; do manyport connect alice </dev/null; echo $?; done >/tmp/3 2>/dev/null &
	wait $a $b $!; kill %1; cat /tmp/1 /tmp/2 /tmp/3'
is_so 0 "$(eight ''; eight 'who '; for _ in 1 2 3 4 5 6 7 8; do echo 126; done)"
ok "three processes at once: Redis, a program, a refusal"
run 'manyport connect --linger=2s --no-shutdown echo <bytes | sha256sum | cut -d" " -f1'
is_so 0 "$bytes"
ok "1,000,000 bytes there and back"
exit $status
