// SPDX-License-Identifier: MIT
/* The calls of the C library that ours stand in front of. */
#include <dlfcn.h>

#include "preload.h"

#define DEFINE(name) __typeof__(name) *next_##name;
NEXT_CALLS(DEFINE)

/* Run again it finds the same, so two threads may. */
__attribute__((constructor)) void next_find(void)
{
#define FIND(name) next_##name = (__typeof__(next_##name))dlsym(RTLD_NEXT, #name);
	NEXT_CALLS(FIND)
}
