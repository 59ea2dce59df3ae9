// SPDX-License-Identifier: MIT
#include "commands.h"

#include <string.h>

enum {
	GET_CAPS = 1,
	RESOURCE_CREATE,
	RESOURCE_UNREF,
	TRANSFER_GET,
	TRANSFER_PUT,
	SUBMIT_CMD,
	RESOURCE_BUSY_WAIT,
	CREATE_RENDERER,
	GET_CAPS2,
	PING_PROTOCOL_VERSION,
	PROTOCOL_VERSION,
	COMMANDS_END,
};

/* Words behind the header that are looked at; those of variable length have more behind these. */
static const uint8_t fixed_words[COMMANDS_END] = {
	[RESOURCE_CREATE] = 10,
	[RESOURCE_UNREF] = 1,
	[TRANSFER_GET] = 11,
	[TRANSFER_PUT] = 11,
	[RESOURCE_BUSY_WAIT] = 2,
	[PROTOCOL_VERSION] = 1,
};

#define HEADER_WORDS	2
#define HEADER_LEN	(HEADER_WORDS * 4)
#define GET_LEN		(HEADER_LEN + 11 * 4)
#define WAIT_LEN	(HEADER_LEN + 2 * 4)
#define BIND_WINDOW	(1 << 7 | 1 << 18)	/* a display target, or what is scanned out */

static int refuse(struct commands *commands, const char *why)
{
	commands->error = why;
	return -1;
}

/* ---- resources that are windows' pictures ---- */

static struct window *find_window(struct commands *commands, uint32_t handle)
{
	for (int i = 0; handle && i < COMMANDS_WINDOWS; i++)
		if (commands->windows[i].handle == handle)
			return &commands->windows[i];
	return NULL;
}

static void add_window(struct commands *commands, uint32_t handle)
{
	struct window *window = find_window(commands, handle);

	for (int i = 0; !window && i < COMMANDS_WINDOWS; i++)
		if (!commands->windows[i].handle)
			window = &commands->windows[i];
	if (!window) {
		window = &commands->windows[commands->next_window];
		commands->next_window = (commands->next_window + 1) % COMMANDS_WINDOWS;
	}
	*window = (struct window){ .handle = handle };
}

static void remove_window(struct commands *commands, uint32_t handle)
{
	struct window *window = find_window(commands, handle);

	if (window)
		window->handle = 0;
}

/* ---- one command ---- */

/* @words: the header and the fixed words behind it. */
static int check(struct commands *commands, const uint32_t *words)
{
	uint32_t len = words[0], command = words[1];

	switch (command) {
	case CREATE_RENDERER:
		if (commands->has_name)
			return refuse(commands, "the client greets twice");
		if (len > COMMANDS_NAME_MAX)
			return refuse(commands, "the client's name is too long");
		return 0;
	case SUBMIT_CMD:
		if (len > COMMANDS_WORDS_MAX)
			return refuse(commands, "a client's command is too long");
		return 0;
	case TRANSFER_GET:
	case TRANSFER_PUT:
		if (words[HEADER_WORDS + 10] > COMMANDS_PICTURE_MAX)
			return refuse(commands, "a client's picture is too large");
		/* Mesa gives a wrong length of a TRANSFER_PUT, and no renderer looks at it. */
		if (command == TRANSFER_PUT)
			return 0;
		break;
	}
	if (len != fixed_words[command])
		return refuse(commands, "a client's command has a wrong length");
	return 0;
}

/* Trusts check(). */
static void act(struct commands *commands, const uint32_t *words)
{
	const uint32_t *rest = words + HEADER_WORDS;

	switch (words[1]) {
	case CREATE_RENDERER:
		commands->has_name = true;
		commands->left = words[0];
		break;
	case SUBMIT_CMD:
		commands->left = 4ULL * words[0];
		break;
	case TRANSFER_PUT:
		commands->left = rest[10];
		break;
	case RESOURCE_CREATE:
		if (rest[3] & BIND_WINDOW)
			add_window(commands, rest[0]);
		break;
	case RESOURCE_UNREF:
		remove_window(commands, rest[0]);
		break;
	}
}

static bool is_busy_wait(const uint8_t *data)
{
	uint32_t header[HEADER_WORDS];

	memcpy(header, data, sizeof(header));
	return header[0] == 2 && header[1] == RESOURCE_BUSY_WAIT;
}

/* A TRANSFER_GET and what follows change places. */
static void turn_around(uint8_t *data)
{
	uint8_t get[GET_LEN];

	memcpy(get, data, GET_LEN);
	memmove(data, data + GET_LEN, WAIT_LEN);
	memcpy(data + WAIT_LEN, get, GET_LEN);
}

/* Returns the length of a window's picture's request, with what is turned around; 0: it waits. */
static size_t take_window(struct commands *commands, struct window *window, uint8_t *data,
			  size_t len, bool is_late)
{
	if (len >= GET_LEN + WAIT_LEN && is_busy_wait(data + GET_LEN)) {
		turn_around(data);
		window->is_read = false;
		return GET_LEN + WAIT_LEN;
	}
	if (len < GET_LEN + WAIT_LEN && !is_late && !window->is_read) {
		commands->waits = true;
		return 0;
	}
	window->is_read = true;
	commands->asked = window->handle;
	commands->is_answered = false;
	return GET_LEN;
}

/* The first command behind a picture's request that did not wait. */
static void learn(struct commands *commands, uint32_t command)
{
	struct window *window = find_window(commands, commands->asked);

	if (window && command == RESOURCE_BUSY_WAIT && !commands->is_answered)
		window->is_read = false;
	commands->asked = 0;
}

/* Returns the length of the command's fixed part, 0 when it has not come whole, or -1. */
static ssize_t take_command(struct commands *commands, uint8_t *data, size_t len, bool is_late)
{
	uint32_t words[HEADER_WORDS + 11];
	struct window *window = NULL;
	size_t fixed;

	if (len < HEADER_LEN)
		return 0;
	memcpy(words, data, HEADER_LEN);
	if (!commands->has_name && words[1] != CREATE_RENDERER)
		return refuse(commands, "the client does not speak the vtest protocol");
	if (words[1] < GET_CAPS || words[1] >= COMMANDS_END)
		return refuse(commands, "the client's command is none of version 0");
	fixed = HEADER_LEN + fixed_words[words[1]] * 4;
	if (len < fixed)
		return 0;
	memcpy(words, data, fixed);
	if (check(commands, words))
		return -1;
	learn(commands, words[1]);
	act(commands, words);
	if (words[1] == PROTOCOL_VERSION)
		memset(data + HEADER_LEN, 0, 4);
	if (words[1] == TRANSFER_GET)
		window = find_window(commands, words[HEADER_WORDS]);
	return window ? take_window(commands, window, data, len, is_late) : fixed;
}

ssize_t commands_take(struct commands *commands, uint8_t *data, size_t len, bool is_late)
{
	size_t done = 0;
	ssize_t ret = 1;

	commands->waits = false;
	while (ret && done < len) {
		if (commands->left) {
			ret = commands->left < len - done ? commands->left : len - done;
			commands->left -= ret;
		} else {
			ret = take_command(commands, data + done, len - done, is_late);
			is_late = false;
		}
		if (ret < 0)
			return -1;
		done += ret;
	}
	return done;
}
