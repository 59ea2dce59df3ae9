/* SPDX-License-Identifier: MIT */
/* The host of bad_stream: a manyport serve of its own for each lie, and clients at its door. */
#ifndef PEER_BAD_STREAM_HOST_H
#define PEER_BAD_STREAM_HOST_H

#include "bad_stream.h"

/* Clients 0 and 1 have slots 0 and 1, and each side has said HELLO. 0 is the witness. */
struct host {
	struct stream s;
	pid_t serve;
	int idle_fds;
	int clients[2];
};

/* A serve whose stream is there, and no session. */
void host_begin(struct host *h);
/* A client whose CONNECT has come: its socket, and its slot in s.newest. */
int host_come(struct host *h);
/* And one that was let in. */
int host_open(struct host *h);
void host_start(struct host *h);
/* Its socket is closed, and the channel is over. */
void host_close(struct host *h, int client, uint32_t slot);
/* What must hold behind a lie. */
void host_finish(struct host *h, enum outcome outcome);
/* The last part of it: another session if the last one has ended; new clients; nothing is left. */
void host_expect_service(struct host *h, enum outcome outcome);
/* DATA of the host, as far as it is granted and the other side has acted on it. */
void host_fill(struct host *h, uint32_t slot);
void host_sync(struct host *h);
/* Serve sleeps: it has acted on everything that was sent to it, also by clients. */
void host_wait_idle(const struct host *h);
void host_expect_memory(const struct host *h, uint64_t before);

void run_host_clients(void);

#endif
