# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# How fast a recipe is, for the scripts that run in a guest; they source it behind tap.sh. A script has a function
# rate_NAME for each rate, which prints it: of its program through manyport with the argument "here", and over QEMU's
# user network (to the host's 10.0.2.2) with "net", where the guest has that. The host's own is that of its
# service "rate" (rates() of lib.sh).
if [ -n "${NETWORK-}" ]; then
	modprobe virtio_net && ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0
fi

# per_second WORK COMMAND...: runs it once, and prints how much of WORK that is in a second.
per_second()
{
	work=$1
	shift
	read -r begun _ </proc/uptime
	"$@" >/tmp/out 2>/tmp/err </dev/null || return
	read -r ended _ </proc/uptime
	awk "BEGIN { printf \"%.2f\\n\", $work / ($ended - $begun + 0.001) }"
}

# Three rates each, and nothing else.
three_each()
{
	for where in /tmp/rate.*; do
		[ "$(grep -cE '^[0-9.]*[1-9][0-9.]*$' "$where")" = 3 ] && [ "$(wc -l <"$where")" = 3 ] ||
			return 1
	done
}

medians()
{
	for where in /tmp/rate.*; do
		echo "${where##*.} $(sort -n "$where" | sed -n 2p)"
	done
}

# compare NAME UNIT [no-net]: a test. Three rounds, in which all are measured one after the other; their medians are printed.
compare()
{
	rm -f /tmp/rate.*
	for _ in 1 2 3; do
		"rate_$1" here >>/tmp/rate.here
		timeout 200 manyport connect -n "rate+$1" >>/tmp/rate.host 2>/tmp/err
		[ -z "${NETWORK-}" ] || [ -n "${3-}" ] || "rate_$1" net >>/tmp/rate.net
	done
	three_each && medians | awk -v name="$1" -v unit="$2" '
		{ rate[$1] = $2 }
		END {
			printf "# rate of %s: %s %s; the host itself %s, of which that is %.1f %%", name,
				rate["here"], unit, rate["host"], 100 * rate["here"] / rate["host"]
			if ("net" in rate)
				printf "; over QEMU\047s network %s, that is %.2f times", rate["net"],
					rate["here"] / rate["net"]
			print ""
		}'
	three_each
	ok "rate of $1"
}
