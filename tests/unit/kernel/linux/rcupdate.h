/* SPDX-License-Identifier: MIT */
/* RCU: one thread needs none. */
#ifndef STANDIN_RCUPDATE_H
#define STANDIN_RCUPDATE_H

static inline void rcu_read_lock(void)
{
}

static inline void rcu_read_unlock(void)
{
}

#endif
