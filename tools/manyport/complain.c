// SPDX-License-Identifier: MIT
#include <stdarg.h>
#include <stdio.h>

#include "tool.h"

void complain(const char *format, ...)
{
	va_list args;

	/* One line at a time, also when two threads have something to say. */
	flockfile(stderr);
	fputs("manyport: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	funlockfile(stderr);
}
