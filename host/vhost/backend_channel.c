// SPDX-License-Identifier: MIT
/* Messages to the front end; see backend_channel.h. */

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost/backend_channel.h"
#include "vhost/message.h"

void backend_channel_init(struct backend_channel *channel)
{
	channel->fd = -1;
}

void backend_channel_close(struct backend_channel *channel)
{
	if (channel->fd >= 0)
		close(channel->fd);
	channel->fd = -1;
}

int backend_channel_set(struct backend_channel *channel, int fd)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM) {
		close(fd);
		return -EINVAL;
	}
	backend_channel_close(channel);
	channel->fd = fd;
	return 0;
}

int backend_channel_config_changed(struct backend_channel *channel)
{
	const struct vhost_user_header header = {
		.request = VHOST_USER_BACKEND_CONFIG_CHANGE, .flags = VHOST_USER_VERSION,
	};

	return channel->fd < 0 ? -ENOTCONN : message_send(channel->fd, &header, NULL);
}
