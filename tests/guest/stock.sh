#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with the stock virtio_console driver: what a multi-open port is
# without the extension [protocol.md 13]. TAP. $1: the port's node.
port=$1
# shellcheck source=tests/guest/tap.sh
. ./tap.sh

echo "1..11"

exec 3<>"$port" && printf 'echo\nhello\n' >&3 && read -r line <&3 && [ "$line" = hello ]
ok "the first line names the service"

(exec 4<>"$port") 2>/tmp/error
grep -q "busy" /tmp/error
ok "a second open is refused: busy"

printf 'more\n' >&3 && read -r line <&3 && [ "$line" = more ]
ok "the first open goes on"
exec 3>&-

exec 3<>"$port" && printf 'echo\0data\n' >&3 && read -r line <&3 && [ "$line" = data ]
ok "a NUL ends the name, too"
exec 3>&-

exec 3<>"$port" && printf 'nothing\n' >&3 && ! read -r line <&3
ok "a refused name closes the port"
exec 3>&-

exec 3<>"$port" && printf 'pipe:echo\nagain\n' >&3 && read -r line <&3 && [ "$line" = again ]
ok "the next open is a new one"
exec 3>&-

exec 3<>"$port" && printf 'argument+some words\n' >&3 && read -r line <&3 &&
	[ "$line" = "some words" ]
ok "an argument reaches the service"
read -r line <&3
[ $? = 1 ]
ok "the end of the service is the end of the port's data"
exec 3>&-

exec 3<>"$port" && printf 'sum\n' >&3 && head -c 3000000 /dev/zero >&3 &&
	read -r line <&3 && [ "$line" = 3000000 ]
ok "much data arrives whole"
exec 3>&-

# A write to a service that is over waits in this driver for the next one; the command does not.
timeout 60 ./manyport connect -p "$port" nothing </dev/zero 2>/tmp/error
[ $? -lt 2 ]
ok "the command ends with a service that is refused, input or not"
timeout 60 ./manyport connect -p "$port" words </dev/zero >/tmp/out 2>/tmp/error
[ $? = 1 ] && [ "$(cat /tmp/out)" = words ] && grep -q 'before it had taken' /tmp/error
ok "and with one that does not take its input"
exit $status
