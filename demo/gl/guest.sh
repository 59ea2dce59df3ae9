#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of make demo-gl, whose /host is the folder of tests/world/gl-root. RATES is not empty
# when the rates are wanted too.
ifconfig lo up
for place in proc sys dev; do
	mkdir -p /host/$place
	mount -o rbind /$place /host/$place || exit
done
mount -t tmpfs tmpfs /host/tmp || exit
cp draw.sh /host/tmp/
channels=/sys/class/manyport/vport0p1/channels

: >/tmp/forward
manyport forward -L /host/tmp/.virgl_test:gl 2>/tmp/forward &
forward=$!
until grep -q forwarding /tmp/forward; do
	kill -0 $forward || { cat /tmp/forward; exit 1; }
	usleep 50000
done

# draw ARGUMENT...: draw.sh in the folder.
draw()
{
	chroot /host /usr/bin/env -i HOME=/tmp PATH=/usr/bin:/usr/sbin LANG=C.UTF-8 bash /tmp/draw.sh "$@"
}

draw virpipe pictures /tmp/virpipe
status=$?
if [ $status = 0 ] && [ -n "$RATES" ]; then
	draw virpipe rates /tmp/virpipe-rates && draw llvmpipe rates /tmp/llvmpipe-rates
	status=$?
fi
kill $forward
wait $forward
# A channel that was closed is counted until its host has answered.
tries=0
while [ "$(cat $channels)" != 0 ] && [ $tries -lt 3000 ]; do
	tries=$((tries + 1))
	usleep 100000
done
cat $channels >/host/tmp/virpipe/at-the-end
tar -c -C /host/tmp virpipe virpipe-rates llvmpipe-rates 2>/dev/null | manyport connect pictures
exit $status
