/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * How much of a common bound one user may hold [protocol.md 9.3].
 *
 * A user may hold as much as would then still be free: one greedy user gets half, n of them get
 * 1/(n+1) each, and something is always left for the next, without a number to be configured. A
 * sixteenth of the bound does not count as free: it is kept for the privileged users, whom only
 * the bound itself stops, so that the guest's administrator always gets in.
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
 * The most that one of these users may hold, the new request included. @used is what all users,
 * the privileged too, hold without that request.
 */
static inline unsigned long long mp_share_of_one(unsigned long long limit, unsigned long long used)
{
	unsigned long long common = mp_share_common(limit);

	return used < common ? common - used : 0;
}

#endif
