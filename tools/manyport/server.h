/* SPDX-License-Identifier: MIT */
/*
 * manyport serve: unix sockets of the guest, whose connections are channels over one byte stream
 * [protocol.md 15]. One thread, one loop.
 *
 *	serve          options, the stream, the end
 *	serve_door     a listening socket: the door, where clients name, or one service's
 *	serve_client   one connection, and its lane of the link
 *	serve_naming   what a client says before its bytes
 *	serve_node     a device node: each open is a client, at the other end of a socket pair
 *	serve_cuse     the device, whose calls are requests of the kernel
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/list.h"
#include "link/pump.h"

#define SERVE_SLOTS 65536U		/* channels at most */

struct serve {
	struct loop *loop;
	struct link *link;
	struct pump pump;
	struct list doors;
	struct list clients;		/* all */
	struct list naming;		/* those at the door that have not named */
	struct list waiting;		/* those that have, and wait for a session */
	/* Of the session; 0 slots: there is none. Slots that are free are a stack. */
	uint32_t slots, free_count;
	uint32_t *free_slots, *generations;
	int status;			/* of the process */
};

/* --- serve_client.c ------------------------------------------------------- */

/* Called by the link. */
extern const struct link_ops serve_link_ops;

/* Takes @fd, a client's connection; @service NULL: it names one itself. */
void serve_client_begin(struct serve *serve, int fd, const char *service);

/*
 * The holder of the other end of a client's socket in this process, which is the node: what passes
 * between the two beside the bytes. It is valid until the client is gone, or the holder lets go.
 */
struct serve_holder {
	struct client *client;		/* NULL: gone */
	bool has_failed;		/* the channel did, or was cut: not an end */
	/* It is gone, or its service takes no more; called from anywhere. */
	void (*changed)(struct serve_holder *holder);
};

/* As serve_client_begin(), for @opener, who has said struct mp_naming and the name already. */
void serve_client_begin_held(struct serve *serve, int fd, const struct frame_connect *opener,
			     struct serve_holder *holder);
/* The channel ends, and what the service has not taken is dropped. The caller closes its end. */
void serve_client_abort(struct serve_holder *holder);
void serve_client_let_go(struct serve_holder *holder);
/* Each client is cut. There is no session. */
void serve_client_end_all(struct serve *serve);

/* --- serve_door.c --------------------------------------------------------- */

/* Adds "PATH[,mode=M][,owner=U][,group=G]" for clients that name. Returns NULL or what is wrong. */
const char *serve_door_add(struct serve *serve, const char *text);
/* Adds "PATH[,...]:NAME" for clients of one service. */
const char *serve_door_add_service(struct serve *serve, const char *text);
/* Complains itself. Returns 0 or -errno. */
int serve_door_open_all(struct serve *serve);
void serve_door_close_all(struct serve *serve);

#endif
