#!/bin/sh
# SPDX-License-Identifier: MIT
# In a QEMU guest with a device of manyport's and two plain virtio-serial devices (test-beside):
# each driver has its own, whichever came first. TAP.
# shellcheck source=tests/guest/beside-lib.sh
. ./beside-lib.sh
echo "1..24"

# manyport first.
is "$ours" none 01 && foreign_are none 01
ok "no driver: the devices are acknowledged, and nothing else"
insmod ./manyport.ko && is "$ours" manyport 0f
ok "manyport alone: it has its device"
foreign_are none 01
ok "the other devices are as they were, status byte included"
ours_works
ok "two opens at once are two channels"
modprobe virtio_console && foreign_are virtio_console 0f
ok "the stock driver later: it starts the other devices, from a clean status"
foreign_works 10
ok "a port of the transitional one works both ways"
foreign_works 11
ok "a port of the modern one works both ways"
is "$ours" manyport 0f && ours_works && says 'taken from' 0
ok "manyport keeps its device; nothing was taken"

# Unloaded: the device has no driver until a bind asks for one.
exec 7<>/dev/virtio-ports/foreign10 8<>/dev/virtio-ports/foreign11
rmmod manyport && is "$ours" none 01 && foreign_are virtio_console 0f
ok "manyport unloaded: its device is without a driver, the others go on"
echo "$ours" >/sys/bus/virtio/drivers_probe && is "$ours" virtio_console 0f && stock_works
ok "asked for, the stock driver has it, one open at a time"

command_says
ok "the command says who has the port, and what to do"
exec 5<>"$port"
command_says --port multi
ok "also where another process has it open"
exec 5>&-

# The stock driver first, and a process that holds its port, reading.
(exec 5<>"$port" && printf 'echo\nheld\n' >&5 && read -r line <&5 && echo "$line" >/tmp/held &&
	{ read -r line <&5 || echo "read ends" >>/tmp/held; } &&
	{ echo more >&5 || echo "write fails" >>/tmp/held; }) 2>/dev/null &
holder=$!
until_true grep -qs held /tmp/held
ok "a process has the stock driver's port open, and reads"
insmod ./manyport.ko && is "$ours" manyport 0f
ok "manyport second: it takes its device"
wait $holder
[ "$(tr '\n' ' ' </tmp/held)" = "held read ends write fails " ]
ok "the process loses the port: its read ends, its write fails"
says 'taken from' 1 && says "$ours: taken from virtio_console" 1
ok "one line in the log names the device"
ours_works
ok "two opens at once are two channels again"
foreign_are virtio_console 0f && echo "from the guest 10, held open" >&7 &&
	echo "from the guest 11, held open" >&8
ok "the other devices go on, with processes that have their ports open"
exec 7>&- 8>&-

rmmod manyport && insmod ./manyport.ko && is "$ours" manyport 0f && ours_works &&
	says 'taken from' 1
ok "manyport unloaded and loaded: it has its device"

# Devices that come while both drivers are there.
replug "$slot_of_ours"
ours=$(in_slot "$slot_of_ours")
until_true is "$ours" manyport 0f && ours_works
ok "its device comes anew: it is manyport's"
replug 10
replug 11
until_true foreign_are virtio_console 0f
ok "the others come anew: they are the stock driver's"

# All at once: devices come and go while the module does.
rmmod manyport
while :; do
	replug "$slot_of_ours"
	replug 11
done 2>/dev/null &
replugger=$!
rounds=0
while [ $rounds -lt 12 ] && insmod ./manyport.ko && rmmod manyport; do
	rounds=$((rounds + 1))
done
[ $rounds = 12 ]
ok "the module comes and goes while devices come and go"
kill $replugger
wait $replugger 2>/dev/null
echo 1 >/sys/bus/pci/rescan
insmod ./manyport.ko
ours=$(in_slot "$slot_of_ours")
until_true is "$ours" manyport 0f && ours_works
ok "afterwards it has its device, and the port works"
until_true foreign_are virtio_console 0f
ok "and the others are the stock driver's"
rmmod manyport
rmmod virtio_console
exit $status
