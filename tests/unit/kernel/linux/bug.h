/* SPDX-License-Identifier: MIT */
/* Warnings. */
#ifndef STANDIN_BUG_H
#define STANDIN_BUG_H

/* A warning ends the test program. */
void standin_bug(const char *file, int line, const char *what) __attribute__((noreturn));

#define WARN_ON_ONCE(condition) ({						\
	if (condition)								\
		standin_bug(__FILE__, __LINE__, #condition);			\
	0; })

#endif
