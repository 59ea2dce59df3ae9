/* SPDX-License-Identifier: MIT */
/* One processor. */
#ifndef STANDIN_PERCPU_H
#define STANDIN_PERCPU_H

#define DEFINE_PER_CPU(type, name) type name
#define this_cpu_ptr(pointer) (pointer)

#endif
