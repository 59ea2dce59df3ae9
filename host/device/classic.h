/* SPDX-License-Identifier: MIT */
/* What the two halves of a classic port share; see classic.c. */
#ifndef HOST_DEVICE_CLASSIC_H
#define HOST_DEVICE_CLASSIC_H

#include "device/internal.h"

/* A prefix, a name and its end mark, CR LF at most. */
#define CLASSIC_NAME_SPACE (sizeof(MP_NAME_PREFIX) - 1 + MP_NAME_MAX + 2)

struct classic_open {
	struct list link;		/* in classic.opens */
	struct port *port;
	struct channel *channel;	/* NULL: not named yet, or gone */
	bool is_ended;
	bool is_discarding;		/* refused or gone: nobody wants its bytes */
	unsigned int chains_left;	/* ended: chains that are still its own */
	unsigned int name_len;		/* of what has come, without an end mark */
	char name[CLASSIC_NAME_SPACE];
};

/* The channel of @open, unconnected, or NULL. */
struct channel *classic_create_channel(struct classic_open *open);
/* The service of the current open ended or failed, or there is none. */
void classic_lose_service(struct port *port);
/* An ended open whose chains have all been taken; frees it. */
void classic_retire(struct classic_open *open);

#endif
