/* SPDX-License-Identifier: MIT */
/*
 * Values that one program writes to a memfd and the next one reads: what a planned restart hands
 * over.
 *
 * One function of each layer lists the layer's fields, and serves both ways: with a record that is
 * written each call appends the value that it is given, with one that is read each call gives the
 * value that was written in its place. Values stand in frames; a frame has a tag, and frames may
 * stand in frames. A newer program may list more values at the end of a frame, and more kinds of
 * frames: of what an older one has not written each value stays as it was.
 *
 * A reader trusts nothing. What cannot be (a value beyond its bound, a frame beyond its end, a
 * descriptor that is not open) makes the record bad; then each call leaves its value as it was, and
 * no frame begins any more. So only the end of it all asks record_is_good().
 */
#ifndef HOST_BASE_RECORD_H
#define HOST_BASE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A program reads records of its own version and of older ones. */
#define RECORD_VERSION 1

struct record;

/* To be written. NULL with errno set. */
struct record *record_create(void);
/*
 * To be read: the memfd @fd, which the record owns from a success on. NULL with errno set: EPROTO,
 * it is no record; ENOTSUP, a newer program wrote it.
 */
struct record *record_open(int fd);
void record_destroy(struct record *record);	/* accepts NULL */

/* Completes what was written; idempotent. Returns the memfd, the record's, or -errno. */
int record_finish(struct record *record);

bool record_is_reading(const struct record *record);
bool record_is_good(const struct record *record);
/* What was read makes no sense to the caller. */
void record_spoil(struct record *record);

/*
 * Begins a frame. Reading: false where the next frame in the surrounding one is another, or there
 * is none. What is left of a frame is skipped by record_end().
 */
bool record_begin(struct record *record, uint32_t tag);
void record_end(struct record *record);

/* Writes @value, which is returned; or returns what was written, @max at most. */
uint64_t record_number(struct record *record, uint64_t value, uint64_t max);

static inline void record_u64(struct record *record, uint64_t *value)
{
	*value = record_number(record, *value, UINT64_MAX);
}

static inline void record_u32(struct record *record, uint32_t *value)
{
	*value = record_number(record, *value, UINT32_MAX);
}

static inline void record_u16(struct record *record, uint16_t *value)
{
	*value = record_number(record, *value, UINT16_MAX);
}

static inline void record_bool(struct record *record, bool *value)
{
	*value = record_number(record, *value, 1);
}

/* A text in an array of @size bytes, NUL included. */
void record_text(struct record *record, char *text, size_t size);
/*
 * @len bytes at @data are written. Reading: returns a copy, which the caller frees, and its length
 * in *len; NULL for no bytes.
 */
void *record_bytes(struct record *record, const void *data, size_t *len);

/*
 * A descriptor, or -1. Writing: it stays open, and the caller's. Reading: it is the caller's from
 * now on, close-on-exec; no descriptor is given out twice.
 */
int record_fd(struct record *record, int fd);
/* Written: the descriptors survive execve(), or do not any more. They are all still open. */
void record_pass_fds(struct record *record, bool pass);
/* Read: closes those that were not taken. */
void record_close_rest(struct record *record);

#endif
