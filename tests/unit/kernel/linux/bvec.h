/* SPDX-License-Identifier: MIT */
/* struct bio_vec is in uio.h. */
#include <linux/uio.h>
