#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-x11: the host's programs, on a tree of the host that is read-only. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
# shellcheck source=tests/recipes/rate.sh
. ./rate.sh
until_true test -e /dev/virtio-ports/manyport || exit 1
ifconfig lo up
cd /host || exit 1
mount -o rbind /dev dev && mount -t proc proc proc && mount -t tmpfs tmpfs tmp &&
	mount -t tmpfs tmpfs run && mkdir tmp/.X11-unix || exit 1
in_host()
{
	exec env -i PATH=/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 NO_AT_BRIDGE=1 DISPLAY="$DISPLAY" \
		chroot . "$@"
}
manyport forward -L /host/tmp/.X11-unix/X9:x11 -L 6009:x11 2>/tmp/forward &
forward=$!
until_true grep -q 'forwarding 6009' /tmp/forward || { cat /tmp/forward; exit 1; }

why()
{
	tail -n 5 /tmp/out /tmp/pixels /tmp/forward
}

pixels()
{
	timeout 60 manyport connect -n "$1" >/tmp/pixels 2>&1
}

same()
{
	pixels "pixels+$1" && [ "$(cat /tmp/pixels)" = same ]
}

# drawn MIN MAX: so many bytes of the screen are not black.
drawn()
{
	pixels pixels && [ "$(cat /tmp/pixels)" -ge "$1" ] && [ "$(cat /tmp/pixels)" -le "$2" ]
}

# run COMMAND...: a program, in the background.
programs=''
run()
{
	in_host timeout 400 "$@" >>/tmp/out 2>&1 &
	programs="$programs $!"
}

finish()
{
	# shellcheck disable=SC2086 # numbers
	kill $programs && until_true drawn 0 0
	programs=''
}

# Called by compare().
x11perf()
{
	(in_host timeout 100 x11perf -time 2 -repeat 1 "$1") 2>&1 | sed -n 's,.*( *\([0-9.]*\)/sec).*,\1,p'
}

rate_rectangles()
{
	x11perf -rect100
}

rate_answers()
{
	x11perf -prop
}

all=$((1024 * 768 * 4))
echo "1..15"
DISPLAY=:9
(in_host timeout 60 xlogo) >/tmp/out 2>&1
grep -q 'Authorization required' /tmp/out
ok "without the cookie nobody is let in"
(in_host xauth -q -f /tmp/.Xauthority add :9 . "$COOKIE") 2>/dev/null
for DISPLAY in :9 localhost:9; do
	run xlogo -geometry 200x200+0+0
	run xeyes -geometry 200x200+300+0
	run xterm -geometry 40x20+0+300 -e cat
	until_true same three
	ok "$DISPLAY: xlogo, xeyes and xterm, pixel for pixel as the host draws them itself"
	finish
	for program in xclock glxgears gtk3-widget-factory; do
		run $program
		until_true drawn 1000 $all
		ok "$DISPLAY: $program"
		finish
	done
	(in_host timeout 100 x11perf -repeat 1 -time 1 -shmput10) >/tmp/out 2>&1
	grep -q 'failed to attach shared memory' /tmp/out
	ok "$DISPLAY: the server offers MIT-SHM, and a program that insists on it fails"
done
for i in $(seq "$MANY"); do
	run xlogo -geometry "90x90+$((i % 10 * 100))+$((i / 10 * 100))"
done
until_true same many
ok "$MANY programs at once"
finish
ok "which leave no window"
DISPLAY=:9
compare rectangles "rectangles a second"
compare answers "answers a second"
kill $forward
wait $forward
exit $status
