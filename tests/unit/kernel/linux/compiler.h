/* SPDX-License-Identifier: MIT */
/* Accesses and barriers: each test is one thread. */
#ifndef STANDIN_COMPILER_H
#define STANDIN_COMPILER_H

#define READ_ONCE(x)	__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, value)	__atomic_store_n(&(x), (value), __ATOMIC_RELAXED)
#define barrier()	__asm__ __volatile__("" ::: "memory")
#define smp_mb()	__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define __aligned(n)	__attribute__((aligned(n)))
#define __maybe_unused	__attribute__((unused))
#define fallthrough	__attribute__((fallthrough))
#define __must_hold(lock)
#define __releases(lock)
#define __acquires(lock)
#define __user
#define __init
#define __exit

#endif
