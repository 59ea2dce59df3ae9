// SPDX-License-Identifier: MIT
/* manyport connect, without a guest: the channel is a unix connection that the test plays. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <manyport/client.h>

#include "../../tools/manyport/tool.h"

static int channel[2];			/* of the command, of the service */
static _Atomic bool is_robbed;		/* another process reads the input first */
static int aborts[2];			/* a pipe with a byte for each abort */

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	int ret = __real_poll(fds, count, timeout);
	char byte;

	if (is_robbed && ret > 0 && fds[0].fd == STDIN_FILENO && fds[0].revents &&
	    read(STDIN_FILENO, &byte, 1) == 1)
		is_robbed = false;
	return ret;
}

int manyport_open(const char *port, const char *service, int flags)
{
	(void)port;
	(void)service;
	(void)flags;
	return channel[0];
}

int manyport_shutdown(int fd, int how)
{
	return shutdown(fd, how) ? -errno : 0;
}

int manyport_abort(int fd)
{
	(void)fd;
	return write(aborts[1], "a", 1) == 1 ? 0 : -errno;
}

int manyport_exit_status(int fd)
{
	(void)fd;
	return 0;
}

int manyport_info(int fd, struct manyport_info *info)
{
	(void)fd;
	memset(info, 0, sizeof(*info));
	return 0;
}

void complain(const char *format, ...)
{
	(void)format;
}

/* A service that ends at once: the command's status, with one byte as its input so far. */
static int status_of_connect(bool robbed)
{
	static char *argv[] = { "connect", "name", NULL };
	int input[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
	assert_int_equal(pipe(input), 0);
	assert_int_equal(write(input[1], "x", 1), 1);
	close(channel[1]);
	is_robbed = robbed;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(60);
		dup2(input[0], STDIN_FILENO);
		_exit(run_connect(2, argv));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(channel[0]);
	close(input[0]);
	close(input[1]);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void input_that_is_not_taken(void **state)
{
	(void)state;
	assert_int_equal(status_of_connect(false), 1);
}

/* Its read waits for ever; the command does not. */
static void input_that_another_takes(void **state)
{
	(void)state;
	assert_int_equal(status_of_connect(true), 0);
}

/* The output @out takes nothing of what the service says. Returns how many aborts there were. */
static int aborts_of_connect(char *option, int out, int *status)
{
	char *argv[] = { "connect", "name", option, NULL };
	int input[2], count;
	char byte;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
	assert_int_equal(pipe(input), 0);
	assert_int_equal(pipe(aborts), 0);
	assert_int_equal(write(channel[1], "x", 1), 1);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(60);
		dup2(input[0], STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		_exit(run_connect(option ? 3 : 2, argv));
	}
	assert_int_equal(waitpid(pid, status, 0), pid);
	close(aborts[1]);
	for (count = 0; read(aborts[0], &byte, 1) == 1; count++)
		;
	close(aborts[0]);
	for (int i = 0; i < 2; i++) {
		close(channel[i]);
		close(input[i]);
	}
	return count;
}

static void an_output_that_fails_cuts_the_input(void **state)
{
	int full = open("/dev/full", O_WRONLY), status;

	(void)state;
	assert_true(full >= 0);
	assert_int_equal(aborts_of_connect(NULL, full, &status), 1);
	assert_int_equal(WEXITSTATUS(status), 1);
	/* There is none to cut. */
	assert_int_equal(aborts_of_connect("-n", full, &status), 0);
	assert_int_equal(WEXITSTATUS(status), 1);
	close(full);
}

static void a_reader_that_goes_cuts_the_input(void **state)
{
	int out[2], status;

	(void)state;
	assert_int_equal(pipe(out), 0);
	close(out[0]);
	assert_int_equal(aborts_of_connect(NULL, out[1], &status), 1);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGPIPE);
	close(out[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(input_that_is_not_taken),
		cmocka_unit_test(input_that_another_takes),
		cmocka_unit_test(an_output_that_fails_cuts_the_input),
		cmocka_unit_test(a_reader_that_goes_cuts_the_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
