// SPDX-License-Identifier: MIT
#include "service/spawner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd_limit.h"
#include "base/log.h"
#include "loop/loop.h"

#define FINISH_MS 1000

static struct {
	unsigned int users;
	struct loop *loop;
	struct rlimit files;		/* as we found it; ours is raised later */
	pid_t pid;			/* 0: there is none */
	int fd;
	struct loop_watch watch;	/* of fd: its end */
} spawner = { .fd = -1, .watch = { .fd = -1 } };

static void end(void)
{
	if (!spawner.pid)
		return;
	loop_watch_remove(&spawner.watch);
	close(spawner.fd);
	spawner.fd = -1;
	/* The spawner only waits for its socket or copies itself, so it dies without delay. */
	kill(spawner.pid, SIGKILL);
	waitpid(spawner.pid, NULL, 0);
	spawner.pid = 0;
}

/* Starts that the spawner had not finished see the end of their status pipe. */
static void died(struct loop_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	log_error("the process that starts programs has died; the next program gets another");
	end();
}

static int begin(void)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	ret = loop_watch_add(spawner.loop, &spawner.watch, pair[0], 0, died);
	if (ret)
		goto out;
	spawner.pid = fork();
	if (!spawner.pid)
		spawner_process_run(pair[1], &spawner.files);
	if (spawner.pid > 0) {
		spawner.fd = pair[0];
		close(pair[1]);
		return 0;
	}
	ret = -errno;
	spawner.pid = 0;
	loop_watch_remove(&spawner.watch);
out:
	close(pair[0]);
	close(pair[1]);
	return ret;
}

int spawner_use(struct loop *loop)
{
	int ret = 0;

	if (!spawner.users) {
		fd_limit_original(&spawner.files);
		spawner.loop = loop;
		ret = begin();
	}
	if (!ret)
		spawner.users++;
	return ret;
}

void spawner_drop(void)
{
	if (!--spawner.users)
		end();
}

/* It reads what is in its socket, then the end. If it does not, it is killed as at any end. */
void spawner_finish(void)
{
	struct pollfd end_of = { .events = POLLIN };

	if (!spawner.pid)
		return;
	shutdown(spawner.fd, SHUT_WR);
	end_of.fd = pidfd_open(spawner.pid, 0);
	if (end_of.fd >= 0) {
		poll(&end_of, 1, FINISH_MS);
		close(end_of.fd);
	}
	end();
}

pid_t spawner_pid(void)
{
	return spawner.pid;
}

static int send_message(const struct msghdr *message)
{
	int ret = spawner.pid ? 0 : begin();

	if (ret)
		return ret;
	return sendmsg(spawner.fd, message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int spawner_ask(const struct spawn_words *command, const struct spawn_words *environment,
		const int fds[SPAWN_FDS])
{
	struct spawn_header header = { command->count, environment->count };
	struct iovec iov[] = { { &header, sizeof(header) }, { command->text, command->len },
			       { environment->text, environment->len } };
	union {
		char space[CMSG_SPACE(SPAWN_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 3, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	int ret;

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(SPAWN_FDS * sizeof(int));
	memcpy(CMSG_DATA(rights), fds, SPAWN_FDS * sizeof(int));
	ret = send_message(&message);
	if (ret != -EPIPE && ret != -ECONNRESET)
		return ret;
	/* The spawner has died, perhaps with messages unread, and the loop has not seen it yet. */
	died(&spawner.watch, 0);
	return send_message(&message);
}
