// SPDX-License-Identifier: MIT
/*
 * Programs that a preloaded library does not reach: the dynamic linker loads it, into programs that
 * have one and that do not run with other rights than their caller's; and a program that makes
 * system calls by itself, as Go's do, never asks it. The linker of another C library, as musl's,
 * misses names that the library needs, and ends the program.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "program.h"

#define MAX_HEADERS 64
#define MAX_NOTES 16
/* A script's interpreter may be a script. */
#define MAX_SCRIPTS 4

static bool is_runnable(const char *path)
{
	struct stat status;

	return !stat(path, &status) && S_ISREG(status.st_mode) && !access(path, X_OK);
}

int program_find(const char *name, char *path, size_t size)
{
	const char *folders = getenv("PATH");
	bool is_there = false;

	if (strchr(name, '/'))
		return snprintf(path, size, "%s", name) < (int)size ? 0 : -ENAMETOOLONG;
	if (!folders)
		folders = "/bin:/usr/bin";
	for (;; folders++) {
		int len = strcspn(folders, ":");

		if (snprintf(path, size, "%.*s%s%s", len, folders, len ? "/" : "", name) <
		    (int)size && is_runnable(path))
			return 0;
		is_there |= !access(path, F_OK);
		folders += len;
		if (!*folders)
			return is_there ? -EACCES : -ENOENT;
	}
}

/* Reads up to @size bytes at @offset. */
static bool read_at(int fd, void *to, size_t size, off_t offset)
{
	return pread(fd, to, size, offset) == (ssize_t)size;
}

static size_t padded(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

/* The note that Go's linker writes; a C linker that comes after it puts its own notes in front. */
static bool has_go_note(int fd, const ElfW(Phdr) *header)
{
	struct { ElfW(Nhdr) head; char owner[4]; } note;
	size_t at = 0;

	if (header->p_type != PT_NOTE)
		return false;
	for (int i = 0; i < MAX_NOTES && at + sizeof(note) <= header->p_filesz; i++) {
		if (!read_at(fd, &note, sizeof(note), header->p_offset + at))
			return false;
		if (note.head.n_namesz == sizeof(note.owner) &&
		    !memcmp(note.owner, "Go\0", sizeof(note.owner)))
			return true;
		at += sizeof(note.head) + padded(note.head.n_namesz) +
		      padded(note.head.n_descsz);
	}
	return false;
}

/* Each C library has a linker of its own name. A name that is not known says nothing. */
static bool is_of_other_library(int fd, const ElfW(Phdr) *header)
{
	static const char *const names[] = { "/ld-musl-", "/ld-uClibc", "/ld64-uClibc", "/linker" };
	char linker[PATH_MAX] = "";

	if (header->p_type != PT_INTERP || header->p_filesz >= sizeof(linker) ||
	    !read_at(fd, linker, header->p_filesz, header->p_offset))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *slash = strrchr(linker, '/');

		if (slash && !strncmp(slash, names[i], strlen(names[i])))
			return true;
	}
	return false;
}

static const char *look_at_headers(int fd, const ElfW(Ehdr) *elf, bool *would_end)
{
	ElfW(Phdr) headers[MAX_HEADERS];
	bool has_linker = false, is_go = false;

	if (elf->e_phentsize != sizeof(headers[0]) || elf->e_phnum > MAX_HEADERS ||
	    !read_at(fd, headers, elf->e_phnum * sizeof(headers[0]), elf->e_phoff))
		return NULL;
	for (int i = 0; i < elf->e_phnum; i++) {
		has_linker |= headers[i].p_type == PT_INTERP;
		*would_end |= is_of_other_library(fd, &headers[i]);
		is_go |= has_go_note(fd, &headers[i]);
	}
	if (*would_end)
		return "a program of another C library, which cannot load this command's library";
	if (is_go)
		return "a Go program, which makes its system calls without the C library";
	return has_linker ? NULL : "a static program, into which no library is loaded";
}

/* The same processor and word size as this command, and so as its library? */
static bool is_of_our_kind(const ElfW(Ehdr) *elf)
{
	static ElfW(Ehdr) own;
	int fd;

	if (!own.e_machine) {
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return true;
		if (!read_at(fd, &own, sizeof(own), 0))
			own = *elf;
		close(fd);
	}
	return elf->e_machine == own.e_machine &&
	       elf->e_ident[EI_CLASS] == own.e_ident[EI_CLASS];
}

/*
 * Would it run with rights that its caller has not? The linker then takes no library from
 * outside.
 */
static bool changes_rights(int fd)
{
	struct stat status;

	if (fstat(fd, &status))
		return false;
	return ((status.st_mode & S_ISUID) && status.st_uid != geteuid()) ||
	       ((status.st_mode & S_ISGID) && status.st_gid != getegid()) ||
	       (geteuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0);
}

/* "#!/bin/sh -e": the interpreter's path, or false. */
static bool interpreter_of(int fd, char *path, size_t size)
{
	char line[PATH_MAX] = "", *begin;
	ssize_t len = pread(fd, line, sizeof(line) - 1, 0);

	if (len < 3 || memcmp(line, "#!", 2))
		return false;
	line[strcspn(line, "\n")] = '\0';
	begin = line + 2 + strspn(line + 2, " \t");
	begin[strcspn(begin, " \t")] = '\0';
	return snprintf(path, size, "%s", begin) < (int)size;
}

static const char *look(int fd, bool *would_end)
{
	ElfW(Ehdr) elf;

	if (!read_at(fd, &elf, sizeof(elf), 0) || memcmp(elf.e_ident, ELFMAG, SELFMAG))
		return NULL;
	if (changes_rights(fd))
		return "a program that runs with other rights than yours (setuid), into which no "
		       "library is loaded";
	if (!is_of_our_kind(&elf))
		return "a program for another processor or word size than this command's library";
	return look_at_headers(fd, &elf, would_end);
}

const char *program_escapes(const char *path, bool *would_end)
{
	char interpreter[PATH_MAX];
	const char *why = NULL;
	bool is_script = true;

	*would_end = false;
	for (int i = 0; is_script && i < MAX_SCRIPTS; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		/* A file that may be run and not read says nothing. */
		if (fd < 0)
			return NULL;
		is_script = interpreter_of(fd, interpreter, sizeof(interpreter));
		if (!is_script)
			why = look(fd, would_end);
		close(fd);
		path = interpreter;
	}
	return why;
}
