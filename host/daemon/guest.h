/* SPDX-License-Identifier: MIT */
/*
 * One guest: its device, the front end that is attached, and what lies
 * between them and the loop.
 *
 * The device lives as long as the daemon; a front end comes and goes, and each
 * finds the device as new.
 */
#ifndef HOST_DAEMON_GUEST_H
#define HOST_DAEMON_GUEST_H

#include <stdbool.h>

struct config;
struct guest;
struct loop;
struct road_config;
struct unix_access;

/* Makes the device. The configuration, checked and started, outlives the guest. NULL: no memory. */
struct guest *guest_create(struct loop *loop, const struct config *config);
/* Ends everything, the front end's session too. Accepts NULL. */
void guest_destroy(struct guest *guest);

/*
 * Before any front end comes: serves the one that an earlier process or program has left, if
 * there is one. @once: the guest ends when it goes. Returns whether there is one.
 */
bool guest_take_over(struct guest *guest, bool once);

/* Waits for front ends, one at a time, on the socket @path. Returns 0 or -errno. */
int guest_listen(struct guest *guest, const char *path, const struct unix_access *access);

/* Serves the front end at @fd; the guest ends when that goes. Returns 0 or -errno. */
int guest_attach(struct guest *guest, int fd);

/* Opens a road beside the device. Returns 0, -ENODEV (no such multi-open port), or -errno. */
int guest_open_road(struct guest *guest, const struct road_config *config);

/*
 * Holds the sockets that listen now, of front ends and of roads, for the next process, with the
 * clients that wait there; and no others any more.
 */
void guest_keep_listeners(struct guest *guest);

/*
 * No front end is served any more; services still get what they have taken. Then, or at a
 * second call, the loop quits.
 */
void guest_end(struct guest *guest);

struct record;
/*
 * A planned restart. guest_pause(): rings stop, and roads end, as they do not go along; false: not
 * now. Then guest_hand_over() writes what guest_restore() reads, in the next program. Or, if there
 * is none, guest_resume(), and roads are opened again.
 */
bool guest_pause(struct guest *guest);
void guest_resume(struct guest *guest);
/* What is held for this process is held for the program that execve() brings; or not. */
int guest_pass(struct guest *guest, bool pass);
void guest_hand_over(struct guest *guest, struct record *record);
/*
 * Into a new guest, before guest_take_over(). Without what makes no sense: then channels end, as
 * after a crash. Returns 0 or -ENOMEM.
 */
int guest_restore(struct guest *guest, struct record *record);

bool guest_is_ending(const struct guest *guest);

/* How the session of guest_attach() ended: 0 or -errno. */
int guest_result(const struct guest *guest);

unsigned int guest_queue_count(const struct guest *guest);

/* How many descriptors the front end needs, at most, when its guest boots or gets memory. */
unsigned int guest_front_end_fds(const struct guest *guest);

#endif
