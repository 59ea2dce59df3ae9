#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-ssh. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
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
	timeout 200 sh -c "$1" >/tmp/out 2>/tmp/err
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

parallel=5 logins=5
[ -z "$ALL" ] || { parallel=20 logins=100; }
echo "1..15"

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
run "for i in \$(seq $parallel); do ssh -n vmhost echo \$i & done; wait"
[ "$(sort -n /tmp/out)" = "$(seq $parallel)" ]
ok "$parallel logins at once"

run "ssh -M -S /tmp/master -fN -L /tmp/sum:$HOST/sum vmhost >/dev/null 2>&1 &&
	for i in 1 2 3; do ssh -S /tmp/master vmhost echo \$i || exit 1; done"
[ $got = 0 ] && said '1
2
3' && [ "$(channels)" = 1 ]
ok "ssh -M: four sessions are one channel"
run "socat -t 60 - UNIX-CONNECT:/tmp/sum </tmp/big"
said "$SUM  -"
ok "ssh -L: a socket of the host, to the end of the input and back"
run "ssh -S /tmp/master -O exit vmhost" && until_true no_channels
ok "no channel is left"
run "ssh -o ProxyUseFdpass=yes vmhost true"
[ $got = 255 ]
ok "ProxyUseFdpass is no way: the command passes no descriptor"

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
run "manyport connect -n logins+$logins"
said "$(seq $logins)"
ok "two waiting sshd: $logins logins from the host in a row, none is lost"
run "manyport connect -n 'logins+4 at once'"
[ "$(sort -n /tmp/out)" = "$(seq 4)" ]
ok "more clients than servers: the others wait"

# ---- a terminal ----

mkfifo /tmp/keys
timeout 100 manyport connect sh </tmp/keys >/tmp/out 2>/tmp/err &
exec 5>/tmp/keys
seen()
{
	tr -d '\r' </tmp/out | grep -q "$1"
}
echo 'tty' >&5
until_true seen '^/dev/pts/'
ok "script: a terminal of the host"
# In two words, so that the echo of the keys is not taken for it.
echo 'printf "%s\n" beg""un; sleep 1000' >&5
until_true seen '^begun'
printf '\003' >&5
echo 'echo $((6 * 7))' >&5
until_true seen '^42'
ok "^C interrupts"
echo 'stty size' >&5
until_true seen '^0 0'
ok "but it is not told its size"
echo exit >&5
wait $!
touch /tmp/stop
exit $status
