// SPDX-License-Identifier: MIT
/* The sockets that manyport run was told with -L. Written once, before the program's main(). */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "run_env.h"
#include "preload.h"

#define PATH_BEGIN offsetof(struct sockaddr_un, sun_path)

char *target_port;
bool target_verbose;
static struct target targets[RUN_SOCKETS_MAX];
static int count;

/* Leaves out what says nothing in a path: "//" and "/./". */
static void shorten(char *path)
{
	char *to = path;

	for (const char *from = path; *from; from++) {
		while (from[0] == '/' && (from[1] == '/' || (from[1] == '.' && from[2] == '/')))
			from += from[1] == '/' ? 1 : 2;
		*to++ = *from;
	}
	*to = '\0';
}

/* @path of @len bytes, absolute and short. Returns false when it has no room. */
static bool full_path(char full[PATH_MAX], const char *path, size_t len)
{
	size_t have = 0;

	len = strnlen(path, len);
	if (len && path[0] != '/') {
		if (!getcwd(full, PATH_MAX - 1))
			return false;
		have = strlen(full);
		full[have++] = '/';
	}
	if (have + len >= PATH_MAX)
		return false;
	memcpy(full + have, path, len);
	full[have + len] = '\0';
	shorten(full);
	return true;
}

static bool set_unix(struct target *target, char *path)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&target->address;
	bool is_abstract = path[0] == '@';
	size_t len = strlen(path);

	if (!is_abstract)
		shorten(path);
	if (len >= sizeof(address->sun_path))
		return false;
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, len + 1);
	if (is_abstract)
		address->sun_path[0] = '\0';
	target->len = PATH_BEGIN + len + !is_abstract;
	return true;
}

/* "ADDR:PORT" or "[ADDR]:PORT" */
static bool set_tcp(struct target *target, char *text)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&target->address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&target->address;
	char *colon = strrchr(text, ':');
	bool is_six = text[0] == '[';

	if (!colon || colon == text)
		return false;
	colon[-is_six] = '\0';
	if (is_six) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(atoi(colon + 1));
		target->len = sizeof(*six);
		return inet_pton(AF_INET6, text + 1, &six->sin6_addr) == 1;
	}
	four->sin_family = AF_INET;
	four->sin_port = htons(atoi(colon + 1));
	target->len = sizeof(*four);
	return inet_pton(AF_INET, text, &four->sin_addr) == 1;
}

static void add(char *address, char *service)
{
	struct target *target = &targets[count];
	bool is_right = false;

	if (!strncmp(address, "unix:", 5))
		is_right = set_unix(target, address + 5);
	else if (!strncmp(address, "tcp:", 4))
		is_right = set_tcp(target, address + 4);
	target->service = service;
	count += is_right;
}

/* The program may change its environment, so what is kept are copies. */
__attribute__((constructor)) static void learn_targets(void)
{
	const char *sockets = getenv(RUN_SOCKETS_ENV), *port = getenv(RUN_PORT_ENV);
	char *rest = sockets ? strdup(sockets) : NULL, *address, *service;

	target_verbose = getenv(RUN_VERBOSE_ENV);
	while (count < RUN_SOCKETS_MAX && (address = strsep(&rest, "\n")) &&
	       (service = strsep(&rest, "\n")))
		add(address, service);
	target_port = port ? strdup(port) : NULL;
}

/*
 * Do two absolute paths name one file, whatever links lead there? The file need not exist, its
 * folder must: /var/run/postgresql, which clients of Debian have built in, is /run/postgresql.
 */
static bool is_same_file(char *path, const char *other)
{
	char folder[PATH_MAX];
	struct stat mine, theirs;
	char *name = strrchr(path, '/');
	const char *other_name = strrchr(other, '/');

	if (!name || !other_name || strcmp(name, other_name))
		return false;
	snprintf(folder, sizeof(folder), "%.*s/", (int)(other_name - other), other);
	name[1] = '\0';
	return !stat(path, &mine) && !stat(folder, &theirs) && mine.st_dev == theirs.st_dev &&
	       mine.st_ino == theirs.st_ino;
}

static bool is_same_unix(const struct target *target, const struct sockaddr *address,
			 socklen_t len)
{
	const struct sockaddr_un *mine = (const struct sockaddr_un *)&target->address;
	const struct sockaddr_un *other = (const struct sockaddr_un *)address;
	char full[PATH_MAX];

	if (len <= PATH_BEGIN)
		return false;
	if (!mine->sun_path[0] || !other->sun_path[0])
		return len == target->len && !memcmp(mine->sun_path, other->sun_path,
						     len - PATH_BEGIN);
	return full_path(full, other->sun_path, len - PATH_BEGIN) &&
	       (!strcmp(full, mine->sun_path) || is_same_file(full, mine->sun_path));
}

static bool is_same_four(const struct target *target, struct in_addr address, in_port_t port)
{
	const struct sockaddr_in *mine = (const struct sockaddr_in *)&target->address;

	return mine->sin_family == AF_INET && mine->sin_port == port &&
	       (mine->sin_addr.s_addr == address.s_addr || mine->sin_addr.s_addr == INADDR_ANY);
}

static bool is_same_six(const struct target *target, const struct sockaddr_in6 *other)
{
	const struct sockaddr_in6 *mine = (const struct sockaddr_in6 *)&target->address;
	struct in_addr four;

	if (IN6_IS_ADDR_V4MAPPED(&other->sin6_addr)) {
		memcpy(&four, &other->sin6_addr.s6_addr[12], sizeof(four));
		return is_same_four(target, four, other->sin6_port);
	}
	return mine->sin6_family == AF_INET6 && mine->sin6_port == other->sin6_port &&
	       (IN6_ARE_ADDR_EQUAL(&mine->sin6_addr, &other->sin6_addr) ||
		IN6_IS_ADDR_UNSPECIFIED(&mine->sin6_addr));
}

static bool is_same(const struct target *target, const struct sockaddr *address, socklen_t len)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)address;

	switch (address->sa_family) {
	case AF_UNIX:
		return target->address.ss_family == AF_UNIX && is_same_unix(target, address, len);
	case AF_INET:
		return len >= sizeof(*four) && is_same_four(target, four->sin_addr, four->sin_port);
	case AF_INET6:
		return len >= sizeof(struct sockaddr_in6) &&
		       is_same_six(target, (const struct sockaddr_in6 *)address);
	default:
		return false;
	}
}

const struct target *target_find(const struct sockaddr *address, socklen_t len)
{
	if (!target_port || !address || len < sizeof(sa_family_t))
		return NULL;
	for (int i = 0; i < count; i++)
		if (is_same(&targets[i], address, len))
			return &targets[i];
	return NULL;
}

const struct target *target_of_service(const char *service)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(targets[i].service, service))
			return &targets[i];
	return NULL;
}

int target_number(const struct target *target)
{
	return target - targets;
}

const struct target *target_at(int number)
{
	return number < count ? &targets[number] : NULL;
}
