// SPDX-License-Identifier: MIT
#include "greeting.h"

#include <string.h>
#include <sys/types.h>

enum {
	RESOURCE_BUSY_WAIT = 7,
	CREATE_RENDERER = 8,
	PING_PROTOCOL_VERSION = 10,
	PROTOCOL_VERSION = 11,
};

static bool refuse(struct greeting *greeting, const char *why)
{
	greeting->error = why;
	return false;
}

static bool take_length(struct greeting *greeting, uint32_t len, uint32_t should, uint32_t bytes)
{
	if (len != should)
		return refuse(greeting, "a command of the greeting has a wrong length");
	greeting->left = bytes;
	return true;
}

static bool take_header(struct greeting *greeting)
{
	uint32_t len = greeting->header[0], command = greeting->header[1];

	if (!greeting->has_name && command != CREATE_RENDERER)
		return refuse(greeting, "the client does not speak the vtest protocol");
	switch (command) {
	case CREATE_RENDERER:
		if (greeting->has_name)
			return refuse(greeting, "the client greets twice");
		if (len > GREETING_NAME_MAX)
			return refuse(greeting, "the client's name is too long");
		greeting->has_name = true;
		greeting->left = len;
		return true;
	case PING_PROTOCOL_VERSION:
		return take_length(greeting, len, 0, 0);
	case RESOURCE_BUSY_WAIT:
		return take_length(greeting, len, 2, 8);
	case PROTOCOL_VERSION:
		return take_length(greeting, len, 1, 4);
	default:
		greeting->is_over = true;
		return true;
	}
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Returns how many of the next bytes belong to the command that has begun, or -1. */
static ssize_t take_part(struct greeting *greeting, uint8_t *data, size_t len)
{
	size_t part = smaller(len, sizeof(greeting->header) - greeting->header_len);

	if (part) {
		memcpy((uint8_t *)greeting->header + greeting->header_len, data, part);
		greeting->header_len += part;
		if (greeting->header_len == sizeof(greeting->header) && !take_header(greeting))
			return -1;
		return part;
	}
	part = smaller(len, greeting->left);
	if (greeting->header[1] == PROTOCOL_VERSION)
		memset(data, 0, part);
	greeting->left -= part;
	return part;
}

bool greeting_take(struct greeting *greeting, uint8_t *data, size_t len)
{
	ssize_t part;

	while (len && !greeting->is_over) {
		part = take_part(greeting, data, len);
		if (part < 0)
			return false;
		data += part;
		len -= part;
		if (greeting->header_len == sizeof(greeting->header) && !greeting->left) {
			greeting->is_over |= greeting->header[1] == PROTOCOL_VERSION;
			greeting->header_len = 0;
		}
	}
	return true;
}
