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
	# The number of one that has ended may be another process's by now.
	for pid in $(jobs -pr); do
		kill "$pid" 2>/dev/null || true
	done
	wait
	rm -rf "$dir" "${ports[@]}"
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

# until_listens PATH...: until the program that was started last takes connections there, or has ended. The file
# of a socket is there a moment before.
until_listens()
{
	local path

	for path; do
		until grep -qE " 00010000 [0-9A-F]+ [0-9A-F]+ +[0-9]+ $path\$" /proc/net/unix; do
			kill -0 "${pids[-1]}"
			sleep 0.1
		done
	done
}

# take_port: $taken is a port of 127.0.0.1 until the script ends. It is none that the kernel gives to others, and
# the lock, which is closed with the script and all that it has started, keeps other scripts from it.
ports=() taken=
take_port()
{
	local number file lock

	for number in $(shuf -i 20000-29999 -n 100); do
		file=/tmp/manyport-port.$(id -u).$number
		exec {lock}>"$file"
		if flock -n "$lock" && perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(Listen => 1,
				LocalAddr => "127.0.0.1", LocalPort => $ARGV[0], ReuseAddr => 1)' "$number"; then
			ports+=("$file")
			taken=$number
			return
		fi
		exec {lock}>&-
	done
	echo "no port is free" >&2
	exit 1
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
