#!/bin/bash
# SPDX-License-Identifier: MIT
#
# usage: draw.sh DRIVER pictures|rates FOLDER
#
# Runs in the folder of tests/world/gl-root, in the guest and on the host alike: four programs that
# draw with OpenGL, three of them in a window, each on a screen of its own. DRIVER is Mesa's: virpipe,
# which sends its commands to the renderer behind /tmp/.virgl_test, or llvmpipe. FOLDER gets
#   pictures  of the four at the same time, NAME.png or NAME.xwd. The clock of a program with a window
#             stands still, so each of its frames is the same. "at-once" says how many channels
#             there were.
#   rates     lines "NAME together|alone FPS"
set -euo pipefail
export LIBGL_ALWAYS_SOFTWARE=1 GALLIUM_DRIVER=$1 vblank_mode=0 MESA_SHADER_CACHE_DISABLE=true
folder=$3
names=(triangle glxgears es2gears glmark2)
size=300
faketime=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
seconds=6		# the gears tell their rate after five
[ "$2" = rates ] || seconds=2
declare -A displays pids

# One X server with a screen for each program that wants a window. Without -noreset it would begin afresh
# whenever its last client leaves, as xwd does before the first program has come, and would drop the
# clients that are just coming.
start_screens()
{
	local name display i=0 screens=()

	for name in "${names[@]:1}"; do
		screens+=(-screen "$i" "${size}x${size}x24")
		displays[$name]=$i
		i=$((i + 1))
	done
	mkdir -p /tmp/.X11-unix
	mkfifo "$folder/number"
	GALLIUM_DRIVER=softpipe Xvfb -displayfd 3 "${screens[@]}" -noreset -nolisten tcp \
		3>"$folder/number" 2>"$folder/server.log" &
	read -r display <"$folder/number" || give_up server "has no display"
	rm "$folder/number"
	for name in "${names[@]:1}"; do
		displays[$name]=:$display.${displays[$name]}
	done
}

# start NAME COMMAND...: in the background, on its screen; its words go to a log, which is empty when start
# returns: a reader must find nothing in it of the program's last run.
start()
{
	local name=$1

	shift
	: >"$folder/$name.log"
	DISPLAY=${displays[$name]-} stdbuf -oL "$@" >>"$folder/$name.log" 2>&1 &
	pids[$name]=$!
}

start_program()
{
	case $1 in
	triangle) start triangle triangle "$folder/triangle.png" $size 30 0.3 $seconds ;;
	glxgears) start glxgears glxgears -geometry ${size}x$size ;;
	es2gears) start es2gears es2gears_x11 ;;
	glmark2) start glmark2 glmark2-es2 -s ${size}x$size -b "build:duration=$seconds" ;;
	esac
}

# give_up NAME WHAT: says what that program and the X server said, and ends the script.
give_up()
{
	local log

	echo "draw.sh: $GALLIUM_DRIVER: $1 $2" >&2
	for log in "$1" server; do
		[ ! -s "$folder/$log.log" ] || tail -n 5 "$folder/$log.log" | sed "s/^/  $log: /" >&2
	done
	exit 1
}

# stop_program NAME: ends it. A program that ended before must have ended well.
stop_program()
{
	local status=0

	kill "${pids[$1]}" 2>/dev/null || true
	wait "${pids[$1]}" || status=$?
	case $status in
	0 | 143) ;;
	*) give_up "$1" "ended with status $status" ;;
	esac
}

is_running()
{
	kill -0 "${pids[$1]}" 2>/dev/null
}

# until_true CHECK NAME: CHECK finds what it looks for within five minutes, and before that program ends.
until_true()
{
	local tries=0

	until "$@"; do
		is_running "$2" || { "$@" && return; } || give_up "$2" "has ended: $1 fails"
		tries=$((tries + 1))
		[ $tries -lt 3000 ] || give_up "$2" "takes more than five minutes: $1 fails"
		sleep 0.1
	done
}

# The X server sends a picture between two requests, so never half a frame.
has_picture()
{
	DISPLAY=${displays[$1]} xwd -root -silent >"$folder/$1.xwd"
	[ "$(tail -c $((size * size * 4)) "$folder/$1.xwd" | tr -d '\0' | wc -c)" -gt 1000 ]
}

has_begun()
{
	grep -q GL_RENDERER "$folder/$1.log"
}

start_still()
{
	LD_PRELOAD=$faketime FAKETIME='2020-01-01 00:00:00' start_program "$1"
}

# Mesa's virpipe keeps memory that it could use again for a second of CLOCK_MONOTONIC. When that clock stands
# still it maps more with each frame, and crashes when the kernel gives it no more mappings (65,530:
# vm.max_map_count). The gears take their time from another clock; glmark2 takes it from this one,
# so it begins to draw when all others are ready.
draw_pictures()
{
	local name

	for name in glxgears es2gears; do
		DONT_FAKE_MONOTONIC=1 start_still "$name"
	done
	for name in glxgears es2gears; do
		until_true has_picture "$name"
	done
	start_still glmark2
	until_true has_picture glmark2
	start_program triangle
	until_true has_begun triangle
	cat /sys/class/manyport/*/channels >"$folder/at-once" 2>/dev/null || true
	wait "${pids[triangle]}" || give_up triangle "ended with status $?"
	for name in "${names[@]:1}"; do
		has_picture "$name" || give_up "$name" "has no picture at the end"
		stop_program "$name"
	done
}

has_rate()
{
	grep -q FPS "$folder/$1.log"
}

# measure together|alone NAME...
measure()
{
	local how=$1 name

	shift
	for name; do
		start_program "$name"
	done
	for name; do
		until_true has_rate "$name"
	done
	for name; do
		stop_program "$name"
		echo "$name $how $(sed -n 's/.*FPS: *\([0-9.]*\).*/\1/p; s/^.* = *\([0-9.]*\) FPS.*/\1/p;
			s/^\([0-9.]*\) FPS$/\1/p' "$folder/$name.log" | head -n 1)" >>"$folder/rates"
	done
}

mkdir -p "$folder"
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
start_screens
case $2 in
pictures)
	draw_pictures ;;
rates)
	[ "$1" = llvmpipe ] || measure together "${names[@]}"
	for name in "${names[@]}"; do
		measure alone "$name"
	done ;;
esac
