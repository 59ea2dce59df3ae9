/* SPDX-License-Identifier: MIT */
/* static_assert(). */
#ifndef STANDIN_BUILD_BUG_H
#define STANDIN_BUILD_BUG_H

#include <assert.h>
#include <stddef.h>

#endif
