#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with a port of QEMU's own virtio-serial device, one of manyportd as that device, and one of
# manyportd as a virtio-fs device (test-classic): what each does under the stock driver, and then with
# manyport.ko. $@: cases, or none for all.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh

# has CLASS PORT
has()
{
	grep -qsx "$2" "/sys/class/$1"/*/name
}

fail()
{
	echo "# $*"
	dmesg | tail -n 20 | sed 's/^/#   /'
	exit 1
}

is_module()
{
	grep -q "^$1 " /proc/modules
}

modprobe virtio_console || exit 1
for port in control qemu console; do
	until_true has virtio-ports $port || fail "no port $port"
done
# A kernel with virtiofs built in has given it the fs device. A guest with a device of virtiofs does not
# sleep: the driver refuses (EOPNOTSUPP).
for device in /sys/bus/virtio/drivers/virtiofs/virtio*; do
	[ ! -e "$device" ] || echo "${device##*/}" >/sys/bus/virtio/drivers/virtiofs/unbind
done
for port in qemu console fs; do
	manyport-classic $port,stock $port "$@"
done
insmod ./manyport.ko || exit 1
for port in console fs; do
	until_true has manyport $port || fail "manyport.ko has no port $port"
done
for port in qemu console fs; do
	manyport-classic $port,manyport $port "$@"
done
rmmod manyport && { ! is_module virtio_console || rmmod virtio_console; }
