/* SPDX-License-Identifier: MIT */
/*
 * Streams that outlive their channel: the guest, or the daemon, goes, and bytes that were taken
 * are still on their way to a service.
 *
 * These bytes lie in the send queue of a socket. A close() that resets drops that queue, and so
 * does a close() with unread input. So the descriptor stays open here, its input is thrown away,
 * and it is closed when the queue is empty. A queue that did not become shorter for the
 * service's linger_ms is given up, with a line in the log.
 */
#ifndef HOST_SERVICE_LEAVE_H
#define HOST_SERVICE_LEAVE_H

#include <stdbool.h>

#include <manyport/service.h>

struct loop;

struct leave {
	struct loop *loop;
	const char *name;	/* of the service, for the log; outlives the service */
	int fd;
	enum mp_end how;	/* WHOLE or CUT */
	/* Ends what is left, the descriptor too. ABORT: it is not waited for any longer. */
	void (*end)(void *context, int fd, enum mp_end how);
	/*
	 * NULL, or for a program: has it exited? WHOLE then waits for that, end_ms at most, from
	 * when the queue is empty; CUT waits for it or for the empty queue.
	 */
	bool (*has_exited)(void *context);
	void *context;
	/* Writes a stream of this kind, which is restored, and closed as this one was. */
	const char *kind;
	void (*save)(void *context, int fd, struct record *record);
};

/* Keeps what @leave describes. False without memory: then nothing is kept. */
bool leave_begin(const struct leave *leave, const struct mp_place *place);

/* Calls @gone once nothing is kept, perhaps at once; programs are only waited for as with CUT. */
void leave_hurry(void (*gone)(void *context), void *context);

/* Ends now what is kept of @service, or of all with NULL. */
void leave_end(const struct mp_service *service);

unsigned int leave_count(void);

/* What a planned restart needs of the owner of services and places. */
struct leave_handover {
	/* What a service is called in the configuration, or NULL. */
	const char *(*name)(void *context, const struct mp_service *service);
	/*
	 * Completes @place, whose user and channel are set, for a service of this name; and the
	 * stream of this kind in @record, or NULL: then there is no place.
	 */
	struct mp_stream *(*restore)(void *context, const char *name, const char *kind,
				     struct mp_place *place, struct record *record);
	void *context;
};

/* Writes, or reads, all that is kept. */
void leave_hand_over(const struct leave_handover *handover, struct record *record);

/* How many bytes of a socket's send queue its other end has not taken. */
uint64_t leave_queued(int fd);

#endif
