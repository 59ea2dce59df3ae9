#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-stream, which has no module of ours. TAP.
# shellcheck source=tests/road/cases.sh
road=stream
. ./cases.sh
# shellcheck source=tests/road/node.sh
. ./node.sh

door=/run/manyport/port
# serve [OPTION...]
serve()
{
	manyport serve --door=$door,mode=0666 -L /tmp/redis.sock:redis "$@" 2>>/tmp/daemon &
	serve=$!
	until_true grep -q " 00010000 .* $door\$" /proc/net/unix
}

echo "1..74"
[ -s /etc/passwd ] || cp passwd /etc/passwd
grep -q virtio_console /proc/modules || modprobe virtio_console 2>/dev/null
until_true test -e /sys/class/virtio-ports/vport0p1 && [ ! -e /sys/module/manyport ]
ok "a stock guest with a virtio-serial port"
run 'manyport serve none'
[ "$got" = 1 ] && grep -q "no virtio-serial port 'none'" /tmp/err
ok "a port that is not there"
serve
run 'manyport serve --door=/tmp/second'
[ "$got" = 1 ] && grep -q 'another process has it open' /tmp/err
ok "a port that is in use"
cases_of_names
run 'su alice -c "manyport connect alice </dev/null"'
is_so 0 ''
ok "and is for that user, whom the host is told"
run 'su alice -c "manyport connect claims </dev/null"'
[ "$(sed 's/pid=[0-9]* //' /tmp/out)" = 'uid=1000 gid=1000 comm=manyport' ]
ok "and a program is told so"
[ "$(grep '^Uid:' /proc/$serve/status | tr '\t' ' ')" = 'Uid: 65534 65534 65534 65534' ] &&
	[ "$(grep '^CapEff:' /proc/$serve/status | tr -d '\t ')" = CapEff:0000000000000000 ]
ok "the daemon has no rights left"
cases_of_bytes
case_of_a_killed_client
run 'manyport list'
is_so 0 && grep -q "unix:$door" /tmp/out
ok "the list names the road"
run "printf 'who+line\nrest' | socat -t 60 - UNIX:$door"
is_so 0 "who line
rest"
ok "a program that says the name as a line"
run 'redis-cli -s /tmp/redis.sock incr n'
is_so 0 1
ok "a program that knows nothing of channels, at a socket of one service"
# Three at once: Redis, a program, a refusal, each many times.
run 'for i in 2 3 4 5 6 7 8; do redis-cli -s /tmp/redis.sock incr n; done >/tmp/1 &
	a=$!
	for i in 1 2 3 4 5 6 7 8; do manyport connect who+$i </dev/null; done >/tmp/2 &
	b=$!
	for i in 1 2 3 4 5 6 7 8; do manyport connect alice </dev/null; echo $?; done >/tmp/3 2>/dev/null &
	wait $a $b $!; cat /tmp/1 /tmp/2 /tmp/3'
is_so 0 "$(seq 2 8; eight 'who '; for _ in 1 2 3 4 5 6 7 8; do echo 126; done)"
ok "three processes at once: Redis, a program, a refusal"

# ---- killed in the middle ----

mkfifo /tmp/never
exec 9<>/tmp/never

# load: some channels that move bytes without end, and one that is held.
load()
{
	for i in 1 2; do
		manyport connect echo </dev/zero >/dev/null 2>&1 &
		loads="$loads $!"
	done
	: >/tmp/held
	manyport connect who </tmp/never >>/tmp/held 2>&1 &
	held=$!
	loads="$loads $held"
	until_true grep -q who /tmp/held
}

# are_cut: all of them have ended, and nothing wrong came.
are_cut()
{
	wait $held
	[ "$(head -n 1 /tmp/held)" = who ] || return 1
	for pid in $loads; do
		until_true sh -c "! kill -0 $pid 2>/dev/null" || return 1
	done
	loads=''
}

works()
{
	run 'manyport connect echo <bytes | sha256sum | cut -d" " -f1'
	is_so 0 "$bytes"
}

killed=0
for i in $(seq 20); do
	load
	manyport connect kill </dev/null >/dev/null 2>&1
	are_cut && until_true works || break
	killed=$((killed + 1))
done
[ $killed = 20 ]
ok "the host's daemon is killed 20 times under load: channels end, and new ones work"
killed=0
for i in $(seq 20); do
	load
	kill -9 $serve
	are_cut || break
	wait $serve
	serve
	until_true works || break
	killed=$((killed + 1))
done
[ $killed = 20 ]
ok "so is the guest's"
kill $serve
wait $serve
ok "which ends well"

# ---- a device node ----

run 'manyport serve --node --door='
[ "$got" = 1 ] && grep -q 'the kernel has no CUSE' /tmp/err
ok "no node without CUSE"
serve --node
until_true works && grep -q 'clients have the sockets only' /tmp/daemon
ok "but sockets, where some are asked for"
kill $serve
wait $serve
modprobe cuse
serve --node
until_true test -c $node
cases_of_node
killed=0
for i in 1 2 3 4 5; do
	load
	kill -9 $serve
	are_cut || break
	wait $serve
	[ ! -e $node ] || break
	serve --node
	until_true test -c $node && until_true works || break
	killed=$((killed + 1))
done
[ $killed = 5 ]
ok "the guest's daemon is killed under load: the node goes, channels end, and new ones work"
killed=0
for i in 1 2 3 4 5; do
	load
	manyport connect kill </dev/null >/dev/null 2>&1
	are_cut && until_true works || break
	killed=$((killed + 1))
done
[ $killed = 5 ] && [ -c $node ]
ok "so is the host's: the node stays"
kill $serve
wait $serve && [ ! -e $node ]
ok "the node ends with the daemon"
run 'manyport serve --node=none/such --door='
[ "$got" = 1 ] && grep -q 'not a name for a node' /tmp/err
ok "a node with a wrong name"
exit $status
