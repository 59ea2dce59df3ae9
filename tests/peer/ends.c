// SPDX-License-Identifier: MIT
/*
 * Bytes that were taken arrive: a guest, a daemon and the service at the far end.
 *
 *	ends DAEMON FOLDER	each kind of service with each kind of end; TAP
 *
 * The guest writes until the service is full, then ends the channel in one way. The far end,
 * which has read nothing until then, counts what it gets, and looks at how that ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

#define LIMIT_MS  20000
#define ALL_BYTES (4U << 20)
#define PORT	  1

static const char *daemon_path, *folder;
static const char *linger = "5s";
static pid_t daemon_pid;

/* --- The daemon ------------------------------------------------------------------ */

static const char *in_folder(const char *name)
{
	static char path[4][256];
	static unsigned int turn;
	char *text = path[turn++ % 4];

	snprintf(text, sizeof(path[0]), "%s/%s", folder, name);
	return text;
}

static struct sockaddr_un unix_name(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	CHECK(strlen(in_folder(name)) < sizeof(address.sun_path));
	strcpy(address.sun_path, in_folder(name));
	return address;
}

static void write_config(uint16_t tcp_port, const char *program)
{
	FILE *file = fopen(in_folder("conf"), "w");

	CHECK(file);
	fprintf(file, "[Guest]\nLingerTimeoutSec=%s\n[Port manyport]\nId=%d\n", linger, PORT);
	fprintf(file, "[Service tcp]\nConnect=tcp:127.0.0.1:%u\n", tcp_port);
	fprintf(file, "[Service unix]\nConnect=unix:%s\n", in_folder("far"));
	fprintf(file, "[Service listen]\nConnect=unix-listen:%s\n", in_folder("near"));
	fprintf(file, "[Service exec]\nConnect=exec:perl %s %s %s\n", in_folder("program"), program,
		in_folder("result"));
	CHECK(!fclose(file));
}

/* Does it listen? Its socket is there a moment before. */
static bool can_connect(void)
{
	struct sockaddr_un name = unix_name("sock");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = !connect(fd, (struct sockaddr *)&name, sizeof(name));

	close(fd);
	return ok;
}

static void start_daemon(void)
{
	char config[300], sock[300];

	unlink(in_folder("sock"));
	snprintf(config, sizeof(config), "--config=%s", in_folder("conf"));
	snprintf(sock, sizeof(sock), "--socket-path=%s", in_folder("sock"));
	daemon_pid = fork();
	if (!daemon_pid) {
		int log = open(in_folder("log"), O_CREAT | O_WRONLY | O_TRUNC | O_APPEND, 0600);

		dup2(log, STDERR_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGKILL);	/* the test has failed */
		execl(daemon_path, daemon_path, config, sock, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; !can_connect(); i++) {
		if (i > LIMIT_MS)
			FAIL("the daemon does not start");
		poll(NULL, 0, 1);
	}
}

static bool log_has(const char *text)
{
	static char log[1 << 16];
	int fd = open(in_folder("log"), O_RDONLY);
	ssize_t len = read(fd, log, sizeof(log) - 1);

	close(fd);
	log[len > 0 ? len : 0] = 0;
	return strstr(log, text);
}

static void expect_log(const char *text)
{
	for (int i = 0; !log_has(text); i++) {
		if (i > LIMIT_MS)
			FAIL("the log does not say '%s'", text);
		poll(NULL, 0, 1);
	}
}

/* It ends, with status 0 and without a word of a sanitizer. */
static void expect_daemon_ends(void)
{
	int status = 0;

	for (int i = 0; waitpid(daemon_pid, &status, WNOHANG) == 0; i++) {
		if (i > LIMIT_MS)
			FAIL("the daemon does not end");
		poll(NULL, 0, 1);
	}
	if (status)
		FAIL("the daemon's status is %#x", status);
	CHECK(!log_has("Sanitizer") && !log_has("runtime error"));
}

/* --- The far end ------------------------------------------------------------------- */

struct far_end {
	int listener, fd;
	uint16_t port;
	bool is_talking;		/* says zeros whenever it can */
	uint64_t got;
	bool has_ended, was_reset;
};

static uint8_t byte_at(uint64_t offset)
{
	return offset * 7 + offset / 251;
}

static void listen_tcp(struct far_end *far)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	const int bytes = 8192;

	far->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* What it has not read lies with the daemon. */
	CHECK(!setsockopt(far->listener, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)));
	CHECK(!bind(far->listener, (struct sockaddr *)&name, len));
	CHECK(!listen(far->listener, 5));
	CHECK(!getsockname(far->listener, (struct sockaddr *)&name, &len));
	far->port = ntohs(name.sin_port);
}

static void prepare(struct far_end *far, const char *kind)
{
	struct sockaddr_un name = unix_name("far");

	*far = (struct far_end){ .listener = -1, .fd = -1, .port = 9 };
	if (!strcmp(kind, "tcp"))
		listen_tcp(far);
	if (strcmp(kind, "unix"))
		return;
	far->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(name.sun_path);
	CHECK(!bind(far->listener, (struct sockaddr *)&name, sizeof(name)));
	CHECK(!listen(far->listener, 5));
}

/* The connection of a channel that is being opened. */
static void meet(struct far_end *far, const char *kind)
{
	struct sockaddr_un name = unix_name("near");

	if (far->listener >= 0) {
		far->fd = accept(far->listener, NULL, NULL);
		close(far->listener);
		CHECK(far->fd >= 0);
	} else if (!strcmp(kind, "listen")) {
		far->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK(!connect(far->fd, (struct sockaddr *)&name, sizeof(name)));
	}
}

static void say(struct far_end *far)
{
	static const char zeros[1 << 16];
	ssize_t n;

	do {
		n = send(far->fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n > 0);
	if (errno == ECONNRESET)
		far->was_reset = true;
	if (errno != EAGAIN)
		far->is_talking = false;	/* it is not heard any more */
}

static void hear(struct far_end *far)
{
	uint8_t bytes[1 << 15];
	ssize_t n = recv(far->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		if (bytes[i] != byte_at(far->got + i))
			FAIL("byte %llu is wrong", (unsigned long long)far->got + i);
	if (n > 0)
		far->got += n;
	else if (n == 0)
		far->has_ended = true;
	else if (errno == ECONNRESET)
		far->has_ended = far->was_reset = true;
	else
		CHECK(errno == EAGAIN);
}

static void hear_all(struct far_end *far)
{
	uint64_t limit = peer_now_ms() + LIMIT_MS;

	while (!far->has_ended) {
		struct pollfd fd = { .fd = far->fd, .events = POLLIN };

		if (far->is_talking)
			say(far);
		poll(&fd, 1, far->is_talking ? 1 : 1000);
		hear(far);
		if (peer_now_ms() > limit)
			FAIL("no end after %llu bytes", (unsigned long long)far->got);
	}
	close(far->fd);
}

/* Says $say bytes, reads all, works on for $wait seconds, and writes down what it got and how. */
static const char program[] =
	"$SIG{TERM} = sub { $term = 1 };\n"
	"$SIG{PIPE} = 'IGNORE';\n"
	"my ($say, $wait, $file) = @ARGV;\n"
	"open(F, '>', \"$file.began\"); close(F);\n"
	"while ($say > 0) { last if !($n = syswrite(STDOUT, 'x' x 65536)); $say -= $n }\n"
	"while (!$term) {\n"
	"	$n = sysread(STDIN, $bytes, 8192);\n"
	"	next if !defined $n;\n"
	"	last if !$n;\n"
	"	$got += $n;\n"
	"	select(undef, undef, undef, 0.0005);\n"
	"}\n"
	"select(undef, undef, undef, $wait) if !$term;\n"
	"open(F, '>', \"$file.new\");\n"
	"print F $got + 0, $term ? ' term' : ' end';\n"
	"close(F);\n"
	"rename(\"$file.new\", $file);\n";

/* Else a signal would find perl itself. */
static void expect_program_begins(void)
{
	for (int i = 0; access(in_folder("result.began"), F_OK); i++) {
		if (i > LIMIT_MS)
			FAIL("the program does not begin");
		poll(NULL, 0, 1);
	}
}

static void expect_program(uint64_t got, const char *how)
{
	unsigned long long count;
	char word[16];
	FILE *file;

	for (int i = 0; !(file = fopen(in_folder("result"), "r")); i++) {
		if (i > LIMIT_MS)
			FAIL("the program does not end");
		poll(NULL, 0, 1);
	}
	CHECK(fscanf(file, "%llu %15s", &count, word) == 2);
	fclose(file);
	if (count > got || (count < got && strcmp(how, "aborted")) ||
	    strcmp(word, strcmp(how, "aborted") ? how : "term"))
		FAIL("%llu of %llu bytes, then %s", count, (unsigned long long)got, word);
}

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

/* The same with the stock driver: a chain of which the device takes a part does not come back. */
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

/* One that takes a part now and then gets all, though the whole takes longer than the limit. */
static void progress_of_close(void)
{
	uint64_t begin = peer_now_ms(), taken, next;
	struct far_end far;
	struct driver *d;

	linger = "500ms";
	prepare(&far, "tcp");
	write_config(far.port, "0 0");
	d = open_channel(&far, "tcp");
	taken = fill(d);
	end_channel(d, CLOSE, taken);
	for (int part = 1; part <= 6; part++) {
		next = peer_now_ms() + 300;
		while (far.got < taken * part / 8) {
			struct pollfd fd = { .fd = far.fd, .events = POLLIN };

			poll(&fd, 1, 1000);
			hear(&far);
			CHECK(!far.has_ended);
		}
		while (peer_now_ms() < next)
			poll(NULL, 0, next - peer_now_ms());
	}
	expect_far_end(&far, "tcp", CLOSE, taken);
	CHECK(peer_now_ms() - begin > 1000);
	driver_wait(d, 0, MP_ST_CLOSED);
	CHECK(d->channels[0].reason == MP_REASON_NONE);
	finish(CLOSE);
}

/* A program works on when its input has ended, for longer than the linger limit. */
static void program_works_on(enum end end)
{
	struct far_end far;
	struct driver *d;
	uint64_t taken;

	linger = "300ms";
	prepare(&far, "exec");
	write_config(far.port, "0 1.2");
	d = open_channel(&far, "exec");
	taken = fill(d);
	end_channel(d, CLOSE, taken);
	if (end != CLOSE)
		end_channel(d, end, taken);
	expect_program(taken, "end");
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

static void write_program(void)
{
	FILE *file = fopen(in_folder("program"), "w");

	CHECK(file && fputs(program, file) >= 0 && !fclose(file));
}

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
	RUN(progress_of_close(), "close: slow progress is progress");
	RUN(program_works_on(CLOSE), "close: a program works on");
	RUN(program_works_on(BYE), "a program works on behind BYE");
	RUN(second_signal(), "a second signal ends the daemon at once");
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
