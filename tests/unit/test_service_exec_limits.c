// SPDX-License-Identifier: MIT
/* exec: limits, statuses that mean success, forms, and what a sandbox takes away. */
#include "exec_rig.h"

#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

static struct mp_service *make_service(const char *uri, uint32_t starts, const char *statuses)
{
	struct service_setup setup = { .loop = rig.loop, .name = "test",
				       .linger_ms = RIG_LINGER_MS, .exit_ms = RIG_EXIT_MS,
				       .starts_per_sec = starts };

	assert_int_equal(text_add_statuses(statuses, &setup.success), 0);
	return service_create(&setup, uri);
}

static bool can_open(void *context)
{
	struct test_peer peer;
	int ret = peer_open(&peer, service, NULL, 0);

	(void)context;
	peer_close(&peer, MP_END_ABORT);
	return !ret;
}

/* So many a second, and for a while those that were not used before. */
static void starts_are_limited(void **state)
{
	int opened = 0;

	(void)state;
	service = make_service("exec:cat", 20, "");
	while (opened < 1000 && can_open(NULL))
		opened++;
	/* The loop's clock stood still while they were opened. */
	assert_int_equal(opened, 200);
	rig_wait(&rig, can_open, NULL);
}

static void statuses_can_mean_success(void **state)
{
	static const struct {
		const char *command;
		bool is_success;
	} programs[] = {
		{ "exec:sh -c 'exit 0'", true }, { "exec:sh -c 'exit 255'", true },
		{ "exec:sh -c 'exit 3'", true }, { "exec:sh -c 'exit 5'", false },
		{ "exec:sh -c 'kill -3 $$'", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		struct test_peer peer;

		service = make_service(programs[i].command, 0, "255 1-3");
		open_program(&peer, NULL, 0);
		rig_wait(&rig, peer_has_ended, &peer);
		assert_int_equal(peer.in_end, programs[i].is_success);
		peer_close(&peer, MP_END_WHOLE);
		service_destroy(service);
		service = NULL;
	}
}

static uint64_t read_bytes(void)
{
	char text[512] = "";
	FILE *file = fopen("/proc/self/io", "r");
	uint64_t bytes = 0;

	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	assert_int_equal(sscanf(text, "rchar: %" SCNu64, &bytes), 1);
	fclose(file);
	return bytes;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* A flood of errors is held by the pipe: what is read of it is bounded. */
static void flood_of_errors_is_held(void **state)
{
	struct test_peer peer;
	uint64_t before, begin;

	(void)state;
	service = rig_service(&rig, "exec:sh -c 'exec yes >&2'");
	open_program(&peer, NULL, 0);
	log_setup(LOG_LEVEL_INFO);
	begin = now_ms();
	before = read_bytes();
	rig_rounds(&rig, 200);
	/* A pipe full in 50 ms, and one for the lines that the log takes at first. */
	assert_true(read_bytes() - before <= ((now_ms() - begin) / 50 + 3) * 65536);
	log_setup(LOG_LEVEL_ERROR);
	peer_close(&peer, MP_END_ABORT);
}

/* bash does not take the socket for rshd's. */
static void bash_reads_no_startup_file(void **state)
{
	char path[128], uri[256];
	struct test_peer peer;
	FILE *file;

	(void)state;
	if (access("/bin/bash", X_OK))
		skip();
	snprintf(path, sizeof(path), "%s", rig_path(&rig, ".bashrc"));
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("echo NOISE\n", file);
	fclose(file);
	snprintf(uri, sizeof(uri), "env HOME=%s bash -c 'echo ok'", rig.dir);
	run_program(&peer, uri, NULL, 0);
	assert_int_equal(peer.in_len, 3);
	assert_memory_equal(peer.in, "ok\n", 3);
	peer_close(&peer, MP_END_WHOLE);
	unlink(path);
}

static void wrong_forms(void **state)
{
	static const char *const wrong[] = {
		"exec:", "exec:  ", "exec:'x", "exec:x \"", "exec:x\\",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct service_setup make = { .loop = rig.loop, .name = "test" };

		assert_null(service_create(&make, wrong[i]));
		assert_true(make.error[0]);
	}
}

/*
 * What systemd does for RestrictNamespaces=, as our unit has it: clone3() is as in an old kernel.
 * So it is for all tests after this one, too.
 */
static void sandbox_without_clone3(void **state)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	struct test_peer peer;

	(void)state;
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		skip();
	run_program(&peer, "echo done", NULL, 0);
	assert_true(peer.in_end);
	assert_int_equal(peer.in_len, 5);
	peer_close(&peer, MP_END_WHOLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(starts_are_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(statuses_can_mean_success, setup, teardown),
		cmocka_unit_test_setup_teardown(flood_of_errors_is_held, setup, teardown),
		cmocka_unit_test_setup_teardown(bash_reads_no_startup_file, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(sandbox_without_clone3, setup, teardown),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
