#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-ssh. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
# shellcheck source=tests/recipes/rate.sh
. ./rate.sh
until_true test -e /dev/virtio-ports/multi || exit 1
until_true test -e /dev/virtio-ports/rev || exit 1
ifconfig lo up
export MANYPORT_PORT=multi
mkdir -p /run/sshd /root/.ssh
grep -q ^sshd: /etc/passwd || echo 'sshd:x:100:65534::/run/sshd:/bin/false' >>/etc/passwd
chmod 600 key host_key
cat >/root/.ssh/config <<END
Host vmhost
ProxyCommand /manyport/manyport connect ssh
IdentityFile /manyport/key
UserKnownHostsFile /manyport/known
User $USER_THERE
BatchMode yes
END

why()
{
	tail -n 8 /tmp/out /tmp/err
}

# run COMMAND: a line of shell, with a limit; its status in $got, what it says in out and err.
run()
{
	timeout $limit sh -c "$1" >/tmp/out 2>/tmp/err
	got=$?
}

said()
{
	[ "$(tr -d '\r' </tmp/out)" = "$1" ]
}

is_big()
{
	[ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$SUM" ]
}

# Those of the first port: the second one has its waiting servers.
channels()
{
	cat /sys/class/manyport/vport0p1/channels
}

no_channels()
{
	[ "$(channels)" = 0 ]
}

plan=7 limit=100
[ -z "$ALL" ] || plan=20 limit=600
echo "1..$plan"

run "git -c protocol.ext.allow=always clone -q 'ext::manyport connect git' /tmp/clone"
[ $got = 0 ] && is_big /tmp/clone/big
ok "git: a clone from git-upload-pack"
run "cd /tmp/clone && git fsck --strict && git rev-parse HEAD"
[ $got = 0 ] && said "$COMMIT"
ok "and it is whole"

run 'ssh vmhost "echo here; exit 7"'
[ $got = 7 ] && said here
ok "ssh: a login, and the status of what it ran"
run "scp vmhost:$HOST/big /tmp/big"
[ $got = 0 ] && is_big /tmp/big
ok "scp from the host"
run "scp /tmp/big vmhost:$HOST/up/big && ssh vmhost sha256sum $HOST/up/big"
[ $got = 0 ] && said "$SUM  $HOST/up/big"
ok "scp to the host"
until_true no_channels
ok "no channel is left"

# ---- from the host ----

cat >/tmp/sshd_config <<END
HostKey /manyport/host_key
AuthorizedKeysFile /manyport/key.pub
StrictModes no
UsePAM no
END
chmod 600 host_key
slot()
{
	while [ ! -e /tmp/stop ]; do
		/usr/sbin/sshd -i -f /tmp/sshd_config <>/dev/virtio-ports/rev >&0 2>>/tmp/slots
	done
}
slot &
slot &
run "manyport connect -n logins+1"
said 1
ok "a login from the host, at a waiting sshd"
if [ -n "$ALL" ]; then
	# shellcheck source=tests/recipes/ssh-more.sh
	. ./ssh-more.sh
fi
touch /tmp/stop
exit $status
