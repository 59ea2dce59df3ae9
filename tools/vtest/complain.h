/* SPDX-License-Identifier: MIT */
#ifndef COMPLAIN_H
#define COMPLAIN_H

/* A line for the daemon's log. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
