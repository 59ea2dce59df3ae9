/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that channels cannot take.
 *
 * A front end sends new descriptors whenever its guest boots or gets memory. If one of these does
 * not arrive, the guest loses its device. So the process keeps its soft limit below the hard one,
 * and raises it only while it receives such a message. Code that serves channels, services and
 * host tools meets the lower limit, and cannot use up the reserve. Only one thread may call this.
 */
#ifndef HOST_BASE_FD_LIMIT_H
#define HOST_BASE_FD_LIMIT_H

struct record;
struct rlimit;

/* The limits that the process was started with: programs get them. */
void fd_limit_original(struct rlimit *limit);
/* Writes, or reads, what fd_limit_original() gives: execve() keeps the limit that we have set. */
void fd_limit_hand_over(struct record *record);

/* Raises the limit as far as it may go, less @reserve. Returns what is left to the others. */
unsigned long fd_limit_init(unsigned int reserve);

/* Descriptors that are made between these two may come from the reserve. */
void fd_limit_open_reserve(void);
void fd_limit_close_reserve(void);

#endif
