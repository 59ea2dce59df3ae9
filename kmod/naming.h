/* SPDX-License-Identifier: GPL-2.0-only */
/* Naming: from an open to a connected channel. */
#ifndef KMOD_NAMING_H
#define KMOD_NAMING_H

#include <linux/cred.h>
#include <linux/sched.h>
#include <linux/uio.h>

#include <manyport/spin.h>
#include <manyport/wire.h>

#include "link.h"
#include "req.h"

struct mp_naming;

/* CONNECT and its payload. */
struct mp_connect_req {
	struct mp_req req;
	struct mp_naming *naming;
	struct mp_connect connect;
	char name[MP_NAME_MAX];
};

/* For whom a channel is named. */
struct mp_user {
	kuid_t uid;
	kgid_t gid;
};

/* Written by naming.c, with the link's lock; link to opener and connect_req are constant. */
struct mp_naming {
	struct mp_link *link;
	struct mp_spin *spin;		/* the out half's: a naming call waits as a write does */
	struct mp_connect opener;	/* without a name */
	bool is_collected;		/* the naming call has given the answer */
	struct mp_connect_req *busy;	/* at the device, or to go there; or NULL */
	struct mp_connect_req *connect_req; /* fixed port: made at open, used again */
	char *name;			/* name[+argument], NULL before naming */
	__le32 uid, gid;		/* for whom @name was given */
};

void mp_naming_init(struct mp_naming *naming, struct mp_link *link, struct mp_spin *spin);
void mp_naming_destroy(struct mp_naming *naming);
int mp_naming_connect(struct mp_naming *naming, const struct mp_user *user, const char *name,
		      size_t len, bool nonblock, bool may_retry);
ssize_t mp_naming_first_write(struct mp_naming *naming, struct iov_iter *from, bool nonblock);
int mp_naming_send_locked(struct mp_naming *naming, struct mp_connect_req *connect);
bool mp_naming_renew_locked(struct mp_naming *naming);
__poll_t mp_naming_answered_locked(struct mp_naming *naming);

#endif
