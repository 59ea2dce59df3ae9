/* SPDX-License-Identifier: MIT */
/*
 * A table of named tests, each run in a process of its own, TAP on standard output.
 *
 * TEST(name) in test_FILE.c defines the test FILE/name. It passes by returning. A
 * failed CHECK ends the process that makes it; what a test starts with
 * spawn() must be joined, which hands the failure on. A test that does not end in its
 * time is reported with the kernel stacks of its processes and killed; one that
 * cannot be killed ends the run.
 */
#ifndef GUEST_HARNESS_H
#define GUEST_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct test {
	const char *file, *name;
	int line;
	void (*run)(void);
	struct test *next;
};

void test_register(struct test *test);

#define TEST(test_name)									\
	static void test_##test_name(void);						\
	static struct test entry_##test_name = {					\
		.file = __FILE__, .name = #test_name, .line = __LINE__,			\
		.run = test_##test_name,						\
	};										\
	static void __attribute__((constructor)) register_##test_name(void)		\
	{										\
		test_register(&entry_##test_name);					\
	}										\
	static void test_##test_name(void)

void test_fail(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void test_skip(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void test_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Factor for limits of time and amounts of work ($TEST_SLOW, 1 or more). */
unsigned int test_slow(void);

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition) do {								\
	if (!(condition))								\
		FAIL("not true: %s", #condition);					\
} while (0)

#define CHECK_COMPARE(left, op, right) do {						\
	long long left_ = (left), right_ = (right);					\
	int errno_ = errno;								\
	if (!(left_ op right_))								\
		FAIL("%s is %lld, expected " #op " %s = %lld (errno %d)", #left, left_,	\
		     #right, right_, errno_);						\
} while (0)

#define CHECK_EQ(left, right) CHECK_COMPARE(left, ==, right)
#define CHECK_GE(left, right) CHECK_COMPARE(left, >=, right)
#define CHECK_GT(left, right) CHECK_COMPARE(left, >, right)
#define CHECK_LE(left, right) CHECK_COMPARE(left, <=, right)

/* The call must not give -1. Returns what it gave. */
#define CHECK_OK(call) ({								\
	long long ret_ = (call);							\
	if (ret_ < 0)									\
		FAIL("%s failed: errno %d (%s)", #call, errno, strerror(errno));	\
	ret_;										\
})

/* The call must give -1 with this errno. */
#define CHECK_FAILS(call, error) do {							\
	long long ret_ = (call);							\
	int errno_ = errno;								\
	if (ret_ != -1)									\
		FAIL("%s gave %lld, expected " #error, #call, ret_);			\
	if (errno_ != (error))								\
		FAIL("%s: errno %d (%s), expected " #error, #call, errno_,		\
		     strerror(errno_));							\
} while (0)

/* Runs @run(@arg) in a new process. join() waits for it, and fails if that did. */
pid_t spawn(void (*run)(void *arg), void *arg);
void join_at(const char *file, int line, pid_t pid);
#define JOIN(pid) join_at(__FILE__, __LINE__, pid)

/* SIGKILL, then waits for the end of the process: a test of its own right. */
void kill_and_wait(pid_t pid);

#endif
