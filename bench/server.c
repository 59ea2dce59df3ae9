// SPDX-License-Identifier: MIT
/*
 * The host's end of every measurement: a unix socket server. The first byte of a
 * connection says what it does: 'e' echo (in pieces of what one read gives), 's' sink
 * (reads all, then answers one byte), 'z' source (sends until the peer goes).
 * One process per connection. usage: bench-server PATH
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char buf[1 << 20];

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n <= 0)
			return -1;
		data += n;
		len -= n;
	}
	return 0;
}

static void serve(int fd)
{
	char what;
	ssize_t n;

	if (read(fd, &what, 1) != 1)
		return;
	switch (what) {
	case 'e':
		while ((n = read(fd, buf, sizeof(buf))) > 0 && !write_all(fd, buf, n))
			;
		break;
	case 's':
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			;
		write_all(fd, "k", 1);
		break;
	case 'z':
		while (!write_all(fd, buf, sizeof(buf)))
			;
		break;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fprintf(stderr, "usage: bench-server PATH\n");
		return 2;
	}
	strcpy(address.sun_path, argv[1]);
	unlink(argv[1]);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 4096)) {
		perror(argv[1]);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while ((fd = accept(listener, NULL, NULL)) >= 0 || errno == EINTR || errno == ECONNABORTED) {
		if (fd < 0)
			continue;
		if (!fork()) {
			serve(fd);
			_exit(0);
		}
		close(fd);
	}
	return 1;
}
