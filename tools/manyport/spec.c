// SPDX-License-Identifier: MIT
/* "SOCKET:NAME", what manyport forward is told with -L. See forward.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

/* Only the owner may connect, as with a socket that root makes with the usual umask. */
#define DEFAULT_MODE 0600

static bool is_number(const char *text, size_t len)
{
	return len > 0 && strspn(text, "0123456789") >= len;
}

/* The colon after ADDR:PORT or PORT, or NULL where @text does not begin with either. */
static const char *end_of_tcp(const char *text)
{
	const char *port = text, *end, *colon;

	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || end[1] != ':')
			return NULL;
		port = end + 2;
	} else {
		colon = strchr(text, ':');
		if (colon && !is_number(text, colon - text) &&
		    !memchr(text, '/', colon - text))
			port = colon + 1;
	}
	end = strchr(port, ':');
	return end && is_number(port, end - port) ? end : NULL;
}

/*
 * Where the socket ends and ":NAME" begins, or NULL. With "unix:" the path may have colons, so
 * NAME is what follows the last colon; without "unix:" NAME may have colons, and follows the first.
 */
static const char *end_of_socket(const char **text, bool *is_unix)
{
	const char *end;

	*is_unix = true;
	if (!strncmp(*text, "unix:", 5)) {
		*text += 5;
		return strrchr(*text, ':');
	}
	if (!strncmp(*text, "tcp:", 4))
		*text += 4;
	else if (!end_of_tcp(*text))
		return **text == '[' ? NULL : strchr(*text, ':');
	end = end_of_tcp(*text);
	*is_unix = false;
	return end;
}

/* "PORT", "ADDR:PORT" or "[ADDR]:PORT". Returns the address's size or 0. */
static socklen_t parse_tcp(const char *text, struct sockaddr_storage *address)
{
	struct sockaddr_in *four = (struct sockaddr_in *)address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
	const char *colon = strrchr(text, ':');
	unsigned long number = strtoul(colon ? colon + 1 : text, NULL, 10);
	char host[INET6_ADDRSTRLEN] = "127.0.0.1";

	if (number > 65535)
		return 0;
	if (colon) {
		size_t skip = *text == '[', len = colon - text - 2 * skip;

		if (len >= sizeof(host))
			return 0;
		memcpy(host, text + skip, len);
		host[len] = '\0';
	}
	if (!strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	if (!strcmp(host, "*"))
		strcpy(host, "0.0.0.0");
	if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(number);
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1)
		return 0;
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(number);
	return sizeof(*six);
}

/* Cuts the settings off the path, and looks whether the rest can be one. */
static int parse_unix(struct spec *spec, const char **why)
{
	static char text[300];
	struct sockaddr_un address;
	const char *bad;
	size_t before = strlen(spec->address);
	socklen_t len;
	int ret = unix_access_cut(&spec->access, spec->address, &bad);

	*why = text;
	if (ret) {
		snprintf(text, sizeof(text), ret == -ENOENT ? "%s: there is no such name" :
			 "%s: not mode=OCTAL (to 0777), owner=NAME or group=NAME", bad);
		return ret;
	}
	/* Ignoring the settings would let in every process that sees the name. */
	if (spec->address[0] == '@' && strlen(spec->address) < before) {
		*why = "an abstract name has no mode, owner or group: whoever sees it may connect";
		return -EINVAL;
	}
	ret = unix_address_set(&address, &len, spec->address);
	if (ret)
		*why = unix_address_explain(ret);
	return ret;
}

/* "127.0.0.1:6379" is a port of TCP whose NAME was forgotten, rather than a file of that name. */
static bool lacks_name(const char *text, const char *end)
{
	return text[0] != '@' && !memchr(text, '/', end - text) &&
	       is_number(end + 1, strlen(end + 1));
}

int spec_parse(struct spec *spec, const char *text, const char **why)
{
	const char *end, *begin = text;

	*spec = (struct spec){ .access = UNIX_ACCESS(DEFAULT_MODE) };
	end = end_of_socket(&text, &spec->is_unix);
	*why = "expected SOCKET:NAME, where SOCKET is a path or [ADDR:]PORT";
	if (!end || end == text)
		return -EINVAL;
	*why = "the service's name is missing: ADDR:PORT:NAME for a port of TCP; for a socket's "
	       "file in this folder write ./PATH:NAME";
	if (spec->is_unix && begin == text && lacks_name(text, end))
		return -EINVAL;
	*why = "out of memory";
	spec->service = end + 1;
	spec->address = strndup(text, end - text);
	if (!spec->address)
		return -ENOMEM;
	if (spec->is_unix)
		return parse_unix(spec, why);
	*why = "ADDR is a numeric address, PORT a number up to 65535";
	spec->tcp_len = parse_tcp(spec->address, &spec->tcp);
	return spec->tcp_len ? 0 : -EINVAL;
}
