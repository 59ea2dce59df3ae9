/* SPDX-License-Identifier: MIT */
/* As in user space. */
#ifndef STANDIN_STRING_H
#define STANDIN_STRING_H

#include <string.h>
#include <linux/kernel.h>

#endif
