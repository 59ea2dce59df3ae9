#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-storage. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
# shellcheck source=tests/recipes/rate.sh
. ./rate.sh
until_true test -e /dev/virtio-ports/manyport || exit 1
mkdir -p /run
export RSYNC_CONNECT_PROG='manyport connect rsync'
manyport forward -L /run/nbd.sock:nbd 2>/tmp/forward &
forward=$!
until_true grep -q 'forwarding' /tmp/forward || exit 1

why()
{
	tail -n 8 /tmp/out /tmp/err /tmp/forward
}

sync_files()
{
	timeout 300 rsync -a --stats "$@" >/tmp/out 2>/tmp/err
}

# Of what rsync said: NAME's number.
stat_of()
{
	sed -n "s/^$1: \([0-9,]*\).*/\1/p" /tmp/out | tr -d ,
}

# same HERE THERE: both folders have the same files.
same()
{
	here=$(cd "$1" && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum)
	[ "$here" = "$(timeout 100 manyport connect -n "sum+$2")" ]
}

# Spoils some bytes in a hundred places.
touch_up()
{
	i=0
	while [ $i -lt 100 ]; do
		printf 'changed %d' $i | dd of="$1" bs=1 seek=$((SIZE / 100 * i)) conv=notrunc 2>/dev/null
		i=$((i + 1))
	done
}

no_channels()
{
	[ "$(cat /sys/class/manyport/*/channels)" = 0 ]
}

# Called by compare(). MB of one file, which is written over; reads of a disk by blocks of 4 KiB.
rate_rsync()
{
	at=rsync://host
	[ "$1" = here ] || { unset RSYNC_CONNECT_PROG && at=rsync://10.0.2.2:$RSYNC; }
	per_second 20 rsync --inplace --ignore-times --whole-file $at/rate/big /tmp/rate-file
	export RSYNC_CONNECT_PROG='manyport connect rsync'
}

rate_nbd()
{
	[ "$1" = here ] && at='nbd+unix:///?socket=/run/nbd.sock' || at=nbd://10.0.2.2:$NBD
	(cd /tmp && timeout 200 fio --name=rate --ioengine=nbd --uri="$at" --rw=randread --bs=4k --iodepth=16 \
		--size="${DISK}M" --runtime=5 --time_based --output-format=terse 2>/tmp/err) | cut -s -d';' -f8
}

plan=8
[ -z "$ALL" ] || plan=10
echo "1..$plan"
mkdir /tmp/here
sync_files rsync://host/files/ /tmp/here/ && same /tmp/here .
ok "rsync: 201 files arrive"
touch_up /tmp/here/big
sync_files --no-whole-file --inplace /tmp/here/ rsync://host/files/ && same /tmp/here . &&
	[ "$(stat_of 'Literal data')" -lt $((SIZE / 4)) ]
ok "rsync: a file that was changed in a hundred places goes back as deltas"
rm -r /tmp/here/many && sync_files --delete /tmp/here/ rsync://host/files/ && same /tmp/here .
ok "rsync --delete: what is gone here goes there"
printf 'mkdir new\nput /tmp/here/big new/copy\nget new/copy /tmp/copy\nls -l new\n' >/tmp/batch
timeout 300 sftp -q -b /tmp/batch -D 'manyport connect sftp' >/tmp/out 2>/tmp/err
cmp /tmp/here/big /tmp/copy
ok "sftp: a file goes and comes"
mkdir /tmp/new && mv /tmp/copy /tmp/new/ && same /tmp/new new
ok "sftp: and is there"
timeout 300 fio --name=verify --ioengine=nbd --uri='nbd+unix:///?socket=/run/nbd.sock' \
	--rw=randwrite --bs=4k --iodepth=16 --size="${DISK}M" --verify=crc32c --verify_fatal=1 \
	>/tmp/out 2>/tmp/err && grep -q 'err= 0' /tmp/out
ok "fio: each block of an nbd disk of $DISK MiB is what was written"
timeout 300 fio --name=jobs --ioengine=nbd --uri='nbd+unix:///?socket=/run/nbd.sock' --thread \
	--rw=randrw --bs=16k --iodepth=8 --size=$((DISK / 4))M --numjobs=4 --group_reporting \
	--offset_increment=$((DISK / 4))M --verify=crc32c --verify_fatal=1 \
	>/tmp/out 2>/tmp/err && grep -q 'err= 0' /tmp/out
ok "fio: four jobs at once, a connection for each"
if [ -n "$ALL" ]; then
	compare rsync "MB a second"
	compare nbd "reads of 4 KiB a second"
fi
until_true no_channels
ok "no channel is left"
kill $forward
wait $forward
exit $status
