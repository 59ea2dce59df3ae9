#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest: systemd in namespaces of its own, where it is process 1, with the packaged unit and as few others
# as it needs. It runs systemd_inside.sh.
units=/usr/lib/systemd/system
mkdir -p /run /sys/fs/cgroup /etc/manyportd /usr/sbin /var/tmp $units
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo manyportd:x:990:990::/:/bin/false >>/etc/passwd
echo manyportd:x:990: >>/etc/group
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
cp manyportd /usr/sbin/
cp manyportd@.service $units/
for name in sysinit basic network-online nss-lookup shutdown umount final multi-user; do
	printf '[Unit]\nDefaultDependencies=no\n' >$units/$name.target
done
cat >$units/inside.service <<'END'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
WorkingDirectory=/manyport
ExecStart=/bin/sh systemd_inside.sh
StandardOutput=file:/tmp/out
StandardError=file:/tmp/err
# The last thing that it does.
ExecStopPost=/bin/sh -c 'echo >/tmp/end'
END
mkdir $units/manyportd@.service.d
printf '[Service]\nStandardError=append:/tmp/daemon\n' >$units/manyportd@.service.d/log.conf
mkfifo /tmp/end
container=guest unshare -p -f -m --mount-proc /usr/lib/systemd/systemd --unit=inside.service \
	--log-target=console --show-status=no >/tmp/systemd 2>&1 &
read -r _ </tmp/end
cat /tmp/out
if ! [ -e /tmp/good ]; then
	sed 's/^/# /' /tmp/err /tmp/systemd
	exit 1
fi
