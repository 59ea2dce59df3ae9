// SPDX-License-Identifier: MIT
/*
 * The memfd: a header, frames, then the numbers of all descriptors. A frame is its tag and the
 * length of what follows, 8 bytes each; a value is 8 bytes; bytes come behind their length.
 *
 * Which descriptors were taken needs no list: execve() lets only those through that are not
 * close-on-exec, and taking one sets the mark.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/record.h"

#define MAGIC	   "mprecord"
#define DEPTH	   16
#define FIRST_SIZE (64U << 10)
#define FD_MAX	   (1U << 30)

struct header {
	char magic[8];
	uint64_t version;
	uint64_t fds_at;		/* behind the frames */
	uint64_t fd_count;
};

struct record {
	int memfd;
	uint8_t *data;
	size_t size;			/* of the mapping */
	size_t at, end;			/* the next value; reading: where the frames end */
	bool is_reading, is_finished, is_bad;
	unsigned int depth;
	size_t frames[DEPTH];		/* writing: where each begins; reading: where each ends */
	int *fds;			/* written; or what the memfd names */
	size_t fd_count, fd_room;
};

static struct record *make(int memfd)
{
	struct record *record = calloc(1, sizeof(*record));

	if (record)
		record->memfd = memfd;
	return record;
}

void record_destroy(struct record *record)
{
	if (!record)
		return;
	if (record->data)
		munmap(record->data, record->size);
	if (record->memfd >= 0)
		close(record->memfd);
	free(record->fds);
	free(record);
}

bool record_is_reading(const struct record *record)
{
	return record->is_reading;
}

bool record_is_good(const struct record *record)
{
	return !record->is_bad;
}

void record_spoil(struct record *record)
{
	record->is_bad = true;
}

/* --- Writing ----------------------------------------------------------------- */

/* Memory is there before it is touched: fallocate() fails where a write would raise SIGBUS. */
static bool grow(struct record *record, size_t size)
{
	void *data;

	if (fallocate(record->memfd, 0, 0, size))
		return false;
	if (record->data)
		data = mremap(record->data, record->size, size, MREMAP_MAYMOVE);
	else
		data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, record->memfd, 0);
	if (data == MAP_FAILED)
		return false;
	record->data = data;
	record->size = size;
	return true;
}

static void append(struct record *record, const void *data, size_t len)
{
	size_t size = record->size;

	while (size - record->at < len)
		size *= 2;
	if (record->is_bad || (size != record->size && !grow(record, size))) {
		record->is_bad = true;
		return;
	}
	if (len)
		memcpy(record->data + record->at, data, len);
	record->at += len;
}

struct record *record_create(void)
{
	struct record *record;
	int fd = memfd_create("manyport-record", MFD_CLOEXEC);

	if (fd < 0)
		return NULL;
	record = make(fd);
	if (!record)
		close(fd);
	if (record && grow(record, FIRST_SIZE)) {
		record->at = sizeof(struct header);
		return record;
	}
	record_destroy(record);
	errno = ENOMEM;
	return NULL;
}

int record_finish(struct record *record)
{
	struct header header = {
		.version = RECORD_VERSION, .fds_at = record->at, .fd_count = record->fd_count,
	};

	if (record->is_finished)
		return record->memfd;
	memcpy(header.magic, MAGIC, sizeof(header.magic));
	append(record, record->fds, record->fd_count * sizeof(*record->fds));
	if (record->is_bad)
		return -ENOMEM;
	memcpy(record->data, &header, sizeof(header));
	if (ftruncate(record->memfd, record->at))
		return -errno;
	record->is_finished = true;
	return record->memfd;
}

static void note_fd(struct record *record, int fd)
{
	size_t room = record->fd_room ? record->fd_room * 2 : 64;
	int *fds;

	/* A program's own standard files; what is there after execve() is not looked at. */
	if (fd <= STDERR_FILENO)
		record->is_bad = true;
	if (record->fd_count == record->fd_room) {
		fds = reallocarray(record->fds, room, sizeof(*fds));
		if (!fds) {
			record->is_bad = true;
			return;
		}
		record->fds = fds;
		record->fd_room = room;
	}
	record->fds[record->fd_count++] = fd;
}

void record_pass_fds(struct record *record, bool pass)
{
	for (size_t i = 0; i < record->fd_count; i++)
		fcntl(record->fds[i], F_SETFD, pass ? 0 : FD_CLOEXEC);
	fcntl(record->memfd, F_SETFD, pass ? 0 : FD_CLOEXEC);
}

/* --- Reading ----------------------------------------------------------------- */

/* The writer has ended, and no other process has the memfd: it becomes no shorter. */
static int look_at(struct record *record)
{
	struct header header;
	struct stat st;
	size_t fds_size;

	if (fstat(record->memfd, &st))
		return errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(header))
		return EPROTO;
	record->data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, record->memfd, 0);
	if (record->data == MAP_FAILED) {
		record->data = NULL;
		return errno;
	}
	record->size = st.st_size;
	memcpy(&header, record->data, sizeof(header));
	if (memcmp(header.magic, MAGIC, sizeof(header.magic)))
		return EPROTO;
	if (header.version > RECORD_VERSION)
		return ENOTSUP;
	if (header.fds_at < sizeof(header) || header.fds_at > record->size ||
	    header.fd_count > (record->size - header.fds_at) / sizeof(int))
		return EPROTO;
	fds_size = header.fd_count * sizeof(int);
	record->fds = malloc(fds_size + 1);
	if (!record->fds)
		return ENOMEM;
	memcpy(record->fds, record->data + header.fds_at, fds_size);
	record->fd_count = header.fd_count;
	record->at = sizeof(header);
	record->end = header.fds_at;
	return 0;
}

struct record *record_open(int fd)
{
	struct record *record = make(-1);
	int error = ENOMEM;

	if (record) {
		record->memfd = fd;
		record->is_reading = true;
		error = look_at(record);
		if (!error) {
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			return record;
		}
		record->memfd = -1;	/* the caller's */
	}
	record_destroy(record);
	errno = error;
	return NULL;
}

/* How many bytes the frame has left. */
static size_t left(const struct record *record)
{
	return (record->depth ? record->frames[record->depth - 1] : record->end) - record->at;
}

/* The next @len bytes, or NULL when the frame has no more; then the record is bad if @must. */
static const uint8_t *take(struct record *record, size_t len, bool must)
{
	const uint8_t *data = record->data + record->at;

	if (record->is_bad)
		return NULL;
	if (left(record) < len) {
		record->is_bad = must;
		return NULL;
	}
	record->at += len;
	return data;
}

/* Sets the mark, which tells that it has been taken. */
static bool claim_fd(uint64_t fd)
{
	int flags = fd < FD_MAX ? fcntl(fd, F_GETFD) : -1;

	return flags >= 0 && !(flags & FD_CLOEXEC) && fd > STDERR_FILENO &&
	       !fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void record_close_rest(struct record *record)
{
	for (size_t i = 0; i < record->fd_count; i++)
		if (claim_fd((unsigned int)record->fds[i]))
			close(record->fds[i]);
	record->fd_count = 0;
}

/* --- Frames and values -------------------------------------------------------- */

bool record_begin(struct record *record, uint32_t tag)
{
	uint64_t head[2] = { tag, 0 };

	if (record->depth == DEPTH)
		record->is_bad = true;
	if (record->is_bad)
		return false;
	if (!record->is_reading) {
		record->frames[record->depth++] = record->at;
		append(record, head, sizeof(head));
		return true;
	}
	if (left(record) < sizeof(head))
		return false;
	memcpy(head, record->data + record->at, sizeof(head));
	if (head[0] != tag)
		return false;
	if (head[1] > left(record) - sizeof(head)) {
		record->is_bad = true;
		return false;
	}
	record->at += sizeof(head);
	record->frames[record->depth++] = record->at + head[1];
	return true;
}

void record_end(struct record *record)
{
	uint64_t len;
	size_t frame;

	if (record->is_bad)
		return;
	frame = record->frames[--record->depth];
	if (record->is_reading) {
		record->at = frame;
		return;
	}
	len = record->at - frame - 2 * sizeof(len);
	memcpy(record->data + frame + sizeof(len), &len, sizeof(len));
}

uint64_t record_number(struct record *record, uint64_t value, uint64_t max)
{
	const uint8_t *bytes;
	uint64_t found;

	if (!record->is_reading) {
		append(record, &value, sizeof(value));
		return value;
	}
	bytes = take(record, sizeof(found), false);
	if (!bytes)
		return value;
	memcpy(&found, bytes, sizeof(found));
	if (found <= max)
		return found;
	record->is_bad = true;
	return value;
}

void record_text(struct record *record, char *text, size_t size)
{
	uint64_t len = record_number(record, record->is_reading ? 0 : strlen(text), size - 1);
	const uint8_t *bytes;

	if (!record->is_reading) {
		append(record, text, len);
		return;
	}
	bytes = len ? take(record, len, true) : NULL;
	if (bytes && memchr(bytes, 0, len))
		record->is_bad = true;
	if (record->is_bad || !bytes)
		return;
	memcpy(text, bytes, len);
	text[len] = 0;
}

void *record_bytes(struct record *record, const void *data, size_t *len)
{
	uint64_t count = record_number(record, record->is_reading ? 0 : *len, SIZE_MAX);
	const uint8_t *bytes;
	void *copy;

	if (!record->is_reading) {
		append(record, data, count);
		return NULL;
	}
	*len = 0;
	bytes = count ? take(record, count, true) : NULL;
	if (!bytes)
		return NULL;
	copy = malloc(count);
	if (!copy) {
		record->is_bad = true;
		return NULL;
	}
	memcpy(copy, bytes, count);
	*len = count;
	return copy;
}

int record_fd(struct record *record, int fd)
{
	/* No descriptor is 0. */
	uint64_t number = record_number(record, record->is_reading || fd < 0 ? 0 : fd + 1ULL,
					FD_MAX);

	if (!record->is_reading) {
		if (fd >= 0)
			note_fd(record, fd);
		return fd;
	}
	if (record->is_bad || !number)
		return -1;
	if (claim_fd(number - 1))
		return number - 1;
	record->is_bad = true;
	return -1;
}
