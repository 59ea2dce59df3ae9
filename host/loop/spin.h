/* SPDX-License-Identifier: MIT */
/*
 * How long to look for work before sleeping: learned from how long the sleeps were, as halt
 * polling does. A sleep that was short makes the next look longer; a long one ends looking at
 * once, and so do several short ones in a row that a full window did not cover. So
 * who has nothing to do does not look.
 */
#ifndef HOST_LOOP_SPIN_H
#define HOST_LOOP_SPIN_H

#include <stdint.h>

#define SPIN_SHORT_FACTOR 4	/* a sleep up to so many windows might have been covered */
#define SPIN_MISSES_MAX	  4
#define SPIN_REST	  64	/* short sleeps before it is tried again after that */

struct spin {
	unsigned int window_us;	/* how long the next look is */
	unsigned int misses, rest;
};

/* A look found work. */
static inline void spin_found(struct spin *spin)
{
	spin->misses = 0;
}

/* A look of the window found nothing, and then @slept_us passed. @max_us: the longest window. */
static inline void spin_slept(struct spin *spin, unsigned int max_us, uint64_t slept_us)
{
	if (slept_us > (uint64_t)SPIN_SHORT_FACTOR * max_us) {
		spin->window_us = 0;
		spin->misses = 0;
	} else if (spin->rest) {
		spin->rest--;
	} else if (spin->window_us < max_us) {
		spin->window_us = spin->window_us * 2 < max_us / 4 ? max_us / 4 :
				  spin->window_us * 2 < max_us ? spin->window_us * 2 : max_us;
	} else if (++spin->misses >= SPIN_MISSES_MAX) {
		*spin = (struct spin){ .rest = SPIN_REST };
	}
}

#endif
