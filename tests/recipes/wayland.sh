#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-wayland: the host's programs, on a tree of the host that is read-only. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
# shellcheck source=tests/recipes/rate.sh
. ./rate.sh
until_true test -e /dev/virtio-ports/manyport || exit 1
cd /host || exit 1
mount -o rbind /dev dev && mount -t proc proc proc && mount -t tmpfs tmpfs tmp &&
	mount -t tmpfs tmpfs run || exit 1
# A program of the host, in its tree, with the sockets of this guest.
in_host()
{
	exec env -i PATH=/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 XDG_RUNTIME_DIR=/run "$@"
}
manyport forward -L /host/run/wayland-0:wayland -L /host/run/waypipe:waypipe \
	-L /host/run/pulse.sock:pulse -L /host/run/pipewire-0:pipewire 2>/tmp/forward &
forward=$!
until_true grep -q 'pipewire-0 to' /tmp/forward || { cat /tmp/forward; exit 1; }

why()
{
	tail -n 8 /tmp/out /tmp/forward
}

run()
{
	(in_host timeout 100 chroot /host "$@") >/tmp/out 2>&1
}

drawn()
{
	pixels=$(timeout 60 manyport connect -n pixels) && [ "$pixels" -gt $((BLANK + 10000)) ]
}

# A client of the guest has sent a descriptor, and the forwarder has said so in one line.
told_here()
{
	[ "$(grep -c "'$1': the client sent a descriptor, which cannot travel" /tmp/forward)" = 1 ]
}

# The service has passed one, and the daemon has said so.
told_there()
{
	[ "$(timeout 60 manyport connect -n "told+$1")" = 1 ]
}

no_channels()
{
	[ "$(cat /sys/class/manyport/*/channels)" = 0 ]
}

# Called by compare(): clients that ask and end.
ask_three()
{
	for _ in 1 2 3; do
		(in_host timeout 100 chroot /host waypipe --socket /run/waypipe server -- weston-info) || return
	done
}

rate_waypipe()
{
	per_second 3 ask_three
}

cp /manyport/silence.wav /host/tmp/
echo 'enable-shm = no' >/host/tmp/client.conf
echo "1..10"
run weston-simple-shm
told_here wayland
ok "wayland: a client that shares memory ends, and one line says why"
(in_host timeout 100 chroot /host waypipe --socket /run/waypipe server -- weston-simple-shm) \
	>/tmp/out 2>&1 &
client=$!
until_true drawn
ok "waypipe: it draws on the host's screen"
# Of waypipe, its server there, and the program, the program has to go.
killall weston-simple-shm
wait $client
run waypipe --socket /run/waypipe server -- weston-info && grep -q wl_compositor /tmp/out
ok "waypipe: the next one"
compare waypipe "clients a second"
! run env PULSE_SERVER=unix:/run/pulse.sock pactl info && told_there pulse
ok "pulseaudio, memory shared: the client fails, and one line says why"
run env PULSE_SERVER=unix:/run/pulse.sock PULSE_CLIENTCONFIG=/tmp/client.conf pactl info &&
	grep -q '^Default Sink: null' /tmp/out
ok "pulseaudio, enable-shm = no: it answers"
run env PULSE_SERVER=unix:/run/pulse.sock PULSE_CLIENTCONFIG=/tmp/client.conf \
	pacat --playback --file-format=wav /tmp/silence.wav
ok "pulseaudio, enable-shm = no: a second is played"
run pw-cli info 0 && grep -q PipeWire:Interface:Core /tmp/out
ok "pipewire: it answers"
run timeout 30 pw-cat --playback /tmp/silence.wav
told_there pipewire
ok "pipewire: a stream passes memory, and one line says why it ends"
until_true no_channels
ok "no channel is left"
kill $forward
wait $forward
exit $status
