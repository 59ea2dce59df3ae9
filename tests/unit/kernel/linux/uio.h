/* SPDX-License-Identifier: MIT */
/* What a call reads from or writes to: one piece of the test's memory. */
#ifndef STANDIN_UIO_H
#define STANDIN_UIO_H

#include <sys/uio.h>

#include <linux/compiler.h>
#include <linux/types.h>

struct page;

struct bio_vec {
	unsigned int bv_offset;
};

struct iov_iter {
	void *ubuf;
	size_t iov_offset, count;
	size_t fault_at;		/* the process's memory ends here */
	bool is_user;			/* else pages that are the kernel's own */
	const struct bio_vec *bvec;	/* then: of whole pages, from @ubuf on */
	const struct iovec *iov;	/* unused */
};

#define READ	0
#define WRITE	1

static inline void iov_iter_ubuf(struct iov_iter *iter, unsigned int direction, void *data,
				 size_t bytes)
{
	*iter = (struct iov_iter){ .ubuf = data, .count = bytes, .fault_at = SIZE_MAX,
				   .is_user = true };
}

/* What comes during the copy is the test's (kernel.h). */
size_t copy_from_iter(void *to, size_t bytes, struct iov_iter *from);
size_t copy_to_iter(const void *from, size_t bytes, struct iov_iter *to);
size_t copy_page_to_iter(struct page *page, size_t offset, size_t bytes, struct iov_iter *to);

static inline size_t iov_iter_count(const struct iov_iter *iter)
{
	return iter->count;
}

static inline size_t iov_iter_single_seg_count(const struct iov_iter *iter)
{
	return iter->count;
}

static inline void iov_iter_advance(struct iov_iter *iter, size_t bytes)
{
	iter->iov_offset += bytes;
	iter->count -= bytes;
}

static inline void iov_iter_revert(struct iov_iter *iter, size_t bytes)
{
	iter->iov_offset -= bytes;
	iter->count += bytes;
}

static inline bool user_backed_iter(const struct iov_iter *iter)
{
	return iter->is_user;
}

static inline bool iov_iter_is_bvec(const struct iov_iter *iter)
{
	return iter->bvec;
}

/* One page each time; the references are counted as pins. */
ssize_t iov_iter_get_pages2(struct iov_iter *iter, struct page **pages, size_t bytes,
			    unsigned int count, size_t *start);

static inline bool iter_is_ubuf(const struct iov_iter *iter)
{
	return true;
}

#endif
