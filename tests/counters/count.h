/* SPDX-License-Identifier: MIT */
/* What the guest's kernel has counted; count.c. */
#ifndef COUNTERS_COUNT_H
#define COUNTERS_COUNT_H

/* Makes ready; then between count_begin() and count_end() kernel allocations are counted. */
void count_start(void);
void count_begin(void);
void count_end(void);
/* Allocations of objects; those of virtio in @virtio. */
unsigned long long count_slab_calls(unsigned long long *virtio);
unsigned long long count_page_calls(void);	/* of pages */
/* Prints who made them, as lines "# NAME: COUNT SITE". */
void count_print_sites(const char *name);

/* Interrupts of virtio devices. */
unsigned long long count_interrupts(void);

/* Used buffers that the drivers took, and the most that one interrupt took. */
struct answers {
	unsigned int all, most;
};
void count_answers_begin(void);
void count_answers_end(struct answers *answers);

/* Bytes in the objects that a channel and its file may be made of. */
unsigned long long count_slab_bytes(void);

#endif
