#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest: one qemu-ga on each port called $1, until a file says that the tools are
# done. Then what each has used of the processor: the one on manyport must not have spun.
# Continues the tools' TAP.
name=$1

modprobe virtio_console || exit 1

node_of()
{
	for port in /sys/class/"$1"/*; do
		if [ "$(cat "$port/name" 2>/dev/null)" = "$name" ]; then
			echo "/dev/${port##*/}"
		fi
	done
}

# start CLASS: prints the process.
start()
{
	until node=$(node_of "$1") && [ -c "$node" ]; do
		sleep 0.1
	done
	mkdir -p "/tmp/$1" /run /var/run
	qemu-ga -m virtio-serial -p "$node" -t "/tmp/$1" -l "/tmp/$1/log" -f "/tmp/$1/pid" \
		>/dev/null 2>&1 &
	echo $!
}

now()
{
	read -r seconds _ </proc/uptime
	echo "${seconds%.*}${seconds#*.}"
}

# In hundredths of a second, as now().
used()
{
	cut -d' ' -f14,15 "/proc/$1/stat" | { read -r user system; echo $((user + system)); }
}

status=0
manyport=$(start manyport)
stock=$(start virtio-ports)
begin=$(now)
until [ -e /tmp/done ]; do
	sleep 0.1
done
time=$(($(now) - begin))
read -r number </tmp/done
spent=$(used "$manyport" 2>/dev/null)
echo "# of $time hundredths of a second the agent used $spent," \
	"the one on the stock port $(used "$stock")"
result=ok
if [ -z "$spent" ] || [ "$spent" -ge $((time / 2)) ]; then
	result='not ok'
	status=1
fi
echo "$result $number - manyport: the agent lives, and slept for more than half of the time"
kill "$manyport" "$stock"
wait
exit $status
