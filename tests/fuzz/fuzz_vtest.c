// SPDX-License-Identifier: MIT
/*
 * manyport-vtest's relay between a client that says nearly what a vtest client may say, in pieces,
 * and a renderer that reads and says what the input has it. The relay's poll() is where the two
 * act, and where time passes.
 *
 * What the renderer hears must be what the client said, but for versions, which become 0, and for
 * the two commands of a window's picture, which may have changed places; nothing of a command that
 * is none may come through. The client hears a prefix of what the renderer said, and the relay ends
 * when both have ended.
 */
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../tools/vtest/commands.h"
#include "../../tools/vtest/relay.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int __wrap_poll(struct pollfd *fds, nfds_t count, int ms);
int __real_poll(struct pollfd *fds, nfds_t count, int ms);

#define TALK_SIZE	(1 << 18)
#define ROUNDS_MAX	100000		/* of poll(): one that has more spins */
#define HANDLES		4
#define WAIT_SIZE	16

struct talk {
	size_t len;
	uint8_t bytes[TALK_SIZE];
};

static int client, renderer;		/* the far ends; -1: closed */
static struct talk said, heard;		/* the client's words, and what of them the renderer has */
static size_t sent;			/* of what was said */
static size_t answered, got;		/* bytes of the renderer, and those that the client has */
static bool client_has_ended, passed_descriptor;
static bool is_early, is_deaf;		/* the renderer left before the end; it does not read on */
static unsigned int rounds;

/* --- The client ------------------------------------------------------------------- */

static void say(const void *bytes, size_t len)
{
	if (!len || said.len + len > sizeof(said.bytes))
		return;
	memcpy(said.bytes + said.len, bytes, len);
	said.len += len;
}

static void say_words(uint32_t len, uint32_t command, const uint32_t *words, size_t count)
{
	uint32_t header[2] = { len, command };

	say(header, sizeof(header));
	say(words, count * 4);
}

static void say_bulk(size_t len)
{
	static const uint8_t zeros[1 << 16];

	say(zeros, len < sizeof(zeros) ? len : sizeof(zeros));
}

/* Odd numbers are windows. */
static void say_create(uint32_t handle)
{
	uint32_t words[10] = { handle, 2, 1, handle & 1 ? 0x82 : next(), 2, 2, 1, 1, 0, 0 };

	say_words(10, 2, words, 10);
}

static void say_picture(uint32_t command, uint32_t handle)
{
	uint32_t len = next() & 1 ? next16() : next() & 15;
	uint32_t words[11] = { handle, 0, 8, 0, 0, 0, 0, 2, 2, 1, len };

	/* Mesa's length of a TRANSFER_PUT is another one. */
	say_words(command == 4 ? 11 : 11 + (len + 3) / 4, command, words, 11);
	if (command == 5)
		say_bulk(len);
}

static void say_greeting(void)
{
	uint32_t version = 2, wait[2] = { 0, 0 };

	say_words(4, 8, NULL, 0);
	say("mesa", 4);
	say_words(0, 10, NULL, 0);
	say_words(2, 7, wait, 2);
	say_words(1, 11, &version, 1);
}

static void say_something(void)
{
	uint8_t choice = next();
	uint32_t handle = choice / 16 % HANDLES, words[2] = { handle, 1 };

	switch (choice & 15) {
	case 0:
		say_greeting();
		break;
	case 1:
		say_create(handle);
		break;
	case 2:
		say_words(1, 3, words, 1);
		break;
	case 3:
		say_create(handle | 1);
		/* fall through */
	case 4:
		words[0] = handle | 1;
		say_picture(4, words[0]);
		say_words(2, 7, words, 2);
		break;
	case 5:
		say_picture(4, handle);
		break;
	case 6 ... 8:
		say_words(2, 7, words, 2);
		break;
	case 9:
		say_picture(5, handle);
		break;
	case 10:
		say_words(handle, 6, NULL, 0);
		say_bulk(4 * handle);
		break;
	case 11:
		say_words(1, 11, words, 1);
		break;
	case 12:
		say_words(0, choice & 16 ? 1 : 9, NULL, 0);
		break;
	case 13:
		say_words(next(), next(), words, 1);
		break;
	case 14:
		say_words(~0U, next() % 12, words, 2);
		break;
	default:
		say(&choice, 1);
	}
}

static void client_send(size_t len)
{
	size_t left = said.len - sent;
	ssize_t ret = send(client, said.bytes + sent, len < left ? len : left,
			   MSG_DONTWAIT | MSG_NOSIGNAL);

	sent += ret > 0 ? ret : 0;
}

static void client_end(void)
{
	shutdown(client, SHUT_WR);
	client_has_ended = true;
}

static void client_read(size_t len)
{
	uint8_t buf[4096];
	ssize_t ret = recv(client, buf, len < sizeof(buf) ? len : sizeof(buf), MSG_DONTWAIT);

	for (ssize_t i = 0; i < ret; i++)
		CHECK(buf[i] == (uint8_t)got++);
}

/* --- The renderer ------------------------------------------------------------------- */

/* Returns false at the end. */
static bool renderer_read(size_t len)
{
	size_t room = sizeof(heard.bytes) - heard.len;
	ssize_t ret;

	ret = recv(renderer, heard.bytes + heard.len, len < room ? len : room, MSG_DONTWAIT);
	heard.len += ret > 0 ? ret : 0;
	return ret;
}

static void renderer_send(size_t len)
{
	uint8_t buf[4096];
	ssize_t ret;

	len = len < sizeof(buf) ? len : sizeof(buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = answered + i;
	ret = send(renderer, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	answered += ret > 0 ? ret : 0;
}

static void renderer_pass(void)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	uint8_t byte = answered;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	*header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
				    .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(header), &renderer, sizeof(int));
	if (sendmsg(renderer, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
		passed_descriptor = true;
		answered++;
	}
}

static void renderer_close(void)
{
	close(renderer);
	renderer = -1;
}

/* --- While the relay waits ------------------------------------------------------------ */

static void client_step(uint8_t choice)
{
	if (choice % 8 < 5 && !client_has_ended)
		say_something();
	if (choice & 0x40)
		client_send(choice & 0x20 ? TALK_SIZE : next16());
	if (choice % 8 == 5)
		client_read(next16());
	if (choice == 0x47)
		client_end();
}

static void renderer_step(uint8_t choice)
{
	if (renderer < 0)
		return;
	if (choice & 0x40)
		renderer_read(choice & 0x20 ? TALK_SIZE : next16());
	if (choice % 8 < 3)
		renderer_send(next16());
	if (choice == 0x83)
		renderer_pass();
	if (choice == 0x84) {
		renderer_close();
		is_early = true;
	}
}

/* What both do in the end. */
static void finish(void)
{
	client_send(TALK_SIZE);
	if ((sent == said.len || is_deaf) && !client_has_ended)
		client_end();
	client_read(TALK_SIZE);
	if (renderer >= 0 && !is_deaf && !renderer_read(TALK_SIZE))
		renderer_close();
}

/*
 * Nothing happens: time passes, if the relay has a limit. A renderer that is not deaf is never
 * silent for too long.
 */
int __wrap_poll(struct pollfd *fds, nfds_t count, int ms)
{
	uint8_t choice;
	int ret;

	do {
		choice = next();
		CHECK(rounds++ < ROUNDS_MAX);
		if (!input_left)
			finish();
		else if (choice & 0x80)
			renderer_step(choice);
		else
			client_step(choice);
		ret = __real_poll(fds, count, 0);
	} while (!ret && (ms < 0 || (ms == RELAY_SILENT_MS && !is_deaf) ||
			  (input_left && choice % 4)));
	return ret;
}

/* --- What must hold ---------------------------------------------------------------------- */

#define WINDOWS_MAX 8192		/* more than one input can say */
static uint32_t windows[WINDOWS_MAX];	/* that the client has made */
static size_t window_count;

/* Words behind the header of a command that are looked at; -1: there is none. */
static int fixed_words(uint32_t command)
{
	static const int8_t words[] = { -1, 0, 10, 1, 11, 11, 0, 2, 0, 0, 0, 1 };

	return command < sizeof(words) ? words[command] : -1;
}

/* Bytes behind the fixed ones, or -1 when the command is none. */
static int64_t bulk_of(const uint32_t *words, bool is_first)
{
	int64_t len = words[0], pixels = words[12];
	uint32_t command = words[1];

	if (is_first != (command == 8))
		return -1;
	switch (command) {
	case 8:
		return len <= COMMANDS_NAME_MAX ? len : -1;
	case 6:
		return len <= COMMANDS_WORDS_MAX ? 4 * len : -1;
	case 5:
		return pixels <= COMMANDS_PICTURE_MAX ? pixels : -1;
	case 4:
		return len == 11 && pixels <= COMMANDS_PICTURE_MAX ? 0 : -1;
	default:
		return len == fixed_words(command) ? 0 : -1;
	}
}

/* The next @len bytes that were heard, as far as they were, are @bytes. */
static void expect(size_t *at, const uint8_t *bytes, size_t len)
{
	size_t left = heard.len - *at;

	len = len < left ? len : left;
	CHECK(!memcmp(heard.bytes + *at, bytes, len));
	*at += len;
}

/* Of a TRANSFER_GET and a RESOURCE_BUSY_WAIT the renderer heard the second one first. */
static bool is_turned(const uint8_t *get, size_t left, size_t at)
{
	static const uint32_t wait[2] = { 2, 7 };
	size_t seen = heard.len - at < sizeof(wait) ? heard.len - at : sizeof(wait);

	return left >= 52 + WAIT_SIZE && !memcmp(get + 52, wait, sizeof(wait)) &&
	       !memcmp(heard.bytes + at, wait, seen);
}

static bool was_window(uint32_t handle)
{
	for (size_t i = 0; i < window_count; i++)
		if (windows[i] == handle)
			return true;
	return false;
}

/* What the client says next. Returns 1, 0 when its fixed part is not whole, or -1: it is none. */
static int parse(size_t done, uint32_t *words, size_t *fixed, size_t *bulk)
{
	size_t left = sent - done;
	int count;
	int64_t more;

	if (left < 8)
		return 0;
	memcpy(words, said.bytes + done, 8);
	count = fixed_words(words[1]);
	if (count < 0 || (!done && words[1] != 8))
		return -1;
	*fixed = 8 + 4 * count;
	if (left < *fixed)
		return 0;
	memcpy(words, said.bytes + done, *fixed);
	more = bulk_of(words, !done);
	if (more < 0)
		return -1;
	*bulk = (uint64_t)more < left - *fixed ? (size_t)more : left - *fixed;
	return 1;
}

static bool is_good(void)
{
	size_t done = 0, fixed, bulk;
	uint32_t words[13] = { 0 };
	int ret;

	while ((ret = parse(done, words, &fixed, &bulk)) == 1)
		done += fixed + bulk;
	return !ret;
}

/* Returns how many of the client's bytes the command has, or 0 when there is no more to expect. */
static size_t expect_command(size_t done, size_t *at)
{
	const uint8_t *bytes = said.bytes + done;
	uint8_t command[13 * 4];
	uint32_t words[13] = { 0 };
	size_t fixed, bulk;
	int ret = parse(done, words, &fixed, &bulk);

	CHECK(ret >= 0);
	if (!ret) {
		expect(at, bytes, sent - done);		/* the client's end lets it pass */
		return 0;
	}
	if (words[1] == 4 && was_window(words[2]) && is_turned(bytes, sent - done, *at)) {
		expect(at, bytes + fixed, WAIT_SIZE);
		expect(at, bytes, fixed);
		return fixed + WAIT_SIZE;
	}
	if (words[1] == 2 && words[5] & (1 << 7 | 1 << 18) && window_count < WINDOWS_MAX)
		windows[window_count++] = words[2];
	memcpy(command, bytes, fixed);
	if (words[1] == 11)
		memset(command + 8, 0, 4);
	expect(at, command, fixed);
	expect(at, bytes + fixed, bulk);
	return fixed + bulk;
}

static void check_heard(void)
{
	size_t at = 0, done = 0, len;

	window_count = 0;
	while (at < heard.len) {
		len = expect_command(done, &at);
		if (!len)
			break;
		done += len;
	}
	CHECK(at == heard.len);
}

static void check_end(enum relay_end end, const char *why)
{
	switch (end) {
	case RELAY_WHOLE:
		CHECK(client_has_ended);
		CHECK(is_deaf || is_early || (heard.len == sent && got == answered && is_good()));
		CHECK(is_deaf || !passed_descriptor);
		break;
	case RELAY_RENDERER_ENDED:
		CHECK(renderer < 0 && !passed_descriptor);
		break;
	case RELAY_BAD_CLIENT:
		CHECK(why && !is_good());
		break;
	case RELAY_DESCRIPTOR:
		CHECK(passed_descriptor);
		break;
	case RELAY_ERROR:
		CHECK(false);
	}
	CHECK(got <= answered);
}

static int open_pair(int *far_end, bool is_small)
{
	int fds[2], size = 1;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	for (int i = 0; is_small && i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*far_end = fds[1];
	return fds[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *why = NULL;
	int near_client, near_renderer;
	enum relay_end end;
	uint8_t kind;

	input = data;
	input_left = len;
	said.len = heard.len = sent = answered = got = 0;
	client_has_ended = passed_descriptor = is_early = false;
	rounds = 0;
	kind = next();
	is_deaf = kind & 0x40;
	near_client = open_pair(&client, kind & 1);
	near_renderer = open_pair(&renderer, kind & 2);
	if (kind & 0x3c)
		say_greeting();
	end = relay(near_client, near_renderer, &why);
	close(near_renderer);
	close(near_client);
	for (int i = 0; renderer >= 0 && i < 100; i++)
		renderer_read(TALK_SIZE);
	for (int i = 0; i < 100; i++)
		client_read(TALK_SIZE);
	check_end(end, why);
	check_heard();
	if (renderer >= 0)
		close(renderer);
	close(client);
	return 0;
}
