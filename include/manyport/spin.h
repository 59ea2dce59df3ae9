/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * How long to spin for work before sleeping: learned from how long the sleeps were, as halt
 * polling does. A short sleep makes the next window longer. A long sleep ends spinning at once,
 * and so do several short sleeps in a row that a full window did not cover. So an idle guest and
 * an idle daemon do not spin at all.
 *
 * The guest learns for each direction of a channel, the host for its loop. Two callers that change
 * one window at the same time make it a little wrong, and do no other harm.
 */
#ifndef MANYPORT_SPIN_H
#define MANYPORT_SPIN_H

#define MP_SPIN_SHORT_FACTOR	4	/* a sleep up to so many windows might have been covered */
#define MP_SPIN_MISSES_MAX	4	/* short sleeps after a full window, until spinning ends */
#define MP_SPIN_REST		32	/* short sleeps after that, until spinning begins again */
#define MP_SPIN_WINDOW_MAX	0xffffU

struct mp_spin {
	unsigned short window_us;	/* how long to spin the next time */
	unsigned char misses;		/* sleeps in a row that a full window did not cover */
	unsigned char rest;		/* short sleeps to go before the window grows again */
};

/* Begins with the longest window that a caller allows: the first answers are likely to be near. */
static inline void mp_spin_init(struct mp_spin *spin)
{
	*spin = (struct mp_spin){ .window_us = MP_SPIN_WINDOW_MAX };
}

/* Spinning found work. */
static inline void mp_spin_found(struct mp_spin *spin)
{
	spin->misses = 0;
}

/* The window after @window_us, where @max_us is the longest: at least a quarter of that. */
static inline unsigned int mp_spin_longer(unsigned int window_us, unsigned int max_us)
{
	unsigned int longer = 2 * window_us;

	if (longer < max_us / 4)
		return max_us / 4;
	return longer < max_us ? longer : max_us;
}

/* Spinning found nothing, then the sleep took @slept_us. @max_us: the longest window. */
static inline void mp_spin_slept(struct mp_spin *spin, unsigned int max_us,
				 unsigned long long slept_us)
{
	if (max_us > MP_SPIN_WINDOW_MAX)
		max_us = MP_SPIN_WINDOW_MAX;
	if (slept_us > (unsigned long long)MP_SPIN_SHORT_FACTOR * max_us) {
		spin->window_us = 0;
		spin->misses = 0;
	} else if (spin->rest) {
		spin->rest--;
	} else if (spin->window_us < max_us) {
		spin->window_us = mp_spin_longer(spin->window_us, max_us);
	} else if (++spin->misses >= MP_SPIN_MISSES_MAX) {
		*spin = (struct mp_spin){ .rest = MP_SPIN_REST };
	}
}

#endif
