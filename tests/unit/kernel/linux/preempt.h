/* SPDX-License-Identifier: MIT */
/* Preemption. */
#ifndef STANDIN_PREEMPT_H
#define STANDIN_PREEMPT_H

#include <stdbool.h>

/* Whether the code under test can lose the processor; see kernel.h. */
void preempt_disable(void);
void preempt_enable(void);
bool preemptible(void);

#endif
