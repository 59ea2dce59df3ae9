/* SPDX-License-Identifier: MIT */
/* What the files of the guest's half of the bad host test share; see bad_host_guest.c. */
#ifndef BAD_HOST_GUEST_H
#define BAD_HOST_GUEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VICTIM	"/dev/vport0p1"
#define FIXED	"/dev/vport0p2"
#define LARGE	(256 << 10)
#define SMALL	100
#define LIMIT_MS 20000		/* of waits for what must come, times time_factor */

/* bad_host_guest.c */
extern unsigned int time_factor;	/* for limits of time */
extern unsigned char io_buf[LARGE];
uint64_t now_ms(void);
void moment(void);	/* in a loop that looks for something until a limit */
void fill(uint64_t offset, size_t len);
unsigned char pattern(uint64_t offset);
int tell(const char *what);		/* returns 0 or the errno of the answer */
int tell_attack(const char *name);	/* likewise */
int is_served(const char *path, const char *service);	/* honestly; returns 0 when it is */
int wait_for_nothing_left(const char *port);
int recover(void);	/* binds the driver again; returns 0 when the ports are back */

/* bad_host_users.c */
/* A channel, or -1; whatever the error, there is another attempt. */
int victim_open(const char *path, const char *service, int flags);
/* A lying host decides how these end; what counts is that they do. */
void try_read(int fd, size_t len);
void try_write(int fd, size_t len);
void start_users(void);
int kill_users(void);	/* returns how many do not die */
void show_stack(pid_t pid);

/* bad_host_plays.c, bad_host_play_answers.c, bad_host_play_file.c */
extern const struct play {
	const char *name;
	int (*run)(void);	/* returns 0 when it went well */
} plays[], plays_answers[], plays_file[];	/* ended by a NULL name */
void wait_until_asleep(pid_t pid);
pid_t in_child(int fd, void (*run)(int fd));

#endif
