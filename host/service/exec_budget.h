/* SPDX-License-Identifier: MIT */
/* How many programs a service may start: so many per second, of which some are saved up. */
#ifndef HOST_SERVICE_EXEC_BUDGET_H
#define HOST_SERVICE_EXEC_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct record;

struct exec_budget {
	uint32_t per_sec;
	uint64_t starts;		/* starts that are left, in thousandths */
	uint64_t filled_ms;
};

void exec_budget_init(struct exec_budget *budget, uint32_t per_sec, uint64_t now);
/* Takes one start. False when none is left. */
bool exec_budget_take(struct exec_budget *budget, uint64_t now);
/* Writes, or reads, what is left. */
void exec_budget_hand_over(struct exec_budget *budget, struct record *record);

#endif
