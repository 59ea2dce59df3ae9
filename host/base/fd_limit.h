/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that channels cannot take.
 *
 * A front end sends new descriptors whenever its guest boots or gets memory; one that does not
 * arrive costs the guest its device. So the process's limit is kept below what it may have, and
 * what is between the two is opened only while such a message is received. Whatever serves
 * channels, services and host tools meets the lower limit as if it were the only one. One thread
 * does all.
 */
#ifndef HOST_BASE_FD_LIMIT_H
#define HOST_BASE_FD_LIMIT_H

/* Raises the limit as far as it may go, less @reserve. Returns what is left to the others. */
unsigned long fd_limit_init(unsigned int reserve);

/* Descriptors that are made between these two may come from the reserve. */
void fd_limit_open_reserve(void);
void fd_limit_close_reserve(void);

#endif
