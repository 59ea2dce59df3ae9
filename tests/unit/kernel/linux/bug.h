/* SPDX-License-Identifier: MIT */
/* Warnings. */
#ifndef STANDIN_BUG_H
#define STANDIN_BUG_H

#include <stdio.h>
#include <stdlib.h>

/* A warning fails the test. */
#define WARN_ON_ONCE(condition) ({						\
	if (condition) {							\
		fprintf(stderr, "%s:%d: WARN_ON(%s)\n", __FILE__, __LINE__, #condition); \
		abort();							\
	}									\
	0; })

#endif
