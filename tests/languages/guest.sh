#!/bin/sh
# SPDX-License-Identifier: MIT
# The guest's half of test-languages: the host's programs, on a tree of the host that is read-only.
# shellcheck disable=SC3045 # busybox has it
cd /host || exit 1
for folder in dev proc tmp run; do
	[ -d $folder ] || exit 1
done
mount -o bind /dev dev && mount -t proc proc proc && mount -t tmpfs tmpfs tmp &&
	mount -t tmpfs tmpfs run || exit 1
cp -r /manyport tmp/languages
node=$(readlink -f /dev/virtio-ports/manyport)
chroot . /tmp/languages/manyport forward -p $node -L /run/echo.sock:echo &
while [ ! -S run/echo.sock ]; do
	sleep 1
done
count=0
status=0
# try NAME COMMAND...
try()
{
	name=$1
	shift
	count=$((count + 1))
	if env -i PATH=/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 chroot . timeout 200 "$@" \
		>/tmp/out 2>&1; then
		echo "ok $count - $name"
	else
		sed 's/^/# /' /tmp/out
		echo "not ok $count - $name"
		status=1
	fi
}
echo "1..9"
dir=/tmp/languages
try "sh" /bin/sh $dir/shell.sh $node
try "bash" /bin/bash $dir/shell.sh $node
try "busybox sh" /bin/busybox sh $dir/shell.sh $node
try "Python" /usr/bin/python3 $dir/blocking.py $node
try "Python, asyncio" /usr/bin/python3 $dir/asyncio_.py $node
try "Perl" /usr/bin/perl $dir/perl.pl $node
try "Go" $dir/channel $node
try "Node.js" /usr/bin/node $dir/node.js $node /run/echo.sock
try "Java" /usr/bin/java -cp $dir Channel $node /run/echo.sock
kill $!
exit $status
