// SPDX-License-Identifier: MIT
/*
 * Which programs a preloaded library does not reach (manyport run), by files that the test
 * makes.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../tools/manyport/program.h"

static char folder[] = "/tmp/manyport-program.XXXXXX", path[PATH_MAX];

static const char *write_file(const char *name, const void *data, size_t len, mode_t mode)
{
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

/*
 * A program of this processor: its head, the kinds of its headers, and two notes, of which the
 * first is of the C linker.
 */
static const char *write_program(const int kinds[2], const char *owner)
{
	struct {
		ElfW(Ehdr) head;
		ElfW(Phdr) headers[2];
		struct { ElfW(Nhdr) head; char owner[4], id[20]; } first;
		struct { ElfW(Nhdr) head; char owner[4]; } second;
	} file = {
		.first = { .head = { .n_namesz = 4, .n_descsz = 18 }, .owner = "GNU" },
		.second.head.n_namesz = 4,
	};
	int fd = open("/proc/self/exe", O_RDONLY);

	assert_int_equal(read(fd, &file.head, sizeof(file.head)), sizeof(file.head));
	close(fd);
	file.head.e_phoff = offsetof(__typeof__(file), headers);
	file.head.e_phnum = 2;
	for (int i = 0; i < 2; i++)
		file.headers[i] = (ElfW(Phdr)){ .p_type = kinds[i],
						.p_filesz = sizeof(file.first) +
							    sizeof(file.second),
						.p_offset = offsetof(__typeof__(file), first) };
	memcpy(file.second.owner, owner, sizeof(file.second.owner));
	return write_file("program", &file, sizeof(file), 0700);
}

static bool would_end;

static void must_say(const char *file, const char *word)
{
	const char *why = program_escapes(file, &would_end);

	if (!word)
		assert_null(why);
	else if (!why || !strstr(why, word))
		fail_msg("'%s' instead of '%s'", why, word);
}

static void kinds(void **state)
{
	static const int linked[] = { PT_INTERP, PT_NOTE }, fixed[] = { PT_LOAD, PT_NOTE };

	(void)state;
	must_say("/proc/self/exe", NULL);
	must_say(write_program(linked, "GNU"), NULL);
	must_say(write_program(fixed, "GNU"), "static");
	must_say(write_program(fixed, "Go\0"), "Go program");
	must_say(write_program(linked, "Go\0"), "Go program");
	must_say(write_file("text", "text\n", 5, 0700), NULL);
	must_say("/nonexistent", NULL);
}

static const char *write_linked(const char *linker)
{
	struct {
		ElfW(Ehdr) head;
		ElfW(Phdr) header;
		char linker[80];
	} file = { .header = { .p_type = PT_INTERP, .p_filesz = strlen(linker) + 1,
			       .p_offset = offsetof(__typeof__(file), linker) } };
	int fd = open("/proc/self/exe", O_RDONLY);

	assert_int_equal(read(fd, &file.head, sizeof(file.head)), sizeof(file.head));
	close(fd);
	file.head.e_phoff = offsetof(__typeof__(file), header);
	file.head.e_phnum = 1;
	strcpy(file.linker, linker);
	return write_file("linked", &file, sizeof(file), 0700);
}

/* The linker of another C library ends the program. */
static void other_libraries(void **state)
{
	(void)state;
	must_say(write_linked("/lib/ld-musl-x86_64.so.1"), "another C library");
	assert_true(would_end);
	must_say(write_linked("/system/bin/linker64"), "another C library");
	/* The same C library in another folder. */
	must_say(write_linked("/nix/store/musl/lib/ld-linux-x86-64.so.2"), NULL);
	assert_false(would_end);
}

static void other_processors(void **state)
{
	ElfW(Ehdr) head = { .e_ident = ELFMAG, .e_machine = EM_S390 };

	(void)state;
	must_say(write_file("other", &head, sizeof(head), 0700), "another processor");
}

/* Other rights than ours: of a group that we are not in. */
static void rights(void **state)
{
	static const int linked[] = { PT_INTERP, PT_NOTE };

	(void)state;
	write_program(linked, "GNU");
	assert_int_equal(chmod(path, 02755), 0);
	must_say(path, NULL);
	if (geteuid())
		return;
	assert_int_equal(chown(path, 1, 1), 0);
	assert_int_equal(chmod(path, 02755), 0);
	must_say(path, "setuid");
	assert_int_equal(chmod(path, 04755), 0);
	must_say(path, "setuid");
}

/* What counts is the interpreter, also of an interpreter. */
static void scripts(void **state)
{
	static const int fixed[] = { PT_LOAD, PT_NOTE };
	char line[PATH_MAX + 20];

	(void)state;
	must_say(write_file("script", "#!/bin/bash -e\ntrue\n", 20, 0700), NULL);
	snprintf(line, sizeof(line), "#! %s -x\n", write_program(fixed, "GNU"));
	must_say(write_file("first", line, strlen(line), 0700), "static");
	snprintf(line, sizeof(line), "#!%s\n", path);
	must_say(write_file("second", line, strlen(line), 0700), "static");
	snprintf(line, sizeof(line), "#!%s/loop\n", folder);
	must_say(write_file("loop", line, strlen(line), 0700), NULL);
}

static void where(void **state)
{
	char found[PATH_MAX], all[2 * PATH_MAX];

	(void)state;
	write_file("runs", "", 0, 0700);
	write_file("reads", "", 0, 0600);
	snprintf(all, sizeof(all), "/nonexistent:%s", folder);
	setenv("PATH", all, 1);
	assert_int_equal(program_find("runs", found, sizeof(found)), 0);
	assert_true(strstr(found, "/runs") && found[0] == '/');
	assert_int_equal(program_find("none", found, sizeof(found)), -ENOENT);
	assert_int_equal(program_find("./none", found, sizeof(found)), 0);
	assert_int_equal(program_find("reads", found, sizeof(found)), -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds), cmocka_unit_test(other_processors),
		cmocka_unit_test(other_libraries),
		cmocka_unit_test(rights), cmocka_unit_test(scripts), cmocka_unit_test(where),
	};
	char command[PATH_MAX];
	int ret;

	if (!mkdtemp(folder))
		return 1;
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "/bin/rm -r %s", folder);
	return system(command) || ret;
}
