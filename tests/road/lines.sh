#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-lines, which has no module of ours. TAP.
# shellcheck source=tests/road/cases.sh
road=stream
. ./cases.sh

door=/run/manyport/port
# serve LINE
serve()
{
	manyport serve --door=$door,mode=0666 "$1" 2>>/tmp/daemon &
	serve=$!
	until_true grep -q " 00010000 .* $door\$" /proc/net/unix
}

# works COUNT: that many bytes, there and back.
works()
{
	run "head -c $1 bytes | manyport connect echo | sha256sum | cut -d' ' -f1"
	is_so 0 "$(head -c "$1" bytes | sum)"
}

# cases_of_a_line COUNT
cases_of_a_line()
{
	until_true works 1
	ok "$line: the first byte"
	cases_of_names
	works "$1"
	ok "$line: $1 bytes there and back"
	count_of_each=$(($1 / 5))
	run 'for i in 1 2 3 4; do
			head -c '$count_of_each' bytes | manyport connect echo | sha256sum >/tmp/sum.$i &
			pids="$pids $!"
		done
		wait $pids; cat /tmp/sum.* | cut -d" " -f1 | sort -u'
	is_so 0 "$(head -c $count_of_each bytes | sum)"
	ok "$line: $count_of_each bytes each, four at once"
}

echo "1..22"
modprobe virtio_console 2>/dev/null
until_true test -c /dev/hvc0 && [ ! -e /sys/module/manyport ]
ok "a stock guest with a virtio console"
line=hvc
serve /dev/hvc0
cases_of_a_line 1000000
kill -9 $serve
wait $serve
serve /dev/hvc0
until_true works 1000000
ok "the daemon is killed: the next one works"
kill $serve
wait $serve
ok "and ends well"

# Eleven kilobytes a second.
line=serial
stty -F /dev/ttyS1 115200
serve /dev/ttyS1
cases_of_a_line 50000
kill $serve
wait $serve
ok "and it ends well"
exit $status
