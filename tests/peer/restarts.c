// SPDX-License-Identifier: MIT
/*
 * A guest whose daemon is restarted again and again, and the far ends of its services.
 *
 *	restarts serve FOLDER		echoes on FOLDER/unix and a TCP port, which it says first
 *	restarts guest SOCKET CHANNELS SEED FOLDER
 *					bytes through so many channels, each byte checked, until
 *					FOLDER/end is there; then all ends, and it says what
 *					it moved, and how long two requests took at most
 *
 * Each channel is to an echo: of the daemon, of a unix socket, of TCP, or "cat". The test's script
 * restarts the daemon.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver.h"

#define PORT	0
#define CHUNK	8192
#define IDLE	1000		/* channels behind so many are looked at less often */

/* --- The far ends ----------------------------------------------------------------- */

static void *echo(void *argument)
{
	int fd = (int)(intptr_t)argument;
	char bytes[16384];
	ssize_t len, done;

	while ((len = read(fd, bytes, sizeof(bytes))) > 0)
		for (done = 0; done < len;) {
			ssize_t n = write(fd, bytes + done, len - done);

			if (n <= 0)
				break;
			done += n;
		}
	close(fd);
	return NULL;
}

static void *accept_all(void *argument)
{
	int listener = (int)(intptr_t)argument, fd;
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		CHECK(!pthread_create(&thread, &attributes, echo, (void *)(intptr_t)fd));
	return NULL;
}

static int serve(const char *folder)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int sockets[2] = { socket(AF_UNIX, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0) };
	socklen_t len = sizeof(address);
	pthread_t thread;

	signal(SIGPIPE, SIG_IGN);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/unix", folder);
	CHECK(!bind(sockets[0], (struct sockaddr *)&name, sizeof(name)));
	CHECK(!bind(sockets[1], (struct sockaddr *)&address, sizeof(address)));
	CHECK(!getsockname(sockets[1], (struct sockaddr *)&address, &len));
	for (int i = 0; i < 2; i++)
		CHECK(!listen(sockets[i], 4096));
	CHECK(!pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)sockets[0]));
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	accept_all((void *)(intptr_t)sockets[1]);
	return 0;
}

/* --- The guest --------------------------------------------------------------------- */

struct flow {
	uint64_t out, in;
};

static uint8_t byte_of(uint32_t slot, uint64_t offset)
{
	return offset * 31 + (offset >> 8) * 7 + slot * 13;
}

static uint32_t seed;

static uint32_t any(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static bool is_healthy(const struct driver *d, uint32_t slot)
{
	return !(d->channels[slot].bits & (MP_ST_FAILED | MP_ST_REFUSED | MP_ST_CLOSED));
}

static void write_to(struct driver *d, struct flow *flow, uint32_t slot, uint32_t len)
{
	uint8_t bytes[CHUNK];
	uint32_t status;

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = byte_of(slot, flow->out + i);
	status = driver_write(d, slot, flow->out, bytes, len);
	CHECK(status == MP_OK || status == MP_AGAIN);
	if (status == MP_OK)
		flow->out += le32toh(driver_result(d)->count);
}

/* Returns false when there was nothing. */
static bool read_from(struct driver *d, struct flow *flow, uint32_t slot)
{
	uint32_t status = driver_read(d, slot, flow->in, CHUNK), count;

	CHECK(status == MP_OK || status == MP_AGAIN);
	count = status == MP_OK ? le32toh(driver_result(d)->count) : 0;
	for (uint32_t i = 0; i < count; i++)
		CHECK(driver_in(d)[i] == byte_of(slot, flow->in + i));
	flow->in += count;
	CHECK(flow->in <= flow->out);
	return count;
}

static void step(struct driver *d, struct flow *flow, uint32_t slot)
{
	CHECK(is_healthy(d, slot));
	if (flow->out - flow->in < 65536)
		write_to(d, flow, slot, 1 + any(CHUNK));
	read_from(d, flow, slot);
}

static bool is_there(const char *folder, const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return !stat(path, &st);
}

static void say(const char *folder, const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0);
	close(fd);
}

/* All that was written comes back, then the end. */
static void finish(struct driver *d, struct flow *flow, uint32_t slot)
{
	CHECK(driver_simple(d, MP_OP_SHUTDOWN, slot, MP_SHUT_WRITE, flow->out) == MP_OK);
	while (flow->in < flow->out)
		if (!read_from(d, flow, slot))
			driver_wait(d, slot, MP_ST_IN);
	while (!(d->channels[slot].bits & MP_ST_IN_END)) {
		driver_wait(d, slot, MP_ST_IN | MP_ST_IN_END);
		CHECK(!read_from(d, flow, slot));
	}
	CHECK(is_healthy(d, slot));
	CHECK(driver_simple(d, MP_OP_CLOSE, slot, 0, flow->out) == MP_OK);
	driver_wait(d, slot, MP_ST_CLOSED);
	CHECK(d->channels[slot].reason == MP_REASON_NONE);
}

static int guest(const char *path, uint32_t count, const char *folder)
{
	static const char *const names[] = { "echo", "unix", "tcp", "cat" };
	struct flow *flows = calloc(count, sizeof(*flows));
	static struct driver *d;
	uint64_t total = 0, before, longest = 0;

	d = driver_open(path, PORT);
	driver_start(d);
	CHECK(count <= d->max_channels);
	for (uint32_t i = 0; i < count; i++)
		driver_open_channel(d, i, names[count > 2 * IDLE ? i % 2 : i % 4]);
	say(folder, "ready");
	while (!is_there(folder, "end")) {
		for (int i = 0; i < 64; i++) {
			uint32_t slot = any(any(8) ? count < IDLE ? count : IDLE : count);

			before = peer_now_ms();
			step(d, &flows[slot], slot);
			if (peer_now_ms() - before > longest)
				longest = peer_now_ms() - before;
		}
		driver_take_events(d);
	}
	for (uint32_t i = 0; i < count; i++) {
		finish(d, &flows[i], i);
		total += flows[i].in;
	}
	free(flows);
	printf("bytes %llu\nlongest wait %llu ms\n", (unsigned long long)total,
	       (unsigned long long)longest);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(argv[2]);
	if (argc != 6)
		return 2;
	seed = atoi(argv[4]);
	return guest(argv[2], atoi(argv[3]), argv[5]);
}
