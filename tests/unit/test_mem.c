// SPDX-License-Identifier: MIT
/* Guest memory: what is refused, what an address becomes, truncated files. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem/mem.h"

#define PAGE 4096UL
#define USER 0x7000000000UL
#define FILE_PAGES (2UL * MEM_MAX_REGIONS)

static struct mem mem;
static int fd;

static int setup(void **state)
{
	(void)state;
	mem_init(&mem);
	fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -1 : ftruncate(fd, FILE_PAGES * PAGE);
}

static int teardown(void **state)
{
	(void)state;
	mem_clear(&mem);
	close(fd);
	return 0;
}

static int add(uint64_t guest, uint64_t size, uint64_t offset)
{
	return mem_add(&mem, guest, guest + USER, size, offset, fd);
}

/* The byte of the file that stands behind a pointer. */
static void assert_file_byte(uint8_t *ptr, off_t offset)
{
	static uint8_t next;
	uint8_t byte;

	*ptr = ++next;
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	assert_int_equal(byte, next);
}

static void bad_regions_are_refused(void **state)
{
	(void)state;
	assert_int_equal(add(0, 0, 0), -EINVAL);
	assert_int_equal(add(0, FILE_PAGES * PAGE + 1, 0), -EINVAL);
	assert_int_equal(add(0, PAGE, FILE_PAGES * PAGE), -EINVAL);
	assert_int_equal(add(0, PAGE, (FILE_PAGES - 1) * PAGE + 1), -EINVAL);
	assert_int_equal(add(0, PAGE, UINT64_MAX), -EINVAL);
	assert_int_equal(add(0, PAGE, UINT64_MAX - PAGE + 1), -EINVAL);
	assert_int_equal(add(0, UINT64_MAX, 0), -EINVAL);
	assert_int_equal(add(0, UINT64_MAX, PAGE), -EINVAL);
	assert_int_equal(add(0, 1, INT64_MAX), -EINVAL);
	assert_int_equal(mem_add(&mem, UINT64_MAX, 0, PAGE, 0, fd), -EINVAL);
	assert_int_equal(mem_add(&mem, UINT64_MAX - PAGE + 1, 0, PAGE, 0, fd), -EINVAL);
	assert_int_equal(mem_add(&mem, 0, UINT64_MAX - 7, PAGE, 0, fd), -EINVAL);
	assert_int_equal(mem_add(&mem, 0, 0, PAGE, 0, -1), -EBADF);
	assert_int_equal(mem.count, 0);
}

static void not_mappable_files_are_refused(void **state)
{
	int event = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(mem_add(&mem, 0, 0, PAGE, 0, event), -ENODEV);
	close(event);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(add(0, PAGE, 0), -EPERM);
	assert_int_equal(mem.count, 0);
}

static void overlaps_are_refused(void **state)
{
	(void)state;
	assert_int_equal(add(0x10000, 4 * PAGE, 0), 0);
	assert_int_equal(add(0x10000, 4 * PAGE, 0), -EINVAL);
	assert_int_equal(add(0x10000 - 1, 2, 0), -EINVAL);
	assert_int_equal(add(0x10000 + 4 * PAGE - 1, 1, 0), -EINVAL);
	assert_int_equal(add(0, 0x20000, 0), -EINVAL);
	assert_int_equal(mem_add(&mem, 0x90000, 0x10000 + USER, PAGE, 0, fd), -EINVAL);
	assert_int_equal(mem_add(&mem, 0x10000, 0x90000 + USER, PAGE, 0, fd), -EINVAL);
	assert_int_equal(add(0x10000 + 4 * PAGE, 4 * PAGE, 0), 0);
	assert_int_equal(add(0x10000 - PAGE, PAGE, 0), 0);
	assert_int_equal(mem.count, 3);
}

/* Each index once, in no order. */
static uint64_t scattered(int i)
{
	return (i * 7 % MEM_MAX_REGIONS) * 2 * PAGE;
}

static void regions_are_sorted_and_bounded(void **state)
{
	(void)state;
	for (int i = 0; i < MEM_MAX_REGIONS; i++)
		assert_int_equal(add(scattered(i), PAGE, i * PAGE), 0);
	for (unsigned int i = 1; i < mem.count; i++)
		assert_true(mem.regions[i - 1].guest < mem.regions[i].guest);
	assert_int_equal(add(0x10000000, PAGE, 0), -ENOSPC);
	for (int i = 0; i < MEM_MAX_REGIONS; i++)
		assert_file_byte(mem_at(&mem, gpa(scattered(i)), 1), i * PAGE);
}

/* Of scattered(), with a hole of a page behind each: its ends, and both ends of the hole. */
static void assert_alone(int i, bool is_there)
{
	uint64_t at = scattered(i);
	struct iovec iov[1];

	assert_null(mem_at(&mem, gpa(at + PAGE), 1));
	assert_null(mem_at(&mem, gpa(at + 2 * PAGE - 1), 1));
	assert_null(mem_at(&mem, gpa(at), PAGE + 1));
	assert_int_equal(mem_reach(&mem, gpa(at + 1), 2 * PAGE), is_there ? PAGE - 1 : 0);
	assert_int_equal(mem_iov(&mem, gpa(at + 1), PAGE - 1, iov, 1), is_there ? 1 : -EFAULT);
	if (!is_there) {
		assert_null(mem_at(&mem, gpa(at), 1));
		return;
	}
	assert_file_byte(mem_at(&mem, gpa(at), PAGE), i * PAGE);
	assert_file_byte(mem_at(&mem, gpa(at + PAGE - 1), 1), i * PAGE + PAGE - 1);
	assert_ptr_equal(iov->iov_base, mem_at(&mem, gpa(at + 1), 1));
}

/* At every count of regions, growing and shrinking. */
static void each_address_has_its_region(void **state)
{
	(void)state;
	for (int n = 0; n <= MEM_MAX_REGIONS; n++) {
		for (int i = 0; i < MEM_MAX_REGIONS; i += n % 16 ? 37 : 1)
			assert_alone(i, i < n);
		if (n < MEM_MAX_REGIONS)
			assert_int_equal(add(scattered(n), PAGE, n * PAGE), 0);
	}
	for (int n = 0; n < MEM_MAX_REGIONS; n++) {
		assert_int_equal(mem_remove(&mem, scattered(n), scattered(n) + USER, PAGE), 0);
		for (int i = 0; i < MEM_MAX_REGIONS; i += n % 16 ? 37 : 1)
			assert_alone(i, i > n);
	}
	assert_int_equal(mem.count, 0);
}

/* Regions without a hole: one range goes through all of them. */
static void a_range_crosses_all_regions(void **state)
{
	static struct iovec iov[MEM_MAX_REGIONS];
	const uint64_t len = MEM_MAX_REGIONS * PAGE;

	(void)state;
	for (int i = MEM_MAX_REGIONS; i-- > 0;)
		assert_int_equal(add(0x10000 + i * PAGE, PAGE, 2 * i * PAGE), 0);
	assert_int_equal(mem_iov(&mem, gpa(0x10000), len, iov, MEM_MAX_REGIONS), MEM_MAX_REGIONS);
	for (int i = 0; i < MEM_MAX_REGIONS; i++) {
		assert_int_equal(iov[i].iov_len, PAGE);
		assert_file_byte(iov[i].iov_base, 2 * i * PAGE);
	}
	assert_int_equal(mem_iov(&mem, gpa(0x10000), len, iov, MEM_MAX_REGIONS - 1), -E2BIG);
	assert_int_equal(mem_reach(&mem, gpa(0x10000 + 1), UINT64_MAX), len - 1);
}

static void remove_wants_the_exact_region(void **state)
{
	(void)state;
	assert_int_equal(add(0x10000, PAGE, 0), 0);
	assert_int_equal(add(0x20000, PAGE, PAGE), 0);
	assert_int_equal(add(0x30000, PAGE, 2 * PAGE), 0);
	assert_int_equal(mem_remove(&mem, 0x20000, 0x20000 + USER, PAGE + 1), -ENOENT);
	assert_int_equal(mem_remove(&mem, 0x20000, 0x20000, PAGE), -ENOENT);
	assert_int_equal(mem_remove(&mem, 0x20001, 0x20000 + USER, PAGE), -ENOENT);
	assert_int_equal(mem_remove(&mem, 0x20000, 0x20000 + USER, PAGE), 0);
	assert_int_equal(mem_remove(&mem, 0x20000, 0x20000 + USER, PAGE), -ENOENT);
	assert_null(mem_at(&mem, gpa(0x20000), 1));
	assert_file_byte(mem_at(&mem, gpa(0x10000), 1), 0);
	assert_file_byte(mem_at(&mem, gpa(0x30000), 1), 2 * PAGE);
	assert_int_equal(add(0x20000, PAGE, 3 * PAGE), 0);
	assert_file_byte(mem_at(&mem, gpa(0x20000), 1), 3 * PAGE);
}

/* A table may begin anywhere in its file and have any length. */
static void odd_offsets_and_sizes(void **state)
{
	uint8_t *first;

	(void)state;
	assert_int_equal(add(0x10000, 2 * PAGE + 5, 3 * PAGE + 24), 0);
	first = mem_at(&mem, gpa(0x10000), 2 * PAGE + 5);
	assert_non_null(first);
	assert_file_byte(first, 3 * PAGE + 24);
	assert_file_byte(first + 2 * PAGE + 4, 5 * PAGE + 28);
	assert_null(mem_at(&mem, gpa(0x10000), 2 * PAGE + 6));
	assert_null(mem_at(&mem, gpa(0xffff), 1));
}

static void addresses_become_pointers(void **state)
{
	(void)state;
	assert_int_equal(add(0x10000, 4 * PAGE, 0), 0);
	assert_int_equal(add(0x10000 + 4 * PAGE, PAGE, 8 * PAGE), 0);
	assert_ptr_equal(mem_at(&mem, gpa(0x10000), 1), mem_at_user(&mem, 0x10000 + USER, 1));
	assert_non_null(mem_at(&mem, gpa(0x10000), 4 * PAGE));
	assert_null(mem_at(&mem, gpa(0x10000), 4 * PAGE + 1));	/* one region */
	assert_null(mem_at(&mem, gpa(0x10000), 0));
	assert_null(mem_at_user(&mem, 0x10000 + USER, 0));
	assert_null(mem_at(&mem, gpa(0x10001), UINT64_MAX));
	assert_null(mem_at(&mem, gpa(UINT64_MAX), 2));
	assert_null(mem_at(&mem, gpa(0), UINT64_MAX));
	assert_null(mem_at_user(&mem, 0x10000, 1));
	assert_null(mem_at_user(&mem, UINT64_MAX - 3, 8));
	assert_null(mem_at_user(&mem, 0x10000 + USER + 5 * PAGE, 1));
}

static void ranges_cross_adjacent_regions(void **state)
{
	struct iovec iov[4];

	(void)state;
	assert_int_equal(add(0x10000 + PAGE, PAGE, 8 * PAGE), 0);
	assert_int_equal(add(0x10000, PAGE, 0), 0);
	assert_int_equal(add(0x10000 + 2 * PAGE, PAGE, 4 * PAGE), 0);
	assert_int_equal(mem_iov(&mem, gpa(0x10000 + 10), 3 * PAGE - 20, iov, 4), 3);
	assert_int_equal(iov[0].iov_len, PAGE - 10);
	assert_int_equal(iov[1].iov_len, PAGE);
	assert_int_equal(iov[2].iov_len, PAGE - 10);
	assert_file_byte(iov[0].iov_base, 10);
	assert_file_byte(iov[1].iov_base, 8 * PAGE);
	assert_file_byte(iov[2].iov_base, 4 * PAGE);
	assert_int_equal(mem_iov(&mem, gpa(0x10000), 3 * PAGE, iov, 2), -E2BIG);
	assert_int_equal(mem_iov(&mem, gpa(0x10000), 1, iov, 0), -E2BIG);
	assert_int_equal(mem_iov(&mem, gpa(0x10000), 0, iov, 0), 0);
	assert_int_equal(mem_iov(&mem, gpa(0x10000), 3 * PAGE + 1, iov, 4), -EFAULT);
	assert_int_equal(mem_iov(&mem, gpa(0xffff), 2, iov, 4), -EFAULT);
	assert_int_equal(mem_iov(&mem, gpa(UINT64_MAX), UINT64_MAX, iov, 4), -EFAULT);
	assert_int_equal(mem_reach(&mem, gpa(0x10000), 3 * PAGE), 3 * PAGE);
	assert_int_equal(mem_reach(&mem, gpa(0x10000), 3 * PAGE + 1), 3 * PAGE);
	assert_int_equal(mem_reach(&mem, gpa(0x10000), 0), 0);
	assert_int_equal(mem_reach(&mem, gpa(0x10000 - 1), 2), 0);
	assert_int_equal(mem_reach(&mem, gpa(0x10000 + 2 * PAGE), UINT64_MAX), PAGE);
}

/* --- The guard ------------------------------------------------------------ */

static void truncated_memory_trips_the_guard(void **state)
{
	uint8_t *ptr;

	(void)state;
	assert_int_equal(mem_guard_install(), 0);
	assert_int_equal(mem_guard_install(), 0);	/* twice is once */
	assert_int_equal(add(0x10000, 8 * PAGE, 0), 0);
	ptr = mem_at(&mem, gpa(0x10000), 8 * PAGE);
	memset(ptr, 1, 8 * PAGE);
	assert_false(mem_guard_tripped());
	assert_int_equal(ftruncate(fd, PAGE), 0);
	ptr[5 * PAGE + 77] = 9;
	assert_true(mem_guard_tripped());
	assert_false(mem_guard_tripped());
	assert_int_equal(ptr[5 * PAGE + 77], 9);	/* a page of our own */
	assert_int_equal(ptr[5 * PAGE], 0);
	assert_int_equal(ptr[0], 1);
	memset(ptr, 2, 8 * PAGE);			/* every page that is gone */
	assert_true(mem_guard_tripped());
}

/* What the guard must not swallow, in a child of its own: how does it end? */
static int status_of(void (*child)(void))
{
	const struct rlimit no_core = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGBUS, SIG_DFL);
		if (mem_guard_install() == 0)
			child();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void touch_foreign_hole(void)
{
	volatile uint8_t *ptr = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (ptr != MAP_FAILED && ftruncate(fd, 0) == 0)
		ptr[0] = 1;
}

static void touch_removed_region(void)
{
	volatile uint8_t *ptr;

	if (ftruncate(fd, PAGE) < 0 || add(0x10000, PAGE, 0) < 0)
		return;
	ptr = mem_at(&mem, gpa(0x10000), 1);
	mem_clear(&mem);
	if (mmap((void *)ptr, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != ptr ||
	    ftruncate(fd, 0) < 0)
		return;
	ptr[0] = 1;
}

static void send_bus(void)
{
	kill(getpid(), SIGBUS);
}

/* As if another process knew where a region is mapped. */
static void send_bus_with_an_address(void)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = SI_QUEUE };

	if (ftruncate(fd, PAGE) < 0 || add(0x10000, PAGE, 0) < 0)
		return;
	info.si_addr = mem_at(&mem, gpa(0x10000), 1);
	syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info);
}

static void other_bus_errors_stay_fatal(void **state)
{
	void (*const children[])(void) = {
		touch_foreign_hole, touch_removed_region, send_bus, send_bus_with_an_address,
	};

	(void)state;
	for (int i = 0; i < 4; i++) {
		int status = status_of(children[i]);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGBUS);
	}
}

/* A process that is forked from us has no guest memory. */
static void memory_is_not_inherited(void **state)
{
	const unsigned char *at;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(add(0x10000, 4 * PAGE, 0), 0);
	at = mem.regions[0].host;
	pid = fork();
	if (!pid) {
		unsigned char vector;

		/* ENOMEM: nothing is mapped there. */
		_exit(mincore((void *)at, PAGE, &vector) && errno == ENOMEM ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define MEM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEM_TEST(bad_regions_are_refused),
		MEM_TEST(not_mappable_files_are_refused),
		MEM_TEST(overlaps_are_refused),
		MEM_TEST(regions_are_sorted_and_bounded),
		MEM_TEST(each_address_has_its_region),
		MEM_TEST(a_range_crosses_all_regions),
		MEM_TEST(remove_wants_the_exact_region),
		MEM_TEST(odd_offsets_and_sizes),
		MEM_TEST(addresses_become_pointers),
		MEM_TEST(ranges_cross_adjacent_regions),
		MEM_TEST(memory_is_not_inherited),
		MEM_TEST(truncated_memory_trips_the_guard),
		MEM_TEST(other_bus_errors_stay_fatal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
