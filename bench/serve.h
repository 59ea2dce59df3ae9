/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SERVE_H
#define BENCH_SERVE_H

#include <stdbool.h>

#include "protocol.h"

#define MAX_LISTENERS 8

/* One process per connection, blocking calls; server.c. Never returns. */
void serve_each(const int *listeners, int count);
/* One process and one epoll loop for all; server_many.c. Never returns. */
void serve_many(const int *listeners, int count);

/* The text that answers BENCH_MARK; watch.c. */
void watch_file(const char *path);
void watch_text(char text[BENCH_MARK_SIZE]);

#endif
