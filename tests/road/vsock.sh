#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-vsock, which has no module of ours. TAP.
# shellcheck source=tests/road/cases.sh
road=vsock
. ./cases.sh

echo "1..30"
run 'manyport connect echo </dev/null'
refused 125 ENODEV
ok "without any road: there is no port"

# ---- the loopback transport, to a daemon in here ----

modprobe vsock_loopback && [ ! -e /sys/module/manyport ]
ok "a stock guest with vsock"
manyportd --vsock=7000,cid=1 --vsock=7001,cid=5 --config=inside.conf 2>/tmp/daemon &
daemon=$!
until_true grep -q 'guest inside' /tmp/daemon
export MANYPORT_PORT=vsock:1:7000
cases_of_names
run 'MANYPORT_PORT=vsock:1:7001 manyport connect echo </dev/null'
[ "$got" = 125 ] && grep -q 'refused a connection of the guest with cid 1' /tmp/daemon
ok "the road of another guest"
run 'MANYPORT_PORT=vsock:1:7002 manyport connect echo </dev/null'
refused 125 ENODEV
ok "a port of vsock without a listener is no road"
cases_of_bytes
case_of_a_killed_client
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
run 'manyport forward -L /tmp/redis.sock:redis & forward=$!
	until grep -q forwarding /tmp/err; do usleep 10000; done
	for i in 1 2 3 4 5 6 7 8; do redis-cli -s /tmp/redis.sock incr n; done >/tmp/1 &
	a=$!
	for i in 1 2 3 4 5 6 7 8; do manyport connect --no-input --no-shutdown who+$i; done >/tmp/2 &
	b=$!
	for i in 1 2 3 4 5 6 7 8; do manyport connect alice </dev/null; echo $?; done >/tmp/3 2>/dev/null &
	wait $a $b $!; kill $forward; cat /tmp/1 /tmp/2 /tmp/3'
is_so 0 "$(eight ''; eight 'who '; for _ in 1 2 3 4 5 6 7 8; do echo 126; done)"
ok "three processes at once: Redis, a program, a refusal"
run 'manyport connect --linger=8s --no-shutdown echo <bytes | sha256sum | cut -d" " -f1'
is_so 0 "$bytes"
ok "1,000,000 bytes there and back"
exit $status
