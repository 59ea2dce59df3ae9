/* SPDX-License-Identifier: MIT */
/* container_of(). */
#ifndef STANDIN_CONTAINER_OF_H
#define STANDIN_CONTAINER_OF_H

#include <linux/kernel.h>

#endif
