// SPDX-License-Identifier: MIT
/* How much each got, where several share a transport. See work.h. */
#include <stdio.h>
#include <sys/mman.h>

#include "work.h"

/* Of processes that are forked after this, too. */
struct share *shares_make(int n)
{
	struct share *shares = mmap(NULL, n * sizeof(*shares), PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shares == MAP_FAILED)
		fail("memory");
	return shares;
}

void shares_reset(struct share *shares, int n)
{
	for (int i = 0; i < n; i++)
		shares[i].count = shares[i].longest = 0;
}

void share_note(struct share *share, double t)
{
	if (share->last && t - share->last > share->longest)
		share->longest = t - share->last;
	share->last = t;
	share->count++;
}

/* Jain's index: 1 when all got the same, 1/n when one got all. */
void shares_print(const struct share *shares, int n, double seconds, size_t size)
{
	double sum = 0, squares = 0, least = -1, longest = 0;

	for (int i = 0; i < n; i++) {
		double count = shares[i].count;

		sum += count;
		squares += count * count;
		if (least < 0 || count < least)
			least = count;
		if (shares[i].longest > longest)
			longest = shares[i].longest;
	}
	printf("result round_trips_s=%.2f mb_s=%.3f jain=%.4f slowest=%.4f longest_ms=%.2f\n",
	       sum / seconds, sum * size * 2 / seconds / 1e6, squares ? sum * sum / squares / n : 0,
	       sum ? least * n / sum : 0, longest * 1e3);
}
