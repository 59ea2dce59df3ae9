/* SPDX-License-Identifier: MIT */
/* The works, a file each: what the client's command line names. */
#ifndef BENCH_WORKS_H
#define BENCH_WORKS_H

#include "work.h"

void work_rtt(const struct options *options);
void work_stream(const struct options *options);
void work_open(const struct options *options);
void work_many(const struct options *options);
void work_processes(const struct options *options);
void work_beside(const struct options *options);
void work_memory(const struct options *options);
void work_check(const struct options *options);

#endif
