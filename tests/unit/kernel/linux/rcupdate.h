/* SPDX-License-Identifier: MIT */
/* RCU: one thread needs none; kernel.c counts the sections. */
#ifndef STANDIN_RCUPDATE_H
#define STANDIN_RCUPDATE_H

void rcu_read_lock(void);
void rcu_read_unlock(void);

#endif
