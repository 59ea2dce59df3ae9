// SPDX-License-Identifier: MIT
/* Errors in words. See manyport/client.h. */
#include <errno.h>
#include <string.h>

#include <manyport/client.h>

static const struct {
	int error;
	const char *text;
} texts[] = {
	{ ENOENT, "the host has no such service: its administrator can add one "
		  "to the configuration of manyportd" },
	{ EACCES, "not allowed: permissions of the node in the guest, or "
		  "the host's policy for this user" },
	{ EBUSY, "a limit of open channels is reached: close some, or have the limit raised" },
	{ ECONNREFUSED, "the host knows the service, but nothing answers there: is it running?" },
	{ ETIMEDOUT, "the service did not answer in time: is it overloaded or stuck?" },
	{ ENAMETOOLONG, "the name is too long: at most 255 bytes" },
	{ EINVAL, "not a valid name: printable characters, no blank before the first '+'" },
	{ ENODEV, "no such port, or it was unplugged" },
	{ ENXIO, "no such port, or it was unplugged" },
	{ EALREADY, "another name is being connected" },
	{ EISCONN, "the channel is connected already" },
	{ EOPNOTSUPP, "the service of this port is fixed and cannot be named" },
	{ ECONNRESET, "the service failed" },
	{ EIO, "the host cannot reach this guest's memory: all of it must be shared (share=on)" },
	{ EPERM, "not allowed to connect for another user: that takes CAP_SETUID and CAP_SETGID" },
	{ ENOTTY, "this driver, or this road, cannot do that: a newer manyport module can" },
	{ EDESTADDRREQ, "on this road a channel is named when it is opened: give a name" },
	{ EPIPE, "the service takes no more" },
};

const char *manyport_explain(int error)
{
	if (error < 0)
		error = -error;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].error == error)
			return texts[i].text;
	return strerror(error);
}
