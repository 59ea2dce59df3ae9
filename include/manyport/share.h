/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * How much of a common bound one user may hold [protocol.md 9.3].
 *
 * As much as would then still be free: one alone has half, n greedy ones have 1/(n+1) each, and
 * there is always something left for the next, without a number that somebody would have to
 * choose. Of that which is free a sixteenth of the bound does not count: it is for the
 * privileged, whom only the bound itself stops, so that whoever looks after the guest gets in.
 */
#ifndef MANYPORT_SHARE_H
#define MANYPORT_SHARE_H

#define MP_SHARE_KEPT	16U

/* What all users but the privileged may hold together of @limit. */
static inline unsigned long long mp_share_common(unsigned long long limit)
{
	return limit - limit / MP_SHARE_KEPT;
}

/*
 * The most that one of these users may hold, with what he asks for, when all together (also
 * the privileged) hold @used without that.
 */
static inline unsigned long long mp_share_of_one(unsigned long long limit, unsigned long long used)
{
	unsigned long long common = mp_share_common(limit);

	return used < common ? common - used : 0;
}

#endif
