/* SPDX-License-Identifier: MIT */
/* What the cases of manyport-classic use (classic.c). */
#ifndef GUEST_CLASSIC_H
#define GUEST_CLASSIC_H

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

struct classic_case {
	const char *name;
	void (*run)(void);
};

/* classic_cases.c, in the order that they run; the last has no name. */
extern const struct classic_case classic_cases[];

extern const char *port_name;

/* A line of the transcript. */
void say(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the case. */
void give_up(const char *what) __attribute__((noreturn));
/* What a call gave: a number, the name of errno, or "waits". Valid until the next. */
const char *result(long ret);
const char *mask_text(short mask);

/* Each case has the port "control" open while it runs, or until host_close(). */
void host_open(void);
void host_close(void);
/* A command of the host (host_control.c), and what follows "ok"; a refused one ends the case. */
const char *host(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A refused one gives NULL. */
const char *host_try(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A client of the host comes to the port: its number. */
int host_dials(void);

/* Looks again and again until it is so. False: it never was. */
bool within_limit(bool (*is_so)(void *), void *arg);
short mask_now(int fd);
/* What poll() says when one of @set is set and none of @clear, or when the limit has passed. */
const char *mask_after(int fd, short set, short clear);
/* A call between bounded(true) and bounded(false) fails with EINTR when it waits. */
void bounded(bool on);
void set_nonblock(int fd, bool on);

/* A process that makes one call and says how the call ended. It waits there when this returns. */
pid_t starts(void (*call)(int fd), int fd);
/* It is over, or its line says that it waits on. */
void ends(const char *who, pid_t pid);
bool is_asleep(void *pid);

const char *port_folder(void);		/* in sysfs, or NULL; one buffer */
const char *port_path(void);		/* its link, when there is one */
int port_open(int flags);

#endif
