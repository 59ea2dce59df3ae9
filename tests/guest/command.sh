#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-command: the command in the hands of a shell. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
PATH=$PWD:$PATH
port=/dev/virtio-ports/multi

why()
{
	tail -n 5 /tmp/out
	tail -n 5 /tmp/err
}

# run COMMAND: a line of shell, with a limit; its status in $got, what it says in out and err.
run()
{
	timeout 120 sh -c "$1" >/tmp/out 2>/tmp/err
	got=$?
}

# ended STATUS [WORDS]: what run() ran did, and said the words on standard error (without: nothing).
ended()
{
	if [ "$got" != "$1" ]; then
		echo "status $got" >>/tmp/err
		return 1
	elif [ $# = 1 ]; then
		[ ! -s /tmp/err ]
	else
		grep -q -- "$2" /tmp/err
	fi
}

said()
{
	[ "$(cat /tmp/out)" = "$1" ]
}

load()
{
	insmod ./manyport.ko && until_true has_port multi
}

echo "1..59"
load && modprobe virtio_console
ok "the module and the stock driver"

# ---- standard files that are closed, full or nowhere ----

run 'manyport connect date <&-'
ended 0 && [ -s /tmp/out ]
ok "closed input is empty"
run 'manyport connect echo <&-'
ended 0 && said ''
ok "nothing of it comes back"
run 'manyport connect date >&-'
ended 1 'standard output: Bad file descriptor'
ok "closed output refuses what is to be written"
run 'echo text | manyport connect echo >&-'
ended 1 'standard output: Bad file descriptor'
ok "and what was echoed"
run 'manyport connect date 2>&-' && ended 0 && [ -s /tmp/out ]
ok "closed standard error disturbs nobody"
run 'manyport connect echo <&- >&-; echo $?; manyport connect date <&- >&- 2>&-; echo $?'
said '0
1'
ok "all of them"
run 'manyport connect date </dev/null && manyport connect echo </dev/null'
ended 0 && [ -s /tmp/out ]
ok "nothing as input"
run 'manyport connect echo </dev/full | head -c 100000 | wc -c'
said 100000
ok "input without end, until its output is closed"
run 'manyport connect date </dev/full'
ended 1 EPIPE
ok "input without end, of which the service takes nothing"
run 'manyport connect date >/dev/full'
ended 1 'standard output: No space left'
ok "a full disk"
run 'manyport list >/dev/full'
ended 1 'standard output: No space left'
ok "a full disk under the output of list"
run 'manyport connect date 0<>/dev/null'
ended 0 && [ -s /tmp/out ]
ok "input that could be written"
# The service speaks first, and keeps what it is told: nothing.
run 'for files in "<&-" ">&-" "<&- >&-" "<&- >&- 2>&-"; do
	eval "manyport connect record $files" </dev/null; done; manyport connect -n recorded'
case $(cat /tmp/out) in *2000'
0 '*) true ;; *) false ;; esac
ok "nothing that the command reads or says goes into its own channel"

# ---- input ----

run 'printf "%s\n" a b c | while read -r line; do manyport connect -n who; echo $line; done'
ended 0 && said '0
a
0
b
0
c'
ok "-n leaves the input to a loop"
run 'seq 5 | { manyport connect -n who; cat; } | wc -l'
said 6
ok "and to who comes next"
# Times that count are longer than a busy machine stops a process for.
run 'printf "question\n" | manyport connect --linger=8s shy'
ended 0 && said aborted
ok "the end of the input is told, and --linger ends a service that does not"
run 'printf "question\n" | manyport connect --no-shutdown --linger=1h patient & connect=$!
	manyport connect -n answer; wait $connect'
ended 0 && said 'answer question'
ok "--no-shutdown does not tell it"
run 'manyport connect -n --linger=8s slow'
ended 0 && said '1
2
3
4
5
6'
ok "--linger counts from the last byte"
# More than the socket of the service takes before the service has begun to read.
head -c 20000000 /dev/zero >/tmp/input
run 'for i in $(seq 30); do manyport connect take </tmp/input 2>/dev/null; echo $?; done | sort | uniq -c | tr -s " "'
said ' 30 1'
ok "input that is not taken is an error, each of thirty times"
mkfifo /tmp/never
exec 7<>/tmp/never
run 'manyport connect who </tmp/never'
ended 0 && said 0
ok "input that never comes is none"

# ---- waiting ----

run 'manyport connect -n late'
ended 125 ECONNREFUSED
ok "nobody listens"
run 'manyport connect -n --wait=8s late'
ended 125 'waiting: .*ECONNREFUSED'
ok "--wait=TIME gives up"
run 'manyport connect -n --wait late & connect=$!
	until grep -q waiting /tmp/err; do usleep 10000; done
	manyport connect -n begin; wait $connect'
ended 0 'waiting: .*ECONNREFUSED' && said served
ok "--wait until somebody listens"
run 'manyport connect -n --wait nothing'
ended 125 '^manyport: no channel .*ENOENT'
ok "but not for a service that the host does not know"
run 'manyport connect -n --wait denied'
ended 126 '^manyport: no channel .*EACCES'
ok "nor for one that is not allowed"
rmmod manyport
(timeout 120 manyport connect -n --wait who >/tmp/out 2>/tmp/err; echo $? >/tmp/status) &
until_true grep -q 'waiting: .*ENODEV' /tmp/err
load
wait $!
[ "$(cat /tmp/status)" = 0 ] && said 0
ok "--wait until there is a port"

# ---- the status of a program ----

# Said to the last byte, and the status is its own: then the command says nothing.
for n in 0 1 2 3 125 126 255; do
	run "manyport connect -n end+$n"
	ended $n && said "out $n"
	ok "a program that ends with $n"
done
run 'manyport connect -n killed'
ended 137 && said out
ok "one that dies by signal 9"
run 'manyport connect end+3 </tmp/input'
ended 3 && said 'out 3'
ok "one that does not take its input"
run 'manyport connect -n quiet'
ended 4 && said out
ok "one that closes its files long before it ends"
run 'manyport connect -n --linger=1m end+5'
ended 5 && said 'out 5'
ok "--linger does not hide it"
run 'manyport connect -n good'
ended 0 && said out
ok "a status that the host takes for a good one is 0"
run 'manyport connect -n -p program'
ended 6 && said out
ok "the program of a port with a fixed service"

# ---- pipelines ----

bad=0
for round in $(seq "$ROUNDS"); do
	while read -r size sum; do
		run "manyport connect -n fetch+$size | manyport connect pass | manyport connect sum"
		ended 0 && said "$sum  -" || { bad=1; echo "# round $round, $size bytes"; why; }
	done <sums
done
[ $bad = 0 ]
ok "each byte through three commands in a row"

# ---- a plain descriptor of a channel ----

exec 5<>$port
echo take >&5
run 'cat /tmp/input >&5; echo $?; echo text >&5; echo $?'
said '1
1' && grep -q 'Broken pipe' /tmp/err
ok "a write to a service that has gone fails with EPIPE, without a signal"
exec 5>&-

# ---- a service that moves ----

exec 5<>$port
echo agent >&5
read -r agent <&5
run 'manyport connect -n move+two && manyport connect -n agent'
ended 0 && said two && [ "$agent" = one ]
ok "an agent's path is looked up at each connect"
echo still >&5
read -r agent <&5
[ "$agent" = still ]
ok "and who is connected stays with the old one"
exec 5>&-
run 'manyport connect -n remove; manyport connect -n agent'
ended 125 ECONNREFUSED
ok "where nothing is, nobody listens"
run 'manyport connect -n move+one && manyport connect -n agent'
ended 0 && said one
ok "and when it is back, it answers"

# ---- a port with a fixed service ----

run 'for i in 1 2 3 4 5 6 7 8 9 10; do manyport connect -n client+$i; done &
	for i in 1 2 3 4 5 6 7 8 9 10; do manyport connect -p slots </tmp/never; done'
ended 0 && said '1
2
3
4
5
6
7
8
9
10'
ok "who ends with its client takes no other along"
run 'manyport connect -p fixed </tmp/input | cmp - /tmp/input'
ended 0
ok "a fixed service has no name"

# ---- the stock driver's port ----

stock=/dev/$(basename /sys/class/virtio-ports/vport*)
exec 6<>"$stock"
run 'manyport list'
ended 0 && grep -q "^$stock *classic" /tmp/out
ok "a stock port that is in use is listed for what it is: nobody opens it"
exec 6>&-

# ---- sockets of others ----

listening()
{
	grep -q "forwarding $1" /tmp/forward
}

manyport forward -L /tmp/mine:who -L /tmp/all,mode=0666:who -L /tmp/root,mode=0666:root \
	-L 7777:who 2>/tmp/forward &
forward=$!
until_true listening 7777
run 'su alice -c "socat -u UNIX-CONNECT:/tmp/mine -"'
ended 1 'Permission denied'
ok "another user may not connect, unless it is said"
run 'su alice -c "socat -u UNIX-CONNECT:/tmp/all -"'
said 0
ok "mode= says it; the channel is the forwarder's"
kill $forward
wait $forward
ok "SIGTERM ends it"
[ ! -e /tmp/mine ] && [ ! -e /tmp/all ]
ok "and its sockets are gone"

# The service lets in alice only, and root runs the forwarder.
manyport forward --as-client -L /tmp/theirs,mode=0666:alice -L /tmp/whose,mode=0666:who \
	2>/tmp/forward &
forward=$!
until_true listening /tmp/whose
run 'su alice -c "socat -u UNIX-CONNECT:/tmp/theirs -"'
said 1000
ok "--as-client: the channel is hers who connected, and the service lets her in"
run 'su bob -c "socat -u UNIX-CONNECT:/tmp/theirs -"'
said '' && grep -q "'alice'.*EACCES" /tmp/forward
ok "another user is refused"
run 'socat -u UNIX-CONNECT:/tmp/theirs -'
said '' && [ "$(grep -c "'alice'.*EACCES" /tmp/forward)" = 2 ]
ok "and so is the forwarder's own"
run 'for user in bob alice root; do su $user -c "socat -u UNIX-CONNECT:/tmp/whose -"; done'
said '1001
1000
0'
ok "each has a channel of his own"
kill $forward
wait $forward
# Without the capabilities a forwarder can speak for its own user only.
chmod 0666 $port
su bob -c "exec manyport forward --as-client -L /tmp/bobs,mode=0666:who" 2>/tmp/forward &
forward=$!
until_true listening /tmp/bobs
run 'su bob -c "socat -u UNIX-CONNECT:/tmp/bobs -"'
said 1001
ok "who has no capabilities forwards for himself"
run 'su alice -c "socat -u UNIX-CONNECT:/tmp/bobs -"'
said '' && grep -q EPERM /tmp/forward
ok "and for nobody else"
kill $forward
wait $forward

run 'rmmod manyport'
exit $status
