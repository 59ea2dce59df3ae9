#!/bin/sh
# SPDX-License-Identifier: MIT
# As a service of systemd in the guest. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
unit=manyportd@vm1
socket=/run/manyportd/vm1/manyport.sock

why()
{
	tail -n 20 /tmp/survived /tmp/daemon
	systemctl status $unit
}

# property NAME
property()
{
	systemctl show -P "$1" $unit
}

holds_little()
{
	[ "$(property NFileDescriptorStore)" -le 2 ]
}

# survive ROUNDS COMMAND
survive()
{
	./survive $socket 0 "$1" "$2" >/tmp/survived 2>&1 && [ "$(grep -c ^ok /tmp/survived)" = "$1" ]
}

# What the daemon has said, a line of it so often.
said()
{
	[ "$(grep -c -- "$1" /tmp/daemon)" = "$2" ]
}

# reload ROUNDS: while channels are at work, each of which goes on.
reload()
{
	./restarts guest $socket 8 1 /run/far >/tmp/survived 2>&1 &
	guest=$!
	until_true test -e /run/far/ready
	for round in $(seq "$1"); do
		systemctl reload $unit && until_true said 'restart: goes on with 8 channels' "$round" ||
			return 1
	done
	: >/run/far/end
	wait $guest
}

mkdir /run/far
chmod 755 /run/far
ip link set lo up
(umask 0; exec ./restarts serve /run/far >/run/far/port) &
until_true test -s /run/far/port
for service in echo=echo unix=unix:/run/far/unix tcp=unix:/run/far/unix cat=exec:cat; do
	printf '[Service %s]\nConnect=%s\n' "${service%%=*}" "${service#*=}"
done >/etc/manyportd/vm1.conf
echo 1..9
systemctl start $unit && [ -S $socket ]
ok "the unit starts"
# Not more often than StartLimitBurst= allows.
survive 3 "sleep 3; systemctl kill -s KILL $unit"
ok "a daemon that is killed is started again, and goes on with its front end"
[ "$(property NRestarts)" = 3 ]
ok "by systemd"
survive 3 "sleep 3; systemctl restart $unit"
ok "systemctl restart: the next daemon goes on with its front end"
survive 1 "sleep 3; systemctl kill -s SEGV $unit"
ok "a daemon that breaks down is started again, too"
pid=$(property MainPID)
reload 3
ok "systemctl reload: another program goes on with each channel, and each byte comes back"
[ "$(property MainPID)" = "$pid" ] && [ "$(property ActiveState)" = active ]
ok "in the same process"
# What is held of a front end that has gone is dropped: but for the memory that says that there is none,
# and the socket where the next one comes in.
until_true holds_little
ok "systemd holds nothing of a front end that has gone"
systemctl stop $unit && [ "$(property NFileDescriptorStore)" = 0 ] && [ "$(property Result)" = success ]
ok "the end"
[ $status != 0 ] || : >/tmp/good
exit $status
