/* SPDX-License-Identifier: MIT */
/*
 * The channel for messages of the back end to its front end.
 *
 * No answer is ever asked for, so nothing is received. The channel is not closed
 * while the front end lives, except to be replaced: User Mode Linux takes its end
 * for the end of the device. For the same reason the feature must be offered to it.
 */
#ifndef HOST_VHOST_BACKEND_CHANNEL_H
#define HOST_VHOST_BACKEND_CHANNEL_H

struct backend_channel {
	int fd;				/* a socket, or -1: none */
};

void backend_channel_init(struct backend_channel *channel);
void backend_channel_close(struct backend_channel *channel);

/* Takes @fd over, whatever it returns. Returns 0 or -EINVAL (not a stream socket). */
int backend_channel_set(struct backend_channel *channel, int fd);

/* The configuration space has changed. Returns 0, -ENOTCONN (no channel) or -errno. */
int backend_channel_config_changed(struct backend_channel *channel);

#endif
