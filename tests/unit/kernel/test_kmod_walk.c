// SPDX-License-Identifier: MIT
/*
 * The walk of a small write and a small read through the files of the module, printed and counted:
 * each call of a function in another file. The module's files are compiled for this program with
 * -finstrument-functions; an inline function of a header counts to the file that includes it.
 *
 * A file may call files below it only (architecture.md has the list). Upward goes what an
 * operation table holds: so a function that its own file alone can name.
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_host.h"
#include "kernel.h"

#define NONE		((void *)0)
#define CALLS_MAX	512U
#define DEPTH_MAX	64U
#define BYTES		64U
#define WRITE_CALLS_MAX	13U	/* until the request is in the ring */

/* From the bottom; those of one string never call each other. */
static const char *const layers[] = {
	"work", "account pool pin", "demand req silence", "queue", "pair", "link", "urgent half",
	"wait", "fetch chunk", "naming", "in out", "batch", "state", "reconnect", "poll", "channel",
	"read write shutdown", "file",
};

struct call {
	void *from, *to;
	unsigned int added;		/* requests that the device had when it was made */
};

struct place {
	void *function;
	char name[64], file[32];
};

static struct call calls[CALLS_MAX];
static struct place places[CALLS_MAX];
static void *stack[DEPTH_MAX];
static unsigned int call_count, place_count, depth;
static bool is_recording;

void __cyg_profile_func_enter(void *function, void *site);
void __cyg_profile_func_exit(void *function, void *site);

void __cyg_profile_func_enter(void *function, void *site)
{
	(void)site;
	if (!is_recording)
		return;
	assert_true(depth < DEPTH_MAX && call_count < CALLS_MAX);
	calls[call_count++] = (struct call){
		.from = depth ? stack[depth - 1] : NONE, .to = function,
		.added = host.tx.added_count + host.tx.used_count,
	};
	stack[depth++] = function;
}

void __cyg_profile_func_exit(void *function, void *site)
{
	(void)site;
	if (!is_recording)
		return;
	assert_true(depth && stack[depth - 1] == function);
	depth--;
}

/* --- Which function that is ----------------------------------------------- */

static struct place *place_of(void *function)
{
	unsigned int i = 0;

	while (i < place_count && places[i].function != function)
		i++;
	if (i == place_count)
		places[place_count++].function = function;
	return &places[i];
}

/* Asks addr2line for all functions at once: two lines for each, "name" and "path/file.c:line". */
static void find_places(void)
{
	static char command[CALLS_MAX * 20], exe[256];
	char file[256];
	unsigned int i;
	FILE *out;
	int len;

	place_count = 0;
	for (i = 0; i < call_count; i++)
		place_of(calls[i].to);
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	len = sprintf(command, "addr2line -sfe %s", exe);
	for (i = 0; i < place_count; i++)
		len += sprintf(command + len, " %p", places[i].function);
	out = popen(command, "r");
	assert_non_null(out);
	for (i = 0; i < place_count; i++) {
		assert_int_equal(fscanf(out, "%63s %255s", places[i].name, file), 2);
		snprintf(places[i].file, sizeof(places[i].file), "%.*s",
			 (int)strcspn(file, "."), file);
	}
	pclose(out);
}

static unsigned int layer_of(const char *file)
{
	const char *at;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(layers); i++)
		for (at = layers[i]; *at; at += strcspn(at, " "), at += *at == ' ')
			if (strcspn(at, " ") == strlen(file) && !strncmp(at, file, strlen(file)))
				return i;
	fail_msg("%s.c: in which layer?", file);
	return 0;
}

/* --- The walk -------------------------------------------------------------- */

static void begin_walk(void)
{
	call_count = 0;
	depth = 0;
	is_recording = true;
}

/*
 * Prints the calls between files. Returns how many there were with @added requests in the ring at
 * most: until the next one is.
 */
static unsigned int end_walk(const char *title, unsigned int added)
{
	unsigned int i, total = 0, until = 0, up = 0;

	is_recording = false;
	find_places();
	printf("# %s\n", title);
	for (i = 0; i < call_count; i++) {
		const struct place *to = place_of(calls[i].to);
		const struct place *from = calls[i].from ? place_of(calls[i].from) : to;
		bool is_irq = !strcmp(to->name, "mp_pair_interrupt"), is_up;

		if (!strcmp(from->file, to->file))
			continue;
		is_up = !is_irq && layer_of(to->file) >= layer_of(from->file);
		printf("# %3u %9s -> %s: %s%s\n", ++total,
		       is_irq ? "interrupt" : from->file, to->file, to->name,
		       is_up ? ", by an operation table" : "");
		/* Exported functions begin with mp_: the others only a pointer reaches. */
		if (is_up && !strncmp(to->name, "mp_", 3))
			fail_msg("%s.c calls up: %s()", from->file, to->name);
		up += is_up;
		until += calls[i].added <= added;
	}
	printf("# %u calls between files, %u of them up\n", total, up);
	return until;
}

static unsigned int in_ring(void)
{
	return host.tx.added_count + host.tx.used_count;
}

static void write_one(struct file *file, u64 offset, const char *title)
{
	unsigned int until;

	begin_walk();
	assert_int_equal(host_write(file, offset, BYTES, false), BYTES);
	assert_int_equal(in_ring(), 1);
	until = end_walk(title, 0);
	printf("# %u of them until the WRITE is in the ring\n", until);
	assert_in_range(until, 1, WRITE_CALLS_MAX);
}

static void a_small_write_is_a_short_walk(void **state)
{
	struct file *file = host_connect();

	(void)state;
	write_one(file, 0, "a small write, nothing in flight");
	host_answer(MP_OP_WRITE, 0, MP_OK, BYTES);
	begin_walk();
	kernel_end_timers();
	mp_pair_look_later(&host.pair);
	kernel_run_work();
	end_walk("its answer, found by a look", 0);
	assert_int_equal(host_channel(file)->out.bytes, 0);
}

static void a_small_read_goes_the_same_way(void **state)
{
	struct file *file = host_connect();

	(void)state;
	host_say(BYTES);
	kernel_play(host_step);
	begin_walk();
	assert_int_equal(host_read(file, 0, BYTES, false), BYTES);
	end_walk("a small read: the READ, its answer, the copy", 0);
}

/* Where reads and writes take turns a READ goes ahead of the write. */
static void a_write_in_turns_sends_a_read_ahead(void **state)
{
	struct file *file = host_connect();
	unsigned int until;

	(void)state;
	host_say(BYTES);
	kernel_play(host_step);
	assert_int_equal(host_read(file, 0, BYTES, false), BYTES);
	host_serve();
	assert_int_equal(in_ring(), 0);
	begin_walk();
	assert_int_equal(host_write(file, 0, BYTES, false), BYTES);
	assert_int_equal(host_count(MP_OP_READ), 1);
	until = end_walk("a small write where reads and writes take turns", 0);
	printf("# %u of them until READ and WRITE are in their rings\n", until);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, host_begin, host_end)
		CASE(a_small_write_is_a_short_walk),
		CASE(a_small_read_goes_the_same_way),
		CASE(a_write_in_turns_sends_a_read_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
