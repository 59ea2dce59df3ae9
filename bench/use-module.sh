#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: use-module.sh NAME [PARAMETER=VALUE...]
# Puts NAME.ko in the place of the module that is loaded: of two modules with one name only one
# can be. Both have the same devices; what is measured goes to the one of its own daemon.
set -e
name=$1
shift
rmmod manyport
insmod "/manyport/$name.ko" "$@"
for node in manyport baseline; do
	while [ ! -e "/dev/virtio-ports/$node" ]; do
		sleep 0.05
	done
done
