// SPDX-License-Identifier: MIT
/*
 * A client of the host that comes to a fixed port while its daemon is replaced.
 *
 *	survive_client SOCKET PORT PATH ROUNDS COMMAND
 *
 * PORT is the number of a fixed port with the service unix-listen:PATH. In each round COMMAND, a
 * line for the shell, is called with "stop", and the daemon looks at no ring any more; then with
 * "kill", and when it has succeeded the daemon has ended. In between a CONNECT is put into the
 * ring. A client that comes to the next daemon before the driver has answered BYE waits for the
 * channel that the driver makes behind that, and is ended by none before. Prints a line for each
 * round; status 0 if all of it was so.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver.h"

#define SLOT	0

static struct driver *driver;

static void run(const char *command, const char *how)
{
	char line[1024];

	snprintf(line, sizeof(line), "%s %s >&2", command, how);
	fflush(stdout);
	if (system(line))
		FAIL("the command has failed: %s", line);
}

/* In the ring, and not answered. Returns its head. */
static int offer_connect(uint32_t result)
{
	const struct mp_connect connect = { .uid = htole32(1000), .gid = htole32(1000) };
	const struct mp_request header = {
		.op = htole16(MP_OP_CONNECT), .length = htole32(sizeof(connect)),
		.channel = htole32(SLOT), .generation = htole32(++driver->generation),
	};
	const struct peer_segment segments[] = {
		{ peer_gpa(driver->request), sizeof(header) },
		{ peer_gpa(driver->out), sizeof(connect) },
		{ peer_gpa(result), sizeof(struct mp_result) },
	};
	int head;

	driver->channels[SLOT] = (struct driver_channel){ .generation = driver->generation };
	memcpy(driver->peer->mem + driver->request, &header, sizeof(header));
	memcpy(driver->peer->mem + driver->out, &connect, sizeof(connect));
	head = peer_add(driver->tx, segments, 2, 1);
	peer_kick(driver->tx);
	return head;
}

/* When the next daemon listens. */
static int come(const char *path)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	while (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		if (peer_now_ms() >= limit)
			FAIL("no client can come: %s", strerror(errno));
		usleep(1000);
	}
	return fd;
}

static void await_answer(int head)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	uint32_t len;
	int got;

	while ((got = peer_wait_used(driver->peer, driver->tx, &len, 10)) < 0) {
		driver_take_control(driver);
		if (peer_now_ms() >= limit)
			FAIL("CONNECT was not answered");
	}
	CHECK(got == head);
}

static void expect_waiting(int client)
{
	struct pollfd fd = { .fd = client, .events = POLLIN | POLLRDHUP };

	CHECK(!poll(&fd, 1, 0));
}

/* The next channel is the client's. */
static void exchange(int client)
{
	char byte = 0;

	driver_open_channel(driver, SLOT, "");
	CHECK(write(client, "c", 1) == 1);
	driver_wait(driver, SLOT, MP_ST_IN);
	CHECK(driver_read(driver, SLOT, 0, 10) == MP_OK && *driver_in(driver) == 'c');
	CHECK(driver_write(driver, SLOT, 0, "g", 1) == MP_OK);
	CHECK(read(client, &byte, 1) == 1 && byte == 'g');
	CHECK(driver_simple(driver, MP_OP_CLOSE, SLOT, MP_CLOSE_ABORT, 1) == MP_OK);
	close(client);
}

static void play(int round, const char *path, const char *command)
{
	uint32_t result = peer_alloc(driver->peer, sizeof(struct mp_result));
	unsigned int lives = driver->lives;
	struct mp_result answer;
	int head, client;

	run(command, "stop");
	head = offer_connect(result);
	run(command, "kill");
	client = come(path);
	await_answer(head);
	CHECK(driver->lives == lives + 1);
	memcpy(&answer, driver->peer->mem + result, sizeof(answer));
	CHECK(le32toh(answer.status) == MP_BUSY);
	expect_waiting(client);
	CHECK(driver_simple(driver, MP_OP_CLOSE, SLOT, MP_CLOSE_ABORT, 0) == MP_STALE);
	expect_waiting(client);
	exchange(client);
	printf("ok %d - a client waits for the channel behind BYE\n", round);
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: survive_client SOCKET PORT PATH ROUNDS COMMAND\n");
		return 64;
	}
	driver = driver_open(argv[1], atoi(argv[2]));
	driver->version = MP_VERSION;
	driver->survives = true;
	driver_start(driver);
	for (int round = 1; round <= atoi(argv[4]); round++)
		play(round, argv[3], argv[5]);
	return 0;
}
