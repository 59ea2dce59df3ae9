#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-libvirt, whose host has done the first COUNT tests. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
count=$COUNT

until_true test -e /dev/virtio-ports/manyport
ok "the file system's element is manyport's device"
manyport list | grep -q 'multi  *manyport$'
ok "which the command lists"
[ "$(manyport connect who+argument </dev/null)" = 'manyport argument' ]
ok "and through which a service of the host answers"
grep -qx org.manyport.0 /sys/class/virtio-ports/*/name
ok "the channel's element is a port of the stock driver"
exit $status
