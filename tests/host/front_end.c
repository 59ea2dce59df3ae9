// SPDX-License-Identifier: MIT
/*
 * A front end that knows a few words of vhost-user, for black-box tests of
 * manyportd.
 *
 *	front-end PATH COMMAND...	on the socket PATH
 *	front-end --spawn PROGRAM ARG...	runs "PROGRAM ARG... --fd=N" on a socket pair
 *
 * Commands, in order: "features" asks for the features and prints them, "wait"
 * prints "closed" when the other side closes, "garbage" sends a message that is
 * none, "mark FILE" creates a file, "stay" waits for the end of standard
 * input. Any other wait that takes longer than a minute fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 60000

struct message {
	uint32_t request, flags, size;
	uint64_t value;
} __attribute__((packed));

static void die(const char *what)
{
	printf("%s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

static int connect_to(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(name.sun_path))
		die("path");
	strcpy(name.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)))
		die("connect");
	return fd;
}

static void wait_for(int fd)
{
	struct pollfd wanted = { .fd = fd, .events = POLLIN };

	errno = 0;
	if (poll(&wanted, 1, LIMIT_MS) != 1)
		die("wait");
}

/* Asks for a number. The reply has the form of the question. */
static uint64_t ask(int fd, uint32_t request)
{
	struct message message = { .request = request, .flags = 1, .size = 0 };

	if (send(fd, &message, 12, MSG_NOSIGNAL) != 12)
		die("send");
	wait_for(fd);
	if (recv(fd, &message, sizeof(message), MSG_WAITALL) != sizeof(message))
		die("reply");
	if (message.request != request || message.flags != 5 || message.size != 8)
		die("form of the reply");
	return message.value;
}

static void wait_until_closed(int fd)
{
	char byte;
	ssize_t len;

	do {
		wait_for(fd);
		len = recv(fd, &byte, 1, 0);
	} while (len > 0);
	printf("closed\n");
}

static void act(int fd, const char *command)
{
	char bytes[4096];

	if (!strcmp(command, "features")) {
		printf("features %#llx\n", (unsigned long long)ask(fd, 1));
	} else if (!strcmp(command, "wait")) {
		wait_until_closed(fd);
	} else if (!strcmp(command, "garbage")) {
		memset(bytes, 0xff, sizeof(bytes));
		send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
	} else if (!strcmp(command, "stay")) {
		while (read(STDIN_FILENO, bytes, sizeof(bytes)) > 0)
			;
	} else {
		errno = EINVAL;
		die(command);
	}
	fflush(stdout);
}

/* Runs the program on one end of a socket pair, asks at the other, hangs up. */
static int spawn(char **argv, int argc)
{
	char option[32], *args[argc + 2];
	int pair[2], status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	snprintf(option, sizeof(option), "--fd=%d", pair[1]);
	memcpy(args, argv, argc * sizeof(*args));
	args[argc] = option;
	args[argc + 1] = NULL;
	pid = fork();
	if (!pid) {
		close(pair[0]);
		execv(args[0], args);
		_exit(127);
	}
	close(pair[1]);
	act(pair[0], "features");
	close(pair[0]);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	printf("status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}

int main(int argc, char **argv)
{
	int fd;

	if (argc > 2 && !strcmp(argv[1], "--spawn"))
		return spawn(argv + 2, argc - 2);
	if (argc < 2)
		return 64;
	fd = connect_to(argv[1]);
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "mark") && i + 1 < argc)
			close(open(argv[++i], O_CREAT | O_WRONLY, 0600));
		else
			act(fd, argv[i]);
	}
	return 0;
}
