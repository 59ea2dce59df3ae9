// SPDX-License-Identifier: MIT
#include "daemon/given.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

/* One integer of the socket @fd, or -1: it is no socket. */
static int get_option(int fd, int name)
{
	int value;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) ? -1 : value;
}

const char *given_complaint(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (fd == STDERR_FILENO)
		return "the log goes to standard error: pass the front end by another number, "
		       "such as 3";
	if (fcntl(fd, F_GETFD) < 0)
		return "no descriptor of this number is open: the program that starts the daemon "
		       "passes it, without close-on-exec";
	if (get_option(fd, SO_TYPE) < 0)
		return "it is no socket: pass one end of a unix stream socket, whose other end "
		       "the front end has";
	if (get_option(fd, SO_DOMAIN) != AF_UNIX || get_option(fd, SO_TYPE) != SOCK_STREAM)
		return "it is another kind of socket: a front end has a unix stream socket";
	if (get_option(fd, SO_ACCEPTCONN))
		return "it is a socket that listens: let the daemon listen, by --socket-path=PATH, "
		       "or pass a connection that was accepted";
	if (getpeername(fd, (struct sockaddr *)&peer, &len))
		return "it is a socket that is not connected: pass a connection to a front end";
	return NULL;
}
