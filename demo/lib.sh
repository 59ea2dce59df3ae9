# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the scripts of this folder share; they source it, it prints nothing.
# It prepares everything from a clean clone and starts the host's side. All that
# belongs to one run is in $dir, and is removed when the run went well.
set -euo pipefail
shopt -s inherit_errexit

demo_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project_dir=$(cd "$demo_dir/.." && pwd)
world_dir=$project_dir/tests/world
self=demo/$(basename "$0")
config=$demo_dir/manyportd.conf
programs=(--program redis-cli)
build=${O:-build}
installed=${INSTALLED:-}	# run what is installed, as by the packages, and build no program
module_source=(kmod include)
world=qemu
road=module		# or vsock, stream: how the guest reaches manyportd
keep=''
dir=''
step_title=''		# of the step that runs now
step_begin=0
daemon_pid=''
redis_pid=''
vsock_pid=''
renderer_pid=''		# of gl/run
machine_pid=''		# makes QEMU, in the background
road_options=()		# what boot is told of the driver, for a road that needs it from the start
machine=()		# what boot is told of it: which QEMU, and which device
device=''		# that carries manyport's queues: console or fs
suite=system		# of Debian's QEMU, see tests/world/qemu

die()
{
	echo "$self: $*" >&2
	exit 1
}

# Microseconds.
now()
{
	echo "${EPOCHREALTIME/[.,]/}"
}

# seconds_since TIME: with two decimals.
seconds_since()
{
	local centis=$((($(now) - $1) / 10000))

	printf '%d.%02d' $((centis / 100)) $((centis % 100))
}

# The line of one step, also for the summary; guest.sh has the same form.
report_step()
{
	printf '%-6s %8s s  %s\n' "$1" "$(seconds_since "$step_begin")" \
		"$step_title" | tee -a "$dir/results"
	step_title=
}

# step TITLE COMMAND...: ends the script when COMMAND fails. COMMAND may set
# step_title again, when it knows more than was known before.
step()
{
	step_title=$1
	step_begin=$(now)
	shift
	"$@"
	report_step ok
}

stop()
{
	local status=0

	if [ -n "$1" ]; then
		kill "$1" 2>/dev/null || true
		wait "$1" || status=$?
	fi
	return $status
}

# shellcheck disable=SC2317 # called by the trap
clean_up()
{
	local status=$?

	trap - EXIT
	stop "$daemon_pid" || true
	stop "$redis_pid" || true
	stop "$vsock_pid" || true
	stop "$renderer_pid" || true
	[ -z "$machine_pid" ] || kill -- "-$machine_pid" 2>/dev/null || true
	[ -n "$dir" ] || exit $status
	if [ $status = 130 ] || [ $status = 143 ]; then
		# The user has ended the script: there is nothing to look into.
		[ -n "$keep" ] || rm -rf "$dir"
		exit $status
	fi
	if [ $status != 0 ]; then
		[ -z "$step_title" ] || report_step FAILED
		show_logs
		echo "--- steps:" >&2
		cat "$dir/results" >&2 2>/dev/null
	fi
	if [ $status != 0 ] || [ -n "$keep" ]; then
		echo "$self: the logs are in $dir" >&2
	else
		rm -rf "$dir"
	fi
	exit $status
}

# shellcheck disable=SC2317 # called by the trap
show_logs()
{
	local log

	for log in command.log machine.log vsock.log renderer.log manyportd.log; do
		[ -s "$dir/$log" ] || continue
		echo "--- end of $log:" >&2
		tail -n 15 "$dir/$log" >&2
	done
}

# What a script begins with, when it knows its $world.
begin_run()
{
	case $world in
	qemu | uml | uml-debug | smp-debug) ;;
	vsock) world=qemu road=vsock ;;
	stream)
		world=qemu road=stream
		road_options=(--stock --wait-for /dev/vport0p1) ;;
	*) die "unknown world '$world': qemu, vsock, stream, uml, uml-debug or smp-debug" ;;
	esac
	# A make that runs us must not tell our own make what to do.
	unset MAKEFLAGS MAKELEVEL MFLAGS
	cd "$project_dir"
	dir=$(mktemp -d "${TMPDIR:-/tmp}/manyport-demo.XXXXXX")
	chmod 700 "$dir"
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

install_packages()
{
	"$world_dir/packages" build kernel world demo
}

# What is installed, below $PREFIX or where the shell finds it.
find_installed()
{
	local prefix

	prefix=$(PATH=${PREFIX:+$PREFIX/sbin:}$PATH:/usr/local/sbin:/usr/sbin command -v manyportd) ||
		die "manyportd is not installed"
	prefix=${prefix%/sbin/manyportd}
	mkdir "$dir/installed"
	build=$dir/installed
	ln -s "$prefix/sbin/manyportd" "$prefix/bin/manyport" "$build/"
	set -- "$prefix"/src/manyport-*/kmod
	module_source=("$1" "${1%/kmod}/include")
	for name in "$build/manyportd" "$build/manyport" "${module_source[@]}"; do
		[ -e "$name" ] || die "not installed: $(readlink -m "$name")"
	done
	step_title="installed below $prefix: $("$build/manyportd" --version)"
}

build_programs()
{
	if [ -n "$installed" ]; then
		find_installed
		return
	fi
	make -s -j"$(nproc)" O="$build" all >"$dir/command.log" 2>&1
	rm "$dir/command.log"
	build=$(readlink -f "$build")
}

# The kernel, and what it starts from.
prepare_kernel()
{
	local kernel

	kernel=$("$world_dir/kernel" "$world")
	"$world_dir/initramfs" "$kernel" >/dev/null
	step_title="guest's kernel: Linux $(cat "$kernel/release")"
}

# Most of a first run is the download of QEMU, so all else is made at the same time. The
# machine has a process group of its own, which is ended as a whole. Debian's stock kernel
# gets the distribution's own QEMU.
# shellcheck disable=SC2016 # the inner shell's parameters
start_machine()
{
	[ "${world#uml}" = "$world" ] || return 0
	[ "$world" != qemu ] || machine=(--qemu "$suite")
	setsid bash -c 'qemu=$1/qemu probe=$1/kvm-probe; shift
			"$qemu" "$@" && { "$probe" "$@" && echo kvm || echo tcg; }' \
		- "$world_dir" "${machine[@]:1}" </dev/null >"$dir/machine" \
		2>"$dir/machine.log" &
	machine_pid=$!
}

# Has this QEMU the generic device?
is_new()
{
	printf '%s\n' 10.2 "$("$1" --version | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p')" |
		sort -V -C
}

# KVM is used only where a probe has proved that it works.
await_machine()
{
	local pid=$machine_pid qemu accel has="the device of virtio-vsock"

	if [ -z "$pid" ]; then
		device=console
		step_title="guest's machine: User Mode Linux"
		return
	fi
	cat "$dir/machine.log" >&2
	wait "$pid"
	machine_pid=
	{ read -r qemu; read -r accel; } <"$dir/machine"
	case $road in
	module)
		[ -n "$device" ] || device=$(is_new "$qemu" && echo console || echo fs)
		has="the device of virtio-$device"
		machine+=(--device "$device") ;;
	stream) has="an ordinary virtio-serial port" ;;
	esac
	step_title="guest's machine: $("$qemu" --version | sed -n '1s/ (.*//p'), $accel, $has"
}

# shellcheck disable=SC2034 # for those who source this
build_module()
{
	local module

	module=$(echo "$("$world_dir/module" "$world" "${module_source[@]}")"/*.ko)
	road_options=(--module "$module" --wait-for /dev/vport0p1)
}

prepare_all()
{
	step "Debian packages are installed" install_packages
	start_machine
	step "manyportd and manyport are built" build_programs
	step "guest's kernel" prepare_kernel
	[ "$road" != module ] ||
		step "manyport.ko is built for the guest's kernel" build_module
	step "guest's machine" await_machine
}

# wait_for_socket PATH PID LOG: until the program listens, or has ended. The path is there before that.
wait_for_socket()
{
	until grep -q " 00010000 .* $1\$" /proc/net/unix; do
		if ! kill -0 "$2" 2>/dev/null; then
			tail -n 15 "$3" >&2
			die "the server of $1 did not start"
		fi
		sleep 0.05
	done
}

# Our own server: no network, nothing kept, apart from the system's.
start_redis()
{
	redis-server --port 0 --unixsocket "$dir/redis.sock" --dir "$dir" \
		--save '' --appendonly no --daemonize no \
		</dev/null >"$dir/redis.log" 2>&1 &
	redis_pid=$!
	wait_for_socket "$dir/redis.sock" "$redis_pid" "$dir/redis.log"
	step_title="Redis $(redis_info redis_version) runs on the host, process $redis_pid"
}

# on_redis COMMAND...: from the host itself, past the guest.
on_redis()
{
	redis-cli -s "$dir/redis.sock" "$@"
}

redis_info()
{
	on_redis info server | sed -n "s/^$1:\([^[:cntrl:]]*\).*/\1/p"
}

# The back end of the guest's vsock device: it connects to vsock_PORT for the guest's
# connection to PORT.
start_vsock()
{
	local program

	program=$("$world_dir/peers")/vhost-device-vsock
	"$program" --guest-cid=3 --socket="$dir/device.sock" --uds-path="$dir/vsock" \
		</dev/null >"$dir/vsock.log" 2>&1 &
	vsock_pid=$!
	wait_for_socket "$dir/device.sock" "$vsock_pid" "$dir/vsock.log"
	step_title="$("$program" --version) makes the guest's vsock device, process $vsock_pid"
}

start_daemon()
{
	local options=(--socket-path="$dir/device.sock" --device="$device")

	case $road in
	vsock) options=(--vsock-unix="$dir/vsock_28016") ;;
	stream) options=(--stream=unix:"$dir/device.sock") ;;
	esac
	sed "s,@DIR@,$dir,; s,@DEMO@,$demo_dir,; s,@BUILD@,$build," "$config" >"$dir/manyportd.conf"
	: >"$dir/manyportd.log"
	"$build/manyportd" --config "$dir/manyportd.conf" "${options[@]}" \
		</dev/null >"$dir/manyportd.log" 2>&1 &
	daemon_pid=$!
	# Not on each road does the daemon make a socket; on all it says when it serves.
	grep -q -m 1 -E 'listening on|serving' \
		< <(tail -n +1 -f --pid="$daemon_pid" "$dir/manyportd.log" 2>/dev/null) ||
		die "manyportd did not start"
	step_title="manyportd runs on the host, process $daemon_pid"
}

start_servers()
{
	step "Redis runs on the host" start_redis
	[ "$road" != vsock ] || step "vhost-device-vsock runs on the host" start_vsock
	step "manyportd runs on the host" start_daemon
}

# Ends both; manyportd says with its status whether it ended cleanly.
stop_servers()
{
	local pid=$daemon_pid

	daemon_pid=
	stop "$pid"
	pid=$redis_pid
	redis_pid=
	stop "$pid"
}

# What the guest gets: the command, and the scripts of this folder.
collect_files()
{
	mkdir -p "$dir/files"
	cp "$build/manyport" "$demo_dir"/{session,module,vsock,stream,guest,stock,prompt}.sh "$dir/files"
}

# boot_guest [OPTION...] -- COMMAND...
boot_guest()
{
	local queues device_options

	case $road in
	module)
		# QEMU must be told how many queues there are; User Mode Linux asks.
		queues=$(sed -n 's/.* \([0-9]*\) queues$/\1/p' "$dir/manyportd.log" |
			head -n 1)
		device_options=(--socket "$dir/device.sock" --queues "${queues:-64}") ;;
	vsock) device_options=(--vsock "$dir/device.sock") ;;
	stream) device_options=(--serial-port "org.manyport.0=$dir/device.sock") ;;
	esac
	"$world_dir/boot" --world "$world" "${machine[@]}" "${device_options[@]}" \
		--mem 1024 --files "$dir/files" "${programs[@]}" --env "ROAD=$road" "$@"
}
