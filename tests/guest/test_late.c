// SPDX-License-Identifier: MIT
/*
 * Bytes that a write has handed over and the service never takes: an error that comes
 * late, is shown as POLLERR, and is reported by one call, once [protocol.md 7.5].
 */
#include "channel.h"

/* A channel with unsent bytes whose service has stopped reading. */
static int failed_late(void)
{
	struct puppet p = puppet_open(0);

	fill(p.fd, 1, 0);
	CHECK_POLL(p.fd, 0);
	/* A full socket does not say so: what it still has is taken first. */
	ctl("noread %u", p.index);
	ctl("read %u all", p.index);
	AWAIT_POLL(p.fd, POLLOUT | POLLERR);
	return p.fd;
}

TEST(a_write_reports_it_once)
{
	int fd = failed_late();

	CHECK_FAILS(write(fd, "x", 1), EPIPE);
	CHECK_POLL(fd, POLLOUT);
	CHECK_OK(fsync(fd));
	/* What comes now is no news but what the channel is. */
	CHECK_FAILS(write(fd, "x", 1), EPIPE);
	CHECK_POLL(fd, POLLOUT);
}

TEST(fsync_reports_it_once)
{
	int fd = failed_late();

	CHECK_FAILS(fsync(fd), EPIPE);
	CHECK_POLL(fd, POLLOUT);
	for (int i = 0; i < 3; i++)
		CHECK_OK(fsync(fd));
}

TEST(it_is_one_for_all_holders)
{
	int fd = failed_late(), copy = CHECK_OK(dup(fd));

	CHECK_FAILS(fsync(copy), EPIPE);
	CHECK_OK(fsync(fd));
}
