# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154
# What ssh.sh does with --all; it sources this file.

# ---- how fast: logins, MB of a file, and logins from the host at a waiting sshd ----

cat >/root/.ssh/network <<END
Host vmhost
HostName 10.0.2.2
Port $PORT
IdentityFile /manyport/key
UserKnownHostsFile /manyport/known
User $USER_THERE
BatchMode yes
END
config_of()
{
	[ "$1" = here ] && echo /root/.ssh/config || echo /root/.ssh/network
}

rate_logins()
{
	per_second 5 sh -ec "for i in 1 2 3 4 5; do ssh -n -F $(config_of "$1") vmhost true; done"
}

rate_scp()
{
	per_second 4 scp -F "$(config_of "$1")" "vmhost:$HOST/big" /tmp/rate-big
}

rate_into()
{
	per_second 10 manyport connect -n logins+10
}

compare logins "logins a second"
compare scp "MB a second"
compare into "logins a second" no-net

run "for i in \$(seq 20); do ssh -n vmhost echo \$i & done; wait"
[ "$(sort -n /tmp/out)" = "$(seq 20)" ]
ok "20 logins at once"
run "ssh -M -S /tmp/master -fN -L /tmp/sum:$HOST/sum vmhost >/dev/null 2>&1 &&
	for i in 1 2 3; do ssh -S /tmp/master vmhost echo \$i || exit 1; done"
[ "$got" = 0 ] && said '1
2
3' && [ "$(channels)" = 1 ]
ok "ssh -M: four sessions are one channel"
run "socat -t 60 - UNIX-CONNECT:/tmp/sum </tmp/big"
said "$SUM  -"
ok "ssh -L: a socket of the host, to the end of the input and back"
run "ssh -S /tmp/master -O exit vmhost" && until_true no_channels
ok "and then no channel is left"
run "ssh -o ProxyUseFdpass=yes vmhost true"
[ "$got" = 255 ]
ok "ProxyUseFdpass is no way: the command passes no descriptor"

run "manyport connect -n logins+100"
said "$(seq 100)"
ok "two waiting sshd: 100 logins from the host in a row, none is lost"
run "manyport connect -n 'logins+4 at once'"
[ "$(sort -n /tmp/out)" = "$(seq 4)" ]
ok "more clients than servers: the others wait"

# ---- a terminal ----

mkfifo /tmp/keys
timeout "$limit" manyport connect sh </tmp/keys >/tmp/out 2>/tmp/err &
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
