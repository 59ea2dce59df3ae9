// SPDX-License-Identifier: MIT
/* The client library on files whose calls the test answers: signals, and ports without room. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>
#include <manyport/client.h>

static int ioctl_error;			/* that each ioctl gives */
static const int *script;		/* of each write: bytes that it takes, or -errno; 0 ends */
static char written[300];
static size_t written_len;
static int waits;

int __wrap_ioctl(int fd, unsigned long request, ...);
ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int count, off_t at, int flags);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	(void)fd;
	(void)request;
	errno = ioctl_error;
	return -1;
}

ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int count, off_t at, int flags)
{
	size_t len = iov->iov_len;
	int step = *script;

	(void)fd;
	assert_true(count == 1 && at == -1 && !flags);
	assert_int_not_equal(step, 0);
	script++;
	if (step < 0) {
		errno = -step;
		return -1;
	}
	if ((size_t)step < len)
		len = step;
	memcpy(written + written_len, iov->iov_base, len);
	written_len += len;
	return len;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	(void)timeout;
	assert_int_equal(count, 1);
	assert_int_equal(fds->events, POLLOUT);
	waits++;
	fds->revents = POLLOUT;
	return 1;
}

static int connect_to(const char *name, int error, const int *steps)
{
	ioctl_error = error;
	script = steps;
	written_len = 0;
	waits = 0;
	return manyport_connect(-1, name);
}

/* An alarm ends a connect that waits: the caller decides whether it goes on. */
static void a_signal_is_told(void **state)
{
	static const int none[] = { 0 };

	(void)state;
	assert_int_equal(connect_to("db", EINTR, none), -EINTR);
	assert_int_equal(manyport_connect_as(-1, "db", 1, 1), -EINTR);
}

static void a_stock_port_gets_the_name(void **state)
{
	static const int whole[] = { 300, 0 };

	(void)state;
	assert_int_equal(connect_to("pipe:db+x", ENOTTY, whole), 0);
	assert_int_equal(written_len, 5);
	assert_memory_equal(written, "db+x", 5);
	/* For another user it gets nothing at all. */
	written_len = 0;
	assert_int_equal(manyport_connect_as(-1, "db", 1, 1), -ENOTTY);
	assert_int_equal(written_len, 0);
}

/* A part that is there cannot be taken back: the rest follows it, whatever comes between. */
static void a_part_of_a_name_is_not_repeated(void **state)
{
	static const int parts[] = { 2, -EAGAIN, -EINTR, 1, -EAGAIN, 300, 0 };

	(void)state;
	assert_int_equal(connect_to("database", ENOTTY, parts), 0);
	assert_int_equal(written_len, 9);
	assert_memory_equal(written, "database", 9);
	assert_int_equal(waits, 2);
	assert_int_equal(*script, 0);
}

static void without_room_nothing_is_begun(void **state)
{
	static const int full[] = { -EAGAIN, 0 }, ended[] = { 2, -EPIPE, 0 };
	int fd;

	(void)state;
	assert_int_equal(connect_to("db", ENOTTY, full), -EAGAIN);
	assert_int_equal(waits, 0);
	assert_int_equal(connect_to("db", ENOTTY, ended), -EPIPE);
	/* The file stays, for the same call later. */
	script = full;
	fd = manyport_open("/dev/null", "db", O_NONBLOCK);
	assert_true(fd >= 0);
	close(fd);
}

static void long_names_are_refused(void **state)
{
	static const int none[] = { 0 };
	char name[300];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[256] = 0;
	assert_int_equal(connect_to(name, ENOTTY, none), -ENAMETOOLONG);
	assert_int_equal(manyport_connect_as(-1, name, 1, 1), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_is_told),
		cmocka_unit_test(a_stock_port_gets_the_name),
		cmocka_unit_test(a_part_of_a_name_is_not_repeated),
		cmocka_unit_test(without_room_nothing_is_begun),
		cmocka_unit_test(long_names_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
