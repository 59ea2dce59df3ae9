// SPDX-License-Identifier: MIT
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "daemon/guest.h"
#include "daemon/handover.h"
#include "daemon/signals.h"

static const int watched[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM };

static void signal_came(struct loop_watch *watch, uint32_t events)
{
	struct signals *signals = container_of(watch, struct signals, watch);
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
		log_info("signal %u: ending", info.ssi_signo);
		guest_end(signals->guest);
	} else if (info.ssi_signo == SIGUSR2) {
		handover_begin(signals->handover);
	} else if (info.ssi_signo == SIGHUP) {
		log_limited_here(LOG_LEVEL_WARNING, "signal %u: ignored: the configuration is read "
				 "at the start, and after SIGUSR2", info.ssi_signo);
	} else {
		log_limited_here(LOG_LEVEL_WARNING, "signal %u: ignored", info.ssi_signo);
	}
}

int signals_watch(struct signals *signals, struct loop *loop)
{
	sigset_t set;
	int fd;

	memset(signals, 0, sizeof(*signals));
	signals->watch.fd = -1;
	signal(SIGPIPE, SIG_IGN);	/* a write to a closed socket gives EPIPE instead */
	/* Programs are waited for: their end must not vanish. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		sigaddset(&set, watched[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	return loop_watch_add(loop, &signals->watch, fd, EPOLLIN, signal_came);
}

void signals_serve(struct signals *signals, struct guest *guest, struct handover *handover)
{
	signals->guest = guest;
	signals->handover = handover;
}

void signals_forget(struct signals *signals)
{
	int fd = signals->watch.fd;

	if (fd < 0)
		return;
	loop_watch_remove(&signals->watch);
	close(fd);
}
