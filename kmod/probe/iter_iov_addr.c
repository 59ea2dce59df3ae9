// SPDX-License-Identifier: GPL-2.0-only
#include <linux/uio.h>
void __user *probe(const struct iov_iter *i);
void __user *probe(const struct iov_iter *i) { return iter_iov_addr(i); }
