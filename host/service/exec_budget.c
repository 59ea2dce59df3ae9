// SPDX-License-Identifier: MIT
#include "service/exec_budget.h"

#include "base/record.h"

#define MS_PER_SEC	1000
#define BURST_MS	10000	/* unused starts are saved up for at most so long */

void exec_budget_init(struct exec_budget *budget, uint32_t per_sec, uint64_t now)
{
	budget->per_sec = per_sec;
	budget->starts = (uint64_t)per_sec * BURST_MS;
	budget->filled_ms = now;
}

bool exec_budget_take(struct exec_budget *budget, uint64_t now)
{
	uint64_t elapsed = now - budget->filled_ms, most = (uint64_t)budget->per_sec * BURST_MS;

	budget->filled_ms = now;
	budget->starts = elapsed < BURST_MS ? budget->starts + elapsed * budget->per_sec : most;
	if (budget->starts > most)
		budget->starts = most;
	if (budget->starts < MS_PER_SEC)
		return false;
	budget->starts -= MS_PER_SEC;
	return true;
}

void exec_budget_hand_over(struct exec_budget *budget, struct record *record)
{
	record_u64(record, &budget->starts);
	record_u64(record, &budget->filled_ms);
}
