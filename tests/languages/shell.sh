#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: shell.sh NODE: the first write names the service, the next are data.
exec 3<>"$1" || exit 1
echo echo >&3 || exit 1
echo PING >&3
IFS= read -r line <&3
[ "$line" = PING ] || exit 1
exec 3>&-

# The name and the data in one write, the mark between them a NUL.
exec 3<>"$1"
printf 'echo\0together\n' >&3
IFS= read -r line <&3
[ "$line" = together ] || exit 1
exec 3>&-

# A refused name is an error of the write.
exec 3<>"$1"
! (echo nosuch >&3) 2>/dev/null
