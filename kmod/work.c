// SPDX-License-Identifier: GPL-2.0-only
/* Made and destroyed by driver.c, used by all files above this one. */
#include "work.h"

struct workqueue_struct *mp_workqueue;
