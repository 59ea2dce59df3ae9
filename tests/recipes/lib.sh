# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the host's halves of the recipes share; they source it. It makes $dir, which goes with the script, and
# $dir/files, which the guest gets. The last argument --all asks for the sizes of level 2.
cd "$(dirname "$0")/../.." || exit
build=$(realpath "${O:-build}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/manyport-recipe.XXXXXX")
pids=() ALL=''
case ${*: -1} in
--all) ALL=1 ;;
esac

# shellcheck disable=SC2317 # called by the trap
clean_up()
{
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	wait
	rm -rf "$dir"
}
trap clean_up EXIT

tests/world/packages recipes >&2
mkdir "$dir/files"
cp tests/guest/tap.sh tests/recipes/rate.sh "$build/manyport" "$dir/files/"

# start COMMAND...: runs it until the script ends; its words go to a log.
start()
{
	: >>"$dir/servers"	# a reader may come before the shell below has made it
	"$@" >>"$dir/servers" 2>&1 &
	pids+=($!)
}

# serve [OPTION...]: starts the daemon, whose configuration is the input.
serve()
{
	cat >"$dir/conf"
	: >"$dir/log"
	"$build/manyportd" --config="$dir/conf" --socket-path="$dir/device" "$@" 2>"$dir/log" &
	pids+=($!)
	grep -q -m 1 listening < <(tail -n +1 -f --pid=$! "$dir/log")
}

# rates: what the host's service "rate" runs, for compare() of rate.sh. The input is the branches of a case by the
# names, each of which prints a rate.
rates()
{
	{
		cat <<-'END'
			# per_second WORK COMMAND...: as in rate.sh
			per_second()
			{
				local work=$1 begun=$EPOCHREALTIME
				shift
				"$@" >/dev/null 2>&1 </dev/null || exit
				awk "BEGIN { printf \"%.2f\\n\", $work / ($EPOCHREALTIME - $begun) }"
			}
			case $MANYPORT_ARGUMENT in
		END
		cat
		echo esac
	} >"$dir/rate"
}

# free_port: of 127.0.0.1.
free_port()
{
	perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'
}

# The network of QEMU that the rates are compared with, as boot's arguments.
network=()
[ -z "$ALL" ] || network=(--env NETWORK=1 --machine-arg -netdev --machine-arg user,id=net,ipv6=off
	--machine-arg -device --machine-arg virtio-net-pci,netdev=net,romfile=)

# try WORLD SCRIPT BOOT-ARGUMENT...: runs the guest's half; the status is the script's.
try()
{
	local world=$1 script=$2 module status=0

	shift 2
	module=$(echo "$(tests/world/module "$world" kmod include)"/*.ko)
	cp "tests/recipes/$script" "$dir/files/"
	tests/world/boot --world "$world" --socket "$dir/device" --module "$module" \
		--files "$dir/files" --env "ALL=$ALL" "$@" -- sh "$script" || status=$?
	if grep -qE 'Sanitizer|runtime error' "$dir/log"; then
		status=1
	fi
	[ $status = 0 ] || sed 's/^/# /' "$dir/log" "$dir/servers"
	return $status
}
