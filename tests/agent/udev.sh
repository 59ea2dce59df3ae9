#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest: what Debian's udev makes of manyport's ports by the packaged rule. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh

why()
{
	udevadm info -e | grep -A20 manyport
}

node_of()
{
	for port in /sys/class/manyport/*; do
		[ "$(cat "$port/name" 2>/dev/null)" != "$1" ] || echo "/dev/${port##*/}"
	done
}

# has NAME KEY=VALUE. A node may be there before udev has heard of it.
has()
{
	udevadm info -q property "$(node_of "$1")" | grep -qx "$2"
}

mkdir -p /run /etc/udev /lib/udev/rules.d
cp 90-manyport.rules /lib/udev/rules.d/
systemd-udevd --daemon >/dev/null || exit 1
insmod ./manyport.ko
for name in manyport org.qemu.guest_agent.0 com.redhat.spice.0; do
	until [ -c "$(node_of $name)" ]; do
		usleep 100000
	done
done
echo "1..5"
until_true has manyport 'DEVLINKS=/dev/virtio-ports/manyport' && [ -c /dev/virtio-ports/manyport ]
ok "a port has a link of its name"
has manyport 'TAGS=.*:systemd:.*' && ! has manyport 'SYSTEMD_WANTS=.*'
ok "and a unit of systemd, which starts nothing"
until_true has org.qemu.guest_agent.0 'DEVLINKS=/dev/virtio-ports/org.qemu.guest_agent.0' &&
	has org.qemu.guest_agent.0 'SYSTEMD_WANTS= *qemu-guest-agent.service'
ok "the agent's port starts QEMU's agent"
until_true has com.redhat.spice.0 'SYSTEMD_WANTS= *spice-vdagentd.socket'
ok "SPICE's port starts SPICE's agent"
! udevadm test /sys/class/manyport/vport0p1 2>&1 | grep -E '90-manyport.rules:[0-9]+ .*([Ii]nvalid|Unknown|ignor)'
ok "udev has nothing against the rule"
udevadm control --exit
exit $status
