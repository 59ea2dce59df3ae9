#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC3045 # busybox has read -t
# shellcheck disable=SC2317,SC2154 # called by step; set by eval
#
# The demo inside the guest, on the road ROAD: module, vsock or stream. FILE_SHA256 and
# FILE_SIZE tell of the host's file. The status is 0 when every step held what its title
# says.
# shellcheck source=demo/session.sh
. ./session.sh
# shellcheck source=demo/module.sh
. "./$ROAD.sh"
cd /tmp || exit
open_road || exit

# A channel is gone a moment after the process that had it.
all_gone()
{
	local begin

	begin=$(now)
	until [ "$(count_channels)" = 0 ]; do
		[ $(($(now) - begin)) -lt 1000 ] || break
	done
	expect "the number of channels at the end" "$(count_channels)" 0
}

has_no_module()
{
	expect "the number of modules named manyport" "$(grep -c '^manyport ' /proc/modules)" 0
}

many_processes()
{
	show_road || return
	start_session 1 root echo
	start_session 2 root upper
	start_session 3 alice opener
	say 1 "hello from one"
	say 2 "hello from two"
	say 3 "hello from three"
	hear 1
	expect "the answer" "$heard" "hello from one" || return
	hear 2
	expect "the answer" "$heard" "HELLO FROM TWO" || return
	hear 3
	hear 3
	expect "the answer" "$heard" "hello from three" || return
	show_session 1 && show_session 2 && show_session 3 || return
	show_channels
	expect "the number of channels" "$(count_channels)" 3 || return
	note="3 channels"
	end_session 1 && end_session 2 && end_session 3 && all_gone
}

# are_alice_and_bob LINE LINE: for a road on which the host knows the guest's users, who are 1000 and 1001.
are_alice_and_bob()
{
	case "$1 / $2" in
	*"$pid1 "*"user 1000 "*/*"$pid2 "*"user 1001 "*) ;;
	*) echo "wrong: these are not alice and bob"; return 1 ;;
	esac
}

# The opener's first line is "this is process P of the host, for process Q ...".
same_service()
{
	local one two

	start_session 1 alice opener
	start_session 2 bob opener
	hear 1
	one=$heard
	hear 2
	two=$heard
	say 1 "I am alice"
	say 2 "I am bob"
	hear 2
	expect "bob's answer" "$heard" "I am bob" || return
	hear 1
	expect "alice's answer" "$heard" "I am alice" || return
	differ_openers "$one" "$two" || return
	expect "the number of channels" "$(count_channels)" 2 || return
	note="a host process for each"
	end_session 1 && end_session 2 && all_gone
}

cli()
{
	redis-cli -s /run/redis.sock "$@"
}

count_up()
{
	cli -r 200 incr manyport:counter >/dev/null
}

talk_to_redis()
{
	local begin one two

	cli info server | tr -d '\r' | grep -E '^(redis_version|os|process_id)' || return
	show redis-cli -s /run/redis.sock set manyport:greeting "hello from $(uname -n)" || return
	show redis-cli -s /run/redis.sock get manyport:greeting || return
	expect "the greeting" "$(cli get manyport:greeting)" "hello from guest" || return
	begin=$(now)
	count_up &
	one=$!
	count_up &
	two=$!
	count_up
	wait "$one" && wait "$two" || return
	note="600 requests of three clients at once in $(seconds $(($(now) - begin))) s"
	show redis-cli -s /run/redis.sock get manyport:counter
	expect "the counter" "$(cli get manyport:counter)" 600
}

real_server()
{
	local forward status

	mkfifo messages
	echo "guest# manyport forward -L /run/redis.sock:redis &"
	manyport forward -L /run/redis.sock:redis 2>messages &
	forward=$!
	exec 3<messages
	# It listens when it says so.
	read -r heard <&3
	echo "$heard"
	talk_to_redis
	status=$?
	kill "$forward"
	wait "$forward"
	# What it had to say on top, until its end.
	cat <&3
	exec 3<&-
	[ "$status" = 0 ] && all_gone
}

# rate BYTES CENTISECONDS
rate()
{
	echo "$(($1 / ($2 + 1) / 10000)) MB/s"
}

big_file()
{
	local begin fetched stored sum

	begin=$(now)
	echo "guest# manyport connect -n fetch >file"
	manyport connect -n fetch >file || return
	fetched=$(($(now) - begin))
	echo "$(stat -c %s file) bytes in $(seconds "$fetched") s"
	sum=$(sha256sum file)
	echo "guest# sha256sum file"
	echo "$sum"
	expect "the checksum" "${sum%% *}" "$FILE_SHA256" || return
	begin=$(now)
	echo "guest# $store <file"
	$store <file || return
	stored=$(($(now) - begin))
	echo "$FILE_SIZE bytes in $(seconds "$stored") s"
	note="in with $(rate "$FILE_SIZE" "$fetched"), out with $(rate "$FILE_SIZE" "$stored")"
	rm file
}

# refuse WORDS COMMAND: it fails and its message has these words.
refuse()
{
	local said

	echo "guest# $2"
	if said=$(sh -c "$2" 2>&1); then
		echo "wrong: that was not refused"
		return 1
	fi
	echo "$said"
	case $said in
	*"$1"*) note=$1 ;;
	*) echo "wrong: no word of '$1'"; return 1 ;;
	esac
}

# For a road on which the host knows the guest's users.
admin_is_for_root()
{
	refuse "not allowed" "su alice -c 'manyport connect admin'" || return
	show manyport connect admin </dev/null
}

refused_names()
{
	refused_users || return
	refuse "no such service" "manyport connect nonsuch"
}

step "1 three processes on one port at once" many_processes
step "2 two of them on the same service" same_service
step "3 a real server: Redis on the host, redis-cli in the guest" real_server
step "4 a file of $((FILE_SIZE / 1000000)) MB through exec: services" big_file
step "5 names that are refused" refused_names
exit "$failed"
