#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Boots a guest whose host lies to its driver. TAP on standard output.
#
#   usage: test_bad_host.sh [OPTION...] [WORLD [ATTACK...]]
#
#     --module FILE.ko   the guest module (default: built for the world from kmod/)
#     --seconds N        for the whole guest (default: 900)
#     --log FILE         keep the guest's kernel log
#
# WORLD is uml-debug (the default) or uml. Without ATTACKs all are made but "die", which
# ends the host and so wants a guest of its own. $O: the build folder (build). The status is 0 when every
# attack was survived and the guest's kernel had nothing to complain about.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
build=$(readlink -f "${O:-$project/build}")
module='' limit=900 log=''

while [ $# -gt 0 ]; do
	case $1 in
	--module) module=$2; shift 2 ;;
	--seconds) limit=$2; shift 2 ;;
	--log) log=$2; shift 2 ;;
	-*) sed -n '3,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'; [ "$1" = --help ] || exit 2; exit ;;
	*) break ;;
	esac
done
world=${1:-uml-debug}
[ $# -eq 0 ] || shift

for program in bad_host bad_host_guest; do
	if [ ! -x "$build/tests/peer/$program" ]; then
		echo "1..0 # SKIP $program is not built (make -C tests/peer bad-host)"
		exit 77
	fi
done
case $world in
uml) factor=1 ;;
uml-debug) factor=3 ;;
*) echo "1..0 # SKIP the driver is bound anew by names that only User Mode Linux has"; exit 77 ;;
esac

if [ -z "$module" ]; then
	folder=$("$project/tests/world/module" "$world" "$project/kmod" "$project/include")
	module=$(echo "$folder"/*.ko)
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/manyport-bad-host.XXXXXX")
pid=''

# shellcheck disable=SC2317 # called by the trap
clean_up()
{
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start_host()
{
	"$build/tests/peer/bad_host" "$dir/socket" 2>"$dir/host.log" &
	pid=$!
	until [ -S "$dir/socket" ]; do
		if ! kill -0 "$pid" 2>/dev/null; then
			cat "$dir/host.log" >&2
			exit 1
		fi
		sleep 0.02
	done
}

# The status of the guest, or 1 when the host fell over its own feet.
run_guest()
{
	local status=0 ended=0

	start_host
	"$project/tests/world/boot" --world "$world" --socket "$dir/socket" --module "$module" \
		--files "$dir/files" --wait-for /dev/vport0p2 --timeout "$limit" \
		--env "FOLDER=$dir/folder" ${log:+--log "$log"} "${allow[@]}" \
		-- bad_host_guest -t "$factor" "$@" || status=$?
	kill "$pid" 2>/dev/null || true
	wait "$pid" || ended=$?
	pid=''
	case $ended in
	0 | 143) ;;
	*) echo "# bad_host ended with status $ended"; status=1 ;;
	esac
	sed 's/^/# host: /' "$dir/host.log" | head -n 20
	return $status
}

mkdir "$dir/files" "$dir/folder"
cp "$build/tests/peer/bad_host_guest" "$dir/files"
# This host does break it. User Mode Linux itself warns when the queues of a dead device are
# taken down.
allow=(--allow-kernel-log 'the host broke the protocol')
[ "${1-}" != die ] ||
	allow+=(--allow-kernel-log 'vu_del_vqs|vu_find_vqs|virtio_uml|Call Trace|vhost_user')
run_guest "$@"
