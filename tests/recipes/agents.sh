#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-agents. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
# shellcheck source=tests/recipes/rate.sh
. ./rate.sh
until_true test -e /dev/virtio-ports/manyport || exit 1
mkdir -p /run /root && mkdir -m 700 /root/.gnupg
export HOME=/root SSH_AUTH_SOCK=/run/ssh-agent
echo no-autostart >/root/.gnupg/gpg.conf
manyport forward -L /run/ssh-agent:ssh-agent -L /root/.gnupg/S.gpg-agent:gpg-agent 2>/tmp/forward &
forward=$!
until_true grep -q 'S.gpg-agent to' /tmp/forward || exit 1

why()
{
	tail -n 8 /tmp/out /tmp/err /tmp/forward
}

run()
{
	timeout 100 "$@" >/tmp/out 2>/tmp/err
}

# Signs a text of its own, by ssh's agent, and has the signature checked.
signed()
{
	echo "text $1" >"/tmp/text$1"
	ssh-keygen -q -Y sign -f /tmp/key.pub -n file "/tmp/text$1" 2>>/tmp/err &&
		ssh-keygen -q -Y verify -f /tmp/signers -I guest -n file -s "/tmp/text$1.sig" \
			<"/tmp/text$1" >>/tmp/out
}

no_channels()
{
	[ "$(cat /sys/class/manyport/*/channels)" = 0 ]
}

# Called by compare().
rate_ssh()
{
	per_second 10 sh signatures /tmp/key.pub
}

rate_gpg()
{
	per_second 10 sh signatures gpg
}

plan=7
[ -z "$ALL" ] || plan=9
echo "1..$plan"
run ssh-add -L && cp /tmp/out /tmp/key.pub && grep -q 'guest@example' /tmp/key.pub
ok "ssh-add shows the host's key"
echo "guest $(cut -d' ' -f1,2 /tmp/key.pub)" >/tmp/signers
signed 0
ok "ssh-keygen signs with it"
pids=''
for i in 1 2 3 4 5 6 7 8 9 10; do
	signed $i &
	pids="$pids $!"
done
all=0
for pid in $pids; do
	wait "$pid" || all=1
done
[ $all = 0 ]
ok "ten at once"
run gpg --batch --import public.gpg && run gpg --batch --import-ownertrust trust &&
	echo text >/tmp/text && run gpg --batch --yes --detach-sign /tmp/text &&
	run gpg --batch --verify /tmp/text.sig /tmp/text && grep -q 'Good signature' /tmp/err
ok "gpg signs with the host's key"
! find /root/.gnupg/private-keys-v1.d -type f 2>/dev/null | grep -q .
ok "which is not in the guest"
! run gpg --batch --yes --delete-secret-keys "$FINGERPRINT" && grep -q Forbidden /tmp/err
ok "and cannot be deleted from there"
if [ -n "$ALL" ]; then
	compare ssh "signatures a second"
	compare gpg "signatures a second"
fi
until_true no_channels
ok "no channel is left"
kill $forward
wait $forward
exit $status
