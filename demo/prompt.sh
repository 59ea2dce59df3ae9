#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What demo/shell starts in the guest: a few words, then a prompt.
node=/dev/vport0p1
chgrp shared "$node"
chmod 660 "$node"
cat <<TEXT

This guest runs Linux $(uname -r). Each open of $node is a channel
to a service of the host. Try:

  manyport list                        the ports
  manyport connect date                a program of the host
  manyport connect opener              who the host thinks you are (^D ends it)
  echo hello | manyport connect upper  through a program of the host
  manyport connect nonsuch             a name that the host does not know
  cat /sys/class/manyport/vport0p1/channels
  manyport forward -L /run/redis.sock:redis &
  redis-cli -s /run/redis.sock         the host's Redis (exit ends it)
  su alice                             another user; "admin" is not for her
  exec 3<>$node; echo date >&3; cat <&3; exec 3>&-

Exit (or ^D) powers the guest off.

TEXT
cd /root || exit
exec sh -l
