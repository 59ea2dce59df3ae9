#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest that goes to sleep on its disk and wakes in another machine (test-hibernate). There this begins
# again, in the kernel that gives way to the one that sleeps. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
# shellcheck source=tests/guest/traffic.sh
. ./traffic.sh
fixed=/dev/virtio-ports/fixed

# The node of the stock driver's port, which may have been there before a link of its name could be made.
find_stock()
{
	stock=/dev/$(basename "$(dirname "$(grep -lx stock /sys/class/virtio-ports/*/name)")") && [ -c "$stock" ]
}

# A line to the service of the fixed port and back, on descriptor 7.
talks()
{
	echo "$1" >&7 && read -r line <&7 && [ "$line" = "$1" ]
}

lives()
{
	[ "$(manyport connect lives </dev/null)" = "$1" ]
}

cd /tmp || exit 1
head -c "$size" /dev/urandom >data
modprobe virtio_blk && modprobe virtio_console && until_true test -b /dev/vda && until_true test -e $port || exit 1
# The kernel that finds the image on the disk uses the port before it gives way, as one with an initramfs may.
life=$(manyport connect lives </dev/null)
cat /sys/block/vda/dev >/sys/power/resume
if [ "$life" != 1 ]; then
	echo "not ok $life - the kernel finds no image on the disk"
	dmesg | grep PM: | sed 's/^/# /'
	exit 1
fi

echo 1..9
mkswap /dev/vda >/dev/null && swapon /dev/vda && until_true test -e $fixed && until_true find_stock &&
	exec 7<>$fixed && talks before && echo before >"$stock" && start
ok "traffic begins, and the fixed and the stock driver's port work"
hold
remember
echo disk >/sys/power/state
ok "the guest slept on its disk, and woke"
lives 3
ok "in another machine, with the same device"
is_told && grep -q ECONNRESET held.errors
ok "a process that has a channel open is told (ECONNRESET)"
comes_back && ! is_anew
ok "the port was there all the time, and traffic goes on"
! talks after && exec 7<>$fixed && talks again
ok "the fixed port: the old open is told, and another open works"
echo after >"$stock"
ok "the stock driver's port works"
tell_counted
# shellcheck disable=SC2086 # several
kill $workers
swapoff /dev/vda
exit $status
