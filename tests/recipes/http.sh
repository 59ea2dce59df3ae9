#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest of test-http. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
# shellcheck source=tests/recipes/rate.sh
. ./rate.sh
until_true test -e /dev/virtio-ports/manyport || exit 1
ifconfig lo up
mkdir -p /run
manyport forward -L /run/docker.sock:docker -L /run/web.sock:web -L /run/nginx.sock:nginx -L /run/halves.sock:halves -L 8080:web \
	-L 8081:nginx 2>/tmp/forward &
until_true grep -q 'forwarding 8081' /tmp/forward || exit 1

why()
{
	tail -n 5 /tmp/out /tmp/err /tmp/forward
}

# post SIZE COMMAND...: a request with so many bytes behind it, and then the end of the input.
post()
{
	size=$1
	shift
	head -c "$size" /dev/urandom >/tmp/body
	{
		printf 'POST /attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'
		cat /tmp/body
	} | timeout 100 "$@" >/tmp/out 2>/tmp/err
	sum=$(sha256sum </tmp/body | cut -d' ' -f1)
	[ "$(tail -n 1 /tmp/out)" = "$size $sum" ]
}

no_channels()
{
	[ "$(cat /sys/class/manyport/*/channels)" = 0 ]
}

# Called by compare(). Requests of 1,000 bytes, each with a connection of its own, twenty at a time; MB of one answer.
rate_requests()
{
	[ "$1" = here ] && at=127.0.0.1:8081 || at=10.0.2.2:$PORT
	timeout 200 ab -q -n 200 -c 20 http://$at/put/rate/small 2>/tmp/err |
		sed -n 's/^Requests per second: *\([0-9.]*\).*/\1/p'
}

rate_curl()
{
	if [ "$1" = here ]; then
		set -- --unix-socket /run/nginx.sock http://host/put/rate/big
	else
		set -- "http://10.0.2.2:$PORT/put/rate/big"
	fi
	per_second 10 curl -sf -o /dev/null "$@"
}

requests=200 clients=20 plan=12
[ -z "$ALL" ] || { requests=2000 clients=50 plan=14; }
echo "1..$plan"
for size in 0 1 65535 10485760; do
	post $size socat -t 60 - UNIX-CONNECT:/run/docker.sock
	ok "an upgraded connection: $size bytes, the end of the input, and the answer to it"
done
post 65535 manyport connect docker
ok "the same without a forwarder"
timeout 60 curl -sv --unix-socket /run/web.sock http://host/100000 http://host/1 \
	>/tmp/out 2>/tmp/err
[ "$(wc -c </tmp/out)" = 100001 ] && grep -q 'Re-using existing connection' /tmp/err
ok "curl: two requests on one connection"
timeout 200 ab -q -n $requests -c $clients http://127.0.0.1:8080/1000 >/tmp/out 2>/tmp/err
grep -q "^Complete requests: *$requests$" /tmp/out && grep -q '^Failed requests: *0$' /tmp/out &&
	grep -q "^HTML transferred: *${requests}000 bytes" /tmp/out
ok "ab: $requests connections, $clients at a time"
timeout 200 ab -q -k -n $requests -c $clients http://127.0.0.1:8080/1000 >/tmp/out 2>/tmp/err
grep -q "^Keep-Alive requests: *$requests$" /tmp/out && grep -q '^Failed requests: *0$' /tmp/out
ok "ab: $requests requests on $clients connections"
post 10485760 socat -t 60 - UNIX-CONNECT:/run/halves.sock
ok "nginx, streams: 10 MB, the end of the input, and the answer to it"
# nginx takes an end of the input before the answer for a client that has gone.
: >/tmp/out
{
	printf 'GET /x HTTP/1.1\r\nHost: host\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'
	until_true grep -q '^HTTP/1.1 101 ' /tmp/out
} | timeout 60 socat -t 60 - UNIX-CONNECT:/run/nginx.sock >/tmp/out 2>/tmp/err
grep -q '^HTTP/1.1 101 ' /tmp/out
ok "nginx, HTTP: a connection is upgraded through it"
head -c 10485760 /dev/urandom >/tmp/body
timeout 100 curl -sf --unix-socket /run/nginx.sock -H Expect: -T - http://host/put/body </tmp/body \
	>/tmp/out 2>/tmp/err && timeout 100 curl -sf --unix-socket /run/nginx.sock http://host/put/body \
	2>/tmp/err | cmp - /tmp/body >/tmp/out
ok "nginx, HTTP: a PUT of 10 MB in chunks, which a GET brings back"
if [ -n "$ALL" ]; then
	compare requests "requests a second"
	compare curl "MB a second"
fi
until_true no_channels
ok "no channel is left"
kill $!
wait $!
exit $status
