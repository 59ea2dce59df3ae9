#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What demo/shell starts in the guest: a few words, then a prompt.
# shellcheck source=demo/session.sh
. ./session.sh
# shellcheck source=demo/module.sh
. "./$ROAD.sh"
open_road
cat <<TEXT

This guest runs Linux $(uname -r). Each $channel is a channel
to a service of the host. Try:

  manyport list                        the ports
  manyport connect date                a program of the host
$(more_to_try)
  manyport connect nonsuch             a name that the host does not know
  manyport forward -L /run/redis.sock:redis &
  redis-cli -s /run/redis.sock         the host's Redis (exit ends it)

Exit (or ^D) powers the guest off.

TEXT
cd /root || exit
sh -l
# Not the status of the last command: the user has seen it.
exit 0
