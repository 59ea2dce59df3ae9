/* SPDX-License-Identifier: MIT */
/*
 * Signals to the daemon: SIGTERM and SIGINT end the guest, SIGUSR2 begins a planned restart;
 * SIGHUP, SIGUSR1 and SIGALRM, which would kill it by default and leave the guest without its
 * device, are logged and nothing else. SIGQUIT stays what it is: an end with a core dump.
 */
#ifndef HOST_DAEMON_SIGNALS_H
#define HOST_DAEMON_SIGNALS_H

#include "loop/loop.h"

struct guest;
struct handover;

struct signals {
	struct loop_watch watch;
	struct guest *guest;
	struct handover *handover;
};

/* From now on they are waited for, in @loop. Returns 0 or -errno. */
int signals_watch(struct signals *signals, struct loop *loop);
/* What SIGTERM ends, and SIGUSR2 begins. */
void signals_serve(struct signals *signals, struct guest *guest, struct handover *handover);
/* They stay blocked. */
void signals_forget(struct signals *signals);

#endif
