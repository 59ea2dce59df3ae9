// SPDX-License-Identifier: MIT
/* manyport forward, without a guest (forward_rig.h): where it listens, what it leaves alone. */
#include "forward_rig.h"

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

static bool tells_waits;		/* each poll() of the forwarder is a line */
static char folder[] = "/tmp/test-listen.XXXXXX", path[100], target[200];

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	if (tells_waits)
		dprintf(message_pipe[1], "waits\n");
	return __real_poll(fds, count, timeout);
}

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test-listen.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(target, sizeof(target), "%s/target", folder);
	name_sockets();
	service_family = AF_UNIX;
	service_listener = listen_for(AF_UNIX);
	return 0;
}

static int teardown(void **state)
{
	char line[200];

	(void)state;
	close(service_listener);
	close(message_pipe[0]);
	close(message_pipe[1]);
	unlink(unix_path[0]);
	snprintf(line, sizeof(line), "rm -rf %s", folder);
	return system(line);
}

static pid_t start_at(const char *socket)
{
	char text[500];

	snprintf(text, sizeof(text), "%s:name", socket);
	return START("-L", text);
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void expect_refused(const char *socket, const char *words)
{
	pid_t pid = start_at(socket);

	expect_line(words);
	assert_int_equal(status_of(pid), 1);
}

static void stop(pid_t pid)
{
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(status_of(pid), 0);
}

/*
 * A client of the forwarder at @socket is served. Before it there may have been one that was
 * another forwarder's look at the socket, and said nothing.
 */
static void expect_served(const char *socket)
{
	int client = dial_unix(socket), service;
	char bytes[10];
	ssize_t ret;

	assert_true(client >= 0);
	send_all(client, sizeof(bytes));
	do {
		service = accept(service_listener, NULL, NULL);
		assert_true(service >= 0);
		ret = recv(service, bytes, sizeof(bytes), MSG_WAITALL);
		close(service);
	} while (!ret);
	assert_int_equal(ret, sizeof(bytes));
	close(client);
}

static int listen_at(const char *where, int backlog)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, where);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* What is at path is what was there. */
static void expect_untouched(const char *words)
{
	struct stat before, after;

	assert_int_equal(lstat(path, &before), 0);
	expect_refused(path, words);
	assert_int_equal(lstat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(before.st_size, after.st_size);
}

static void what_is_no_socket_stays(void **state)
{
	int fd;

	(void)state;
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	expect_untouched("no socket");
	assert_int_equal(chmod(path, 0), 0);
	expect_untouched("no socket");
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	expect_untouched("no socket");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_untouched("no socket");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_untouched("no socket");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/nonexistent/socket", path), 0);
	expect_untouched("cannot listen");
}

static void a_live_socket_stays(void **state)
{
	int fd = listen_at(path, 5);

	(void)state;
	expect_untouched("somebody listens");
	/* The look at it was a connection; it serves on. */
	close(accept(fd, NULL, NULL));
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	expect_untouched("cannot listen");
	assert_true(dial_unix(target) >= 0);
	close(fd);
}

/* Its queue is full, so a connection to it would wait for ever. */
static void a_stuck_listener_does_not_hold_us(void **state)
{
	int fd = listen_at(path, 0), fds[10];
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)state;
	strcpy(address.sun_path, path);
	for (int i = 0; i < 10; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&address, sizeof(address));
	}
	expect_untouched("somebody listens");
	for (int i = 0; i < 10; i++)
		close(fds[i]);
	close(fd);
}

static void a_stale_socket_is_replaced(void **state)
{
	pid_t pid;

	(void)state;
	close(listen_at(path, 5));
	pid = start_at(path);
	await_listener();
	expect_served(path);
	/* So is that of a forwarder that was killed. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(access(path, F_OK), 0);
	pid = start_at(path);
	await_listener();
	expect_served(path);
	stop(pid);
	assert_int_equal(access(path, F_OK), -1);
}

static void names_of_every_length(void **state)
{
	char name[400], words[50];
	pid_t pid;

	(void)state;
	for (int len = 107; len < 400; len += len == 107 ? 1 : 192) {
		size_t begin = snprintf(name, sizeof(name), "%s/", folder);

		memset(name + begin, 'x', len - begin);
		name[len] = '\0';
		pid = start_at(name);
		snprintf(words, sizeof(words), len == 107 ? "forwarding" : "at most 107 bytes");
		expect_line(words);
		if (len == 107) {
			expect_served(name);
			stop(pid);
		} else {
			assert_int_not_equal(status_of(pid), 0);
			next_line();	/* that --help tells more */
		}
	}
	snprintf(name, sizeof(name), "%s/none/socket", folder);
	expect_refused(name, "the directory does not exist");
}

static void an_abstract_name_in_use(void **state)
{
	char name[50];
	pid_t pid;

	(void)state;
	snprintf(name, sizeof(name), "@test-listen.%d", getpid());
	pid = start_at(name);
	await_listener();
	expect_refused(name, "somebody listens");
	stop(pid);
	pid = start_at(name);
	await_listener();
	stop(pid);
}

/* One of the two gets the path and serves it, the other one says why not. */
static void two_at_the_same_instant(void **state)
{
	pid_t pids[2], ended;
	int status, forwarding;

	(void)state;
	for (int i = 0; i < 50; i++) {
		close(listen_at(path, 1));
		pids[0] = start_at(path);
		pids[1] = start_at(path);
		forwarding = 0;
		for (int line = 0; line < 2; line++)
			forwarding += !!strstr(next_line(), "forwarding");
		assert_int_equal(forwarding, 1);
		ended = waitpid(-1, &status, 0);
		assert_int_equal(WEXITSTATUS(status), 1);
		expect_served(path);
		stop(ended == pids[0] ? pids[1] : pids[0]);
	}
}

static void a_removed_path_is_made_anew(void **state)
{
	pid_t pid = start_at(path);
	int client, service;

	(void)state;
	await_listener();
	client = dial_unix(path);
	service = accept(service_listener, NULL, NULL);
	assert_int_equal(unlink(path), 0);
	expect_line("listening there anew");
	expect_served(path);
	/* The earlier connection lives on. */
	send_all(client, 10);
	receive_all(service, 10);
	close(client);
	close(service);
	stop(pid);
	assert_int_equal(access(path, F_OK), -1);
}

/* Clients do not wait while another process has the lock on the folder. */
static void a_locked_folder_holds_nobody_up(void **state)
{
	int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t pid;

	(void)state;
	tells_waits = true;
	pid = start_at(path);
	tells_waits = false;
	await_listener();
	assert_int_equal(flock(lock, LOCK_EX), 0);
	assert_int_equal(unlink(path), 0);
	expect_line("listening there anew");
	expect_served(path);
	close(lock);
	stop(pid);
}

static void a_path_that_another_takes(void **state)
{
	pid_t pid = start_at(path);
	int fd;

	(void)state;
	await_listener();
	/* At once: where no file is the forwarder makes one. */
	fd = listen_at(target, 5);
	assert_int_equal(rename(target, path), 0);
	expect_line("not this forwarder's any more");
	/* The forwarder has tested it by one connection, and leaves it alone from then on. */
	close(accept(fd, NULL, NULL));
	assert_true(dial_unix(path) >= 0);
	close(accept(fd, NULL, NULL));
	assert_int_equal(unlink(path), 0);
	close(fd);
	expect_line("listening there anew");
	expect_served(path);
	stop(pid);
}

/* They come as fast as they are refused: others have their turn all the same. */
static void clients_without_end(void **state)
{
	pid_t pid = start_at(path), clients[4];

	(void)state;
	await_listener();
	unlink(unix_path[0]);
	for (int i = 0; i < 4; i++) {
		clients[i] = fork();
		if (!clients[i])
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (!clients[i])
			close(dial_unix(path));
	}
	usleep(300 * 1000);
	assert_int_equal(kill(pid, SIGTERM), 0);
	for (int i = 0; i < 600 && !access(path, F_OK); i++)
		usleep(100 * 1000);
	for (int i = 0; i < 4; i++) {
		kill(clients[i], SIGKILL);
		waitpid(clients[i], NULL, 0);
	}
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(status_of(pid), 0);
}

/* No connection of its own is there to be closed. */
static void a_starved_listener_tries_again(void **state)
{
	struct rlimit before, none;
	pid_t pid = start_at(path);
	int client;

	(void)state;
	await_listener();
	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &before), 0);
	none = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &none, NULL), 0);
	client = dial_unix(path);
	send_all(client, 10);
	expect_line("cannot accept now");
	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &before, NULL), 0);
	receive_all(accept(service_listener, NULL, NULL), 10);
	close(client);
	stop(pid);
}

static void nohup_is_kept(void **state)
{
	pid_t pid;

	(void)state;
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	pid = start_at(path);
	signal(SIGHUP, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	await_listener();
	assert_int_equal(kill(pid, SIGHUP), 0);
	assert_int_equal(kill(pid, SIGINT), 0);
	expect_served(path);
	stop(pid);
	pid = start_at(path);
	await_listener();
	assert_int_equal(kill(pid, SIGHUP), 0);
	assert_int_equal(status_of(pid), 0);
}

static void expect_mode(const char *settings, mode_t mode, uid_t owner, gid_t group)
{
	char text[300];
	struct stat status;
	pid_t pid;

	snprintf(text, sizeof(text), "%s%s", path, settings);
	pid = start_at(text);
	await_listener();
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, mode);
	assert_int_equal(status.st_uid, owner);
	assert_int_equal(status.st_gid, group);
	expect_served(path);
	stop(pid);
}

static void who_may_connect(void **state)
{
	pid_t pid;

	(void)state;
	expect_mode("", 0600, getuid(), getgid());
	expect_mode(",mode=0666", 0666, getuid(), getgid());
	if (!getuid())
		expect_mode(",group=1,mode=660,owner=daemon", 0660, 1, 1);
	snprintf(target, sizeof(target), "%s,mode=1777", path);
	pid = start_at(target);
	expect_line("mode=1777");
	assert_int_not_equal(status_of(pid), 0);
	assert_int_equal(access(path, F_OK), -1);
	/* Nor is anything left out where it cannot be. */
	next_line();	/* that --help tells more */
	pid = start_at("@test-listen,mode=0600");
	expect_line("an abstract name has no mode");
	assert_int_not_equal(status_of(pid), 0);
}

static void words_in_front_say_what_it_is(void **state)
{
	char text[200];
	pid_t pid;
	int client;

	(void)state;
	/* With it the name is behind the last colon. */
	snprintf(text, sizeof(text), "unix:%s:1", path);
	pid = start_at(text);
	await_listener();
	snprintf(text, sizeof(text), "%s:1", path);
	expect_served(text);
	stop(pid);
	for (int i = 0; i < 3; i++) {
		static const char *const words[] = { "tcp:0", "tcp:localhost:0", "0" };

		pid = start_at(words[i]);
		client = dial_tcp(await_listener());
		assert_true(client >= 0);
		close(client);
		stop(pid);
	}
	pid = start_at("tcp:/a/path");
	expect_line("expected SOCKET:NAME");
	assert_int_not_equal(status_of(pid), 0);
}

/* A port of TCP without NAME is no file with colons left out, and a file can be meant still. */
static void a_forgotten_name_is_told(void **state)
{
	static const char *const words[] = { "127.0.0.1:6379", "localhost:6379", "host:1" };
	char name[100];
	pid_t pid;

	(void)state;
	assert_int_equal(chdir(folder), 0);
	for (int i = 0; i < 3; i++) {
		pid = START("-L", words[i]);
		expect_line("name is missing: ADDR:PORT:NAME");
		assert_int_not_equal(status_of(pid), 0);
		next_line();	/* that --help tells more */
	}
	snprintf(name, sizeof(name), "@test-listen.%d:1", getpid());
	for (int i = 0; i < 4; i++) {
		const char *const meant[] = { "./localhost:1", "unix:localhost:1", "localhost:n1",
					      name };

		pid = START("-L", meant[i]);
		await_listener();
		stop(pid);
	}
	assert_int_equal(chdir("/"), 0);
}

static void as_client_is_for_unix_sockets(void **state)
{
	pid_t pid = START("--as-client", "-L", "0:name");

	(void)state;
	expect_line("no --as-client");
	assert_int_equal(status_of(pid), 1);
	snprintf(target, sizeof(target), "%s:", path);
	pid = START("--as-client", "-L", target);
	expect_line("no --as-client");
	assert_int_equal(status_of(pid), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_no_socket_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(a_live_socket_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stuck_listener_does_not_hold_us, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stale_socket_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(names_of_every_length, setup, teardown),
		cmocka_unit_test_setup_teardown(an_abstract_name_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(two_at_the_same_instant, setup, teardown),
		cmocka_unit_test_setup_teardown(a_removed_path_is_made_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(a_locked_folder_holds_nobody_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_path_that_another_takes, setup, teardown),
		cmocka_unit_test_setup_teardown(clients_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(a_starved_listener_tries_again, setup, teardown),
		cmocka_unit_test_setup_teardown(nohup_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(who_may_connect, setup, teardown),
		cmocka_unit_test_setup_teardown(as_client_is_for_unix_sockets, setup, teardown),
		cmocka_unit_test_setup_teardown(a_forgotten_name_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(words_in_front_say_what_it_is, setup, teardown),
	};

	/* What hangs ends here, and says so by its status. */
	alarm(600);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
