#!/bin/sh
# SPDX-License-Identifier: MIT
# As a service of systemd in the guest. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
unit=manyportd@vm1
socket=/run/manyportd/vm1/manyport.sock

why()
{
	tail -n 20 /tmp/survived
	systemctl status $unit
}

# property NAME
property()
{
	systemctl show -P "$1" $unit
}

holds_little()
{
	[ "$(property NFileDescriptorStore)" -le 1 ]
}

# survive ROUNDS COMMAND
survive()
{
	./survive $socket 0 "$1" "$2" >/tmp/survived 2>&1 && [ "$(grep -c ^ok /tmp/survived)" = "$1" ]
}

echo 1..7
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
# What is held of a front end that has gone is dropped: but for the memory that says that there is none.
until_true holds_little
ok "systemd holds nothing of a front end that has gone"
systemctl stop $unit && [ "$(property NFileDescriptorStore)" = 0 ] && [ "$(property Result)" = success ]
ok "the end"
[ $status != 0 ] || : >/tmp/good
exit $status
