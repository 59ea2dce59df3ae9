// SPDX-License-Identifier: MIT
/*
 * Bytes that were taken arrive: a guest, a daemon and the service at the far end.
 *
 *	ends DAEMON FOLDER	each kind of service with each kind of end; TAP
 *
 * The guest writes until the service is full, then ends the channel in one way. The far end,
 * which has read nothing until then, counts what it gets, and looks at how that ends.
 */
#include <linux/virtio_console.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"
#include "ends.h"

#define ALL_BYTES (4U << 20)

/* --- The guest --------------------------------------------------------------------- */

static void fill_bytes(uint8_t *bytes, uint64_t offset, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_at(offset + i);
}

/* Writes until no more is taken; how much was. */
static uint64_t fill(struct driver *d)
{
	static uint8_t bytes[DRIVER_BUFFER];
	uint64_t taken = 0;
	uint32_t count;

	do {
		fill_bytes(bytes, taken, sizeof(bytes));
		count = 0;
		if (driver_write(d, 0, taken, bytes, sizeof(bytes)) == MP_OK)
			count = le32toh(driver_result(d)->count);
		taken += count;
	} while (count == sizeof(bytes) && taken < ALL_BYTES);
	CHECK(taken > 8192);
	return taken;
}

/* Exactly so many. */
static void put(struct driver *d, uint64_t len)
{
	static uint8_t bytes[DRIVER_BUFFER];
	uint64_t taken = 0;

	while (taken < len) {
		fill_bytes(bytes, taken, sizeof(bytes));
		if (driver_write(d, 0, taken, bytes, len - taken < sizeof(bytes) ? len - taken :
						     sizeof(bytes)) == MP_OK)
			taken += le32toh(driver_result(d)->count);
		else
			driver_wait(d, 0, MP_ST_OUT);
	}
}

/* As fill(), with the stock driver: a chain of which the device takes a part does not come back. */
static uint64_t fill_classic(struct driver *d, const char *name)
{
	struct peer_segment segment = { peer_gpa(d->out), strlen(name) + 1 };
	uint64_t taken = 0;

	strcpy((char *)d->peer->mem + d->out, name);
	peer_add(d->tx, &segment, 1, 0);
	peer_kick(d->tx);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
	segment.len = 8192;
	for (taken = 0; taken < 64 * 1024; taken += segment.len) {
		fill_bytes(d->peer->mem + d->out, taken, segment.len);
		peer_add(d->tx, &segment, 1, 0);
		peer_kick(d->tx);
		CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
	}
	return taken;
}

enum end { CLOSE, ABORT, BYE, READY, PORT_GONE, SESSION, TERM, ENDS };
static const char *const end_names[] = {
	"close", "abort", "BYE", "DEVICE_READY", "PORT_READY 0", "end of the session", "SIGTERM",
};

static void end_channel(struct driver *d, enum end end, uint64_t final)
{
	switch (end) {
	case CLOSE:
	case ABORT:
		CHECK(driver_simple(d, MP_OP_CLOSE, 0, end == ABORT ? MP_CLOSE_ABORT : 0, final) ==
		      MP_OK);
		break;
	case BYE:
		driver_control(d, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_BYE, 0, NULL, 0);
		break;
	case READY:
		driver_control(d, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
		break;
	case PORT_GONE:
		driver_control(d, PORT, VIRTIO_CONSOLE_PORT_READY, 0, NULL, 0);
		break;
	case SESSION:
		peer_close(d->peer);
		break;
	case TERM:
		kill(daemon_pid, SIGTERM);
		break;
	case ENDS:
		break;
	}
}

/* --- Cases ----------------------------------------------------------------------------- */

static struct driver *open_channel(struct far_end *far, const char *kind)
{
	struct driver *d;

	start_daemon();
	d = driver_open(in_folder("sock"), PORT);
	driver_start(d);
	CHECK(driver_connect(d, 0, kind) == MP_OK);
	meet(far, kind);
	driver_wait(d, 0, MP_ST_CONNECTED | MP_ST_REFUSED);
	CHECK(d->channels[0].bits & MP_ST_CONNECTED);
	if (!strcmp(kind, "exec"))
		expect_program_begins();
	return d;
}

static void expect_far_end(struct far_end *far, const char *kind, enum end end, uint64_t taken)
{
	bool is_tcp = !strcmp(kind, "tcp");

	hear_all(far);
	if (is_tcp && end == ABORT)
		CHECK(far->got < taken);
	else if (far->got != taken)
		FAIL("%llu of %llu bytes", (unsigned long long)far->got, (unsigned long long)taken);
	/* A local socket knows no reset of its own. */
	if ((end == CLOSE && far->was_reset) || (end != CLOSE && is_tcp && !far->was_reset))
		FAIL("%s at the end", far->was_reset ? "a reset" : "no reset");
}

static void finish(enum end end)
{
	if (end != TERM)
		kill(daemon_pid, SIGTERM);
	expect_daemon_ends();
}

static void one_end(const char *kind, enum end end, bool is_talking)
{
	bool is_exec = !strcmp(kind, "exec");
	struct far_end far;
	struct driver *d;
	uint64_t taken;

	prepare(&far, kind);
	far.is_talking = is_talking;
	write_config(far.port, is_talking ? "3000000 0" : "0 0");
	d = open_channel(&far, kind);
	taken = fill(d);
	if (is_talking && !is_exec)
		say(&far);
	end_channel(d, end, taken);
	if (is_exec)
		expect_program(taken, end == CLOSE ? "end" : end == ABORT ? "aborted" : "term");
	else
		expect_far_end(&far, kind, end, taken);
	if (end == CLOSE || end == ABORT) {
		driver_wait(d, 0, MP_ST_CLOSED);
		CHECK(d->channels[0].reason == MP_REASON_NONE);
	}
	finish(end);
}

static void one_classic(const char *kind, enum end end)
{
	struct far_end far;
	struct driver *d;
	uint64_t taken;

	prepare(&far, kind);
	write_config(far.port, "0 0");
	start_daemon();
	d = driver_open(in_folder("sock"), PORT);
	driver_start_classic(d);
	taken = fill_classic(d, kind);
	meet(&far, kind);
	if (!strcmp(kind, "exec"))
		expect_program_begins();
	if (end == CLOSE)
		driver_control(d, PORT, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL, 0);
	else
		end_channel(d, end, taken);
	if (far.fd < 0)
		expect_program(taken, end == CLOSE ? "end" : "term");
	else
		expect_far_end(&far, kind, end, taken);
	finish(end);
}

/* --- Limits ------------------------------------------------------------------------------ */

/* A service that takes nothing: guest and log say so, and it sees a reset. */
static void limit_of_close(void)
{
	struct far_end far;
	struct driver *d;
	uint64_t taken;

	linger = "500ms";
	prepare(&far, "tcp");
	write_config(far.port, "0 0");
	d = open_channel(&far, "tcp");
	taken = fill(d);
	end_channel(d, CLOSE, taken);
	driver_wait(d, 0, MP_ST_CLOSED);
	CHECK(d->channels[0].reason == MP_REASON_LINGER);
	expect_log("channel 0.1: tcp (");
	expect_log(" bytes were not taken for ");
	hear_all(&far);
	CHECK(far.was_reset && far.got < taken);
	finish(CLOSE);
}

/* What lies in its socket a program has not got: its own, longer limit is for what it has read. */
static void limit_of_unread(void)
{
	struct far_end far;
	struct driver *d;

	linger = "500ms";
	prepare(&far, "deaf");
	write_config(far.port, "0 0");
	d = open_channel(&far, "deaf");
	end_channel(d, CLOSE, fill(d));
	driver_wait(d, 0, MP_ST_CLOSED);
	CHECK(d->channels[0].reason == MP_REASON_LINGER);
	expect_log(" bytes were not taken for ");
	expect_log("ended by signal 15");
	finish(CLOSE);
}

/* Takes six of eight parts. Returns the longest time, in ms, in which it took nothing. */
static uint64_t take_parts(struct far_end *far, uint64_t taken, uint64_t pause)
{
	uint64_t longest = 0, last = peer_now_ms(), next;

	for (int part = 1; part <= 6 && !far->has_ended; part++) {
		next = peer_now_ms() + pause;
		while (far->got < taken * part / 8 && !far->has_ended) {
			struct pollfd fd = { .fd = far->fd, .events = POLLIN };
			uint64_t now;

			poll(&fd, 1, 1000);
			hear(far);
			now = peer_now_ms();
			if (now - last > longest)
				longest = now - last;
			last = now;
		}
		while (peer_now_ms() < next && !far->has_ended)
			poll(NULL, 0, next - peer_now_ms());
	}
	return longest;
}

/* False: the machine, and not the far end, was slower than the limit. */
static bool progress_within(unsigned int limit_ms)
{
	uint64_t begin, taken;
	struct far_end far;
	struct driver *d;
	char text[20];

	snprintf(text, sizeof(text), "%ums", limit_ms);
	linger = text;
	prepare(&far, "tcp");
	write_config(far.port, "0 0");
	d = open_channel(&far, "tcp");
	taken = fill(d);
	begin = peer_now_ms();
	end_channel(d, CLOSE, taken);
	if (take_parts(&far, taken, limit_ms * 3 / 5) >= limit_ms * 4 / 5) {
		peer_close(d->peer);
		hear_all(&far);
		finish(CLOSE);
		return false;
	}
	expect_far_end(&far, "tcp", CLOSE, taken);
	CHECK(peer_now_ms() - begin > 2 * limit_ms);
	driver_wait(d, 0, MP_ST_CLOSED);
	CHECK(d->channels[0].reason == MP_REASON_NONE);
	finish(CLOSE);
	return true;
}

/* One that takes a part now and then gets all, though the whole takes longer than the limit. */
static void progress_of_close(void)
{
	unsigned int limit_ms = 500;

	while (!progress_within(limit_ms)) {
		limit_ms *= 3;
		CHECK(limit_ms < 60000);
	}
}

/*
 * A program works on when its input has ended, for longer than the linger limit. That is for what
 * it has not read: nothing.
 */
static void program_works_on(enum end end)
{
	struct far_end far;
	struct driver *d;

	linger = "300ms";
	prepare(&far, "exec");
	write_config(far.port, "0 1.2");
	d = open_channel(&far, "exec");
	put(d, PROGRAM_TELLS);
	expect_program_tells();
	end_channel(d, CLOSE, PROGRAM_TELLS);
	if (end != CLOSE)
		end_channel(d, end, PROGRAM_TELLS);
	expect_program(PROGRAM_TELLS, "end");
	if (end == CLOSE) {
		driver_wait(d, 0, MP_ST_CLOSED);
		CHECK(d->channels[0].reason == MP_REASON_NONE);
	}
	finish(CLOSE);
}

static void second_signal(void)
{
	struct far_end far;
	struct driver *d;

	linger = "1h";
	prepare(&far, "tcp");
	write_config(far.port, "0 0");
	d = open_channel(&far, "tcp");
	fill(d);
	kill(daemon_pid, SIGTERM);
	expect_log("waiting for 1 of them");
	CHECK(!kill(daemon_pid, 0));
	kill(daemon_pid, SIGTERM);
	expect_daemon_ends();
}

/* --- Running -------------------------------------------------------------------------------- */

static int tests, failures;

/* True in the child that is to run the test. */
static bool begin(void)
{
	pid_t pid;
	int status;

	unlink(in_folder("result"));
	unlink(in_folder("result.began"));
	unlink(in_folder("result.read"));
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		return true;
	CHECK(waitpid(pid, &status, 0) == pid);
	tests++;
	failures += !!status;
	printf("%sok %d - ", status ? "not " : "", tests);
	return false;
}

#define RUN(call, ...) do {							\
	if (begin()) {								\
		call;								\
		_exit(0);	/* its guest is not freed: that is no leak */	\
	}									\
	printf(__VA_ARGS__);							\
	printf("\n");								\
} while (0)

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "tcp", "unix", "listen", "exec" };
	static const enum end classic[] = { CLOSE, READY, SESSION, TERM };

	if (argc != 3)
		return 64;
	daemon_path = argv[1];
	folder = argv[2];
	write_program();
	for (int i = 0; i < 8; i++)
		for (enum end end = 0; end < ENDS; end++)
			RUN(one_end(kinds[i / 2], end, i & 1), "%s%s: %s", kinds[i / 2],
			    i & 1 ? " that talks" : "", end_names[end]);
	for (int i = 0; i < 8; i++)
		RUN(one_classic(i & 1 ? "exec" : "tcp", classic[i / 2]), "stock driver, %s: %s",
		    i & 1 ? "exec" : "tcp", end_names[classic[i / 2]]);
	RUN(limit_of_close(), "close: a limit without progress");
	RUN(limit_of_unread(), "close: a limit for a program that does not read");
	RUN(progress_of_close(), "close: slow progress is progress");
	RUN(program_works_on(CLOSE), "close: a program works on");
	RUN(program_works_on(BYE), "a program works on behind BYE");
	RUN(second_signal(), "a second signal ends the daemon at once");
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
