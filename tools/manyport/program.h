/* SPDX-License-Identifier: MIT */
/* A program on disk, before it is started. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Where execvp() finds @name. Returns 0, -ENOENT, -EACCES (all of its kind may not be run). */
int program_find(const char *name, char *path, size_t size);

/*
 * Why a preloaded library does not reach the program at @path, or a script's interpreter; NULL
 * when it does, or when the file does not say. @would_end: the library would end the program.
 */
const char *program_escapes(const char *path, bool *would_end);

#endif
