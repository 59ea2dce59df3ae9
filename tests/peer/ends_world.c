// SPDX-License-Identifier: MIT
/* What stands around the guest of ends.c: the daemon, and the service at the far end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ends.h"
#include "peer.h"

const char *daemon_path, *folder;
const char *linger = "1h";
pid_t daemon_pid;

/* --- The daemon ------------------------------------------------------------------ */

const char *in_folder(const char *name)
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

void write_config(uint16_t tcp_port, const char *program)
{
	FILE *file = fopen(in_folder("conf"), "w");

	CHECK(file);
	fprintf(file, "[Guest]\nLingerTimeoutSec=%s\n[Port manyport]\nId=%d\n", linger, PORT);
	fprintf(file, "[Service tcp]\nConnect=tcp:127.0.0.1:%u\n", tcp_port);
	fprintf(file, "[Service unix]\nConnect=unix:%s\n", in_folder("far"));
	fprintf(file, "[Service listen]\nConnect=unix-listen:%s\n", in_folder("near"));
	fprintf(file, "[Service exec]\nConnect=exec:perl %s %s %s\n", in_folder("program"), program,
		in_folder("result"));
	fprintf(file, "[Service deaf]\nConnect=exec:sleep 1000\n");
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

void start_daemon(void)
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

void expect_log(const char *text)
{
	for (int i = 0; !log_has(text); i++) {
		if (i > LIMIT_MS)
			FAIL("the log does not say '%s'", text);
		poll(NULL, 0, 1);
	}
}

/* It ends, with status 0 and without a word of a sanitizer. */
void expect_daemon_ends(void)
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

uint8_t byte_at(uint64_t offset)
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

void prepare(struct far_end *far, const char *kind)
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
void meet(struct far_end *far, const char *kind)
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

void say(struct far_end *far)
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

void hear(struct far_end *far)
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

void hear_all(struct far_end *far)
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

/*
 * Says $say bytes, reads all, tells when it has PROGRAM_TELLS bytes, works on for $wait seconds,
 * and writes down what it got and how.
 */
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
	"	if ($got >= 100000 && !$told++) { open(F, '>', \"$file.read\"); close(F); }\n"
	"	select(undef, undef, undef, 0.0005);\n"
	"}\n"
	"select(undef, undef, undef, $wait) if !$term;\n"
	"open(F, '>', \"$file.new\");\n"
	"print F $got + 0, $term ? ' term' : ' end';\n"
	"close(F);\n"
	"rename(\"$file.new\", $file);\n";

static void expect_file(const char *name)
{
	for (int i = 0; access(in_folder(name), F_OK); i++) {
		if (i > LIMIT_MS)
			FAIL("there is no %s", name);
		poll(NULL, 0, 1);
	}
}

/* Else a signal would find perl itself. */
void expect_program_begins(void)
{
	expect_file("result.began");
}

void expect_program_tells(void)
{
	expect_file("result.read");
}

void expect_program(uint64_t got, const char *how)
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

void write_program(void)
{
	FILE *file = fopen(in_folder("program"), "w");

	CHECK(file && fputs(program, file) >= 0 && !fclose(file));
}
