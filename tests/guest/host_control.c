// SPDX-License-Identifier: MIT
/*
 * The commands by which a test moves the host's side. See host_puppet.h.
 *
 * One line each way: the answer is "ok ..." or "error ...". A command that waits for
 * something is tried again after every round of events, until it has an answer.
 *
 *	begin			forget all puppets; numbers start from 0; the daemon is not late
 *	count			how many puppets there are
 *	accepted N		wait until there are at least N
 *	dial NAME		connect to DIR/NAME.sock as a client: a new puppet
 *	fill NAME		fill the backlog of a listener, accept nothing
 *	drain NAME		accept again
 *	read K BYTES|all	may read that many bytes more
 *	expect K SEED		what comes is the pattern of SEED
 *	keep K			keep what comes ...
 *	reflect K		... and send it back
 *	send K BYTES SEED [OFFSET]  send the pattern
 *	finish K BYTES SEED	send, and shut down writing at once
 *	sent K			wait until all is with the socket: ok TOTAL
 *	end K			when all is sent: shut down writing
 *	close K			when all is sent: close
 *	abort K			close now, with a reset
 *	noread K		shut down reading: the guest's writes fail
 *	got K BYTES		wait for that many in total: ok TOTAL good|bad AT
 *	eof K			wait for the end: ok TOTAL end|reset good|bad AT
 *	hup K			wait until the other side is gone, without reading
 *	state K			ok RECEIVED SENT open|end|reset
 *	stutter on|off		the daemon is late, until then
 *	stress begin|go|count|idle  count from 0; end the stall; ok ACTIVE FINISHED BAD; the same
 *				when none is active any more
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host_puppet.h"

#define MAX_CONTROLS 256
#define LINE_SIZE 256

struct control {
	struct watch watch;
	char line[LINE_SIZE];		/* what came; a whole line waits for its answer */
	size_t len;
	bool has_line;
	char answer[LINE_SIZE];
};

static struct control *controls[MAX_CONTROLS];

struct call {
	struct control *control;
	struct puppet *puppet;		/* if the command names one */
	const char *word;		/* the argument after the puppet's number, or "" */
	uint64_t a, b, c;		/* the numbers after the first argument */
	int count;			/* of arguments in all */
};

/* Commands return false to wait. */
static bool answer(struct call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool answer(struct call *call, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(call->control->answer, LINE_SIZE, format, args);
	va_end(args);
	return true;
}

static const char *quality(const struct puppet *p, char *buf, size_t size)
{
	if (!p->is_bad)
		return "good";
	snprintf(buf, size, "bad %llu", (unsigned long long)p->bad_at);
	return buf;
}

static bool run_begin(struct call *call)
{
	forget_pending();
	puppet_forget_all();
	stutter_end();
	return answer(call, "ok");
}

static bool run_count(struct call *call)
{
	return answer(call, "ok %u", puppet_count());
}

static bool run_accepted(struct call *call)
{
	unsigned int wanted = strtoul(call->word, NULL, 10);

	return puppet_count() >= wanted && answer(call, "ok %u", puppet_count());
}

static bool run_dial(struct call *call)
{
	int fd = dial(call->word);

	if (fd < 0)
		return answer(call, "error %s", strerror(errno));
	return puppet_create(fd) ? answer(call, "ok %u", puppet_count() - 1) :
				   answer(call, "error too many");
}

static bool run_fill(struct call *call)
{
	struct listener *listener = listener_get(call->word);

	return answer(call, listener && listener_fill(listener) ? "ok" : "error cannot fill");
}

static bool run_drain(struct call *call)
{
	struct listener *listener = listener_get(call->word);

	if (listener)
		listener_drain(listener);
	return answer(call, listener ? "ok" : "error no such listener");
}

static bool run_read(struct call *call)
{
	if (!strcmp(call->word, "all"))
		call->puppet->reads_all = true;
	else
		call->puppet->budget += call->a;
	puppet_update(call->puppet);
	return answer(call, "ok");
}

static bool run_expect(struct call *call)
{
	call->puppet->is_checked = true;
	call->puppet->seed = call->a;
	return answer(call, "ok");
}

static bool run_keep(struct call *call)
{
	call->puppet->is_kept = true;
	return answer(call, "ok");
}

static bool run_reflect(struct call *call)
{
	struct puppet *p = call->puppet;

	if (p->send_len)
		return answer(call, "error still sending");
	p->send_data = p->kept;
	p->send_len = p->kept_len;
	/* What it points at must not move. */
	p->is_kept = false;
	puppet_update(p);
	return answer(call, "ok %llu", (unsigned long long)p->kept_len);
}

static bool run_send(struct call *call)
{
	struct puppet *p = call->puppet;

	if (p->send_len)
		return false;
	p->send_data = NULL;
	p->send_len = call->a;
	p->send_seed = call->b;
	p->send_offset = call->c;
	puppet_update(p);
	return answer(call, "ok");
}

static bool run_finish(struct call *call)
{
	if (call->puppet->send_len)
		return false;
	call->puppet->end_after = true;
	return run_send(call);
}

static bool run_sent(struct call *call)
{
	if (call->puppet->send_failed)
		return answer(call, "error the other side is gone");
	return puppet_is_sent(call->puppet) &&
	       answer(call, "ok %llu", (unsigned long long)call->puppet->sent);
}

static bool run_end(struct call *call)
{
	call->puppet->end_after = true;
	puppet_update(call->puppet);
	return answer(call, "ok");
}

static bool run_close(struct call *call)
{
	call->puppet->close_after = true;
	puppet_update(call->puppet);
	return answer(call, "ok");
}

static bool run_abort(struct call *call)
{
	puppet_abort(call->puppet);
	return answer(call, "ok");
}

static bool run_noread(struct call *call)
{
	shutdown(call->puppet->watch.fd, SHUT_RD);
	return answer(call, "ok");
}

static bool run_got(struct call *call)
{
	struct puppet *p = call->puppet;
	char bad[40];

	if (p->received >= call->a)
		return answer(call, "ok %llu %s", (unsigned long long)p->received,
			      quality(p, bad, sizeof(bad)));
	if (p->has_end || p->has_failed)
		return answer(call, "error ended after %llu", (unsigned long long)p->received);
	return false;
}

static bool run_eof(struct call *call)
{
	struct puppet *p = call->puppet;
	char bad[40];

	if (!p->has_end && !p->has_failed)
		return false;
	return answer(call, "ok %llu %s %s", (unsigned long long)p->received,
		      p->has_failed ? "reset" : "end", quality(p, bad, sizeof(bad)));
}

static bool run_hup(struct call *call)
{
	return call->puppet->hung_up && answer(call, "ok");
}

static bool run_state(struct call *call)
{
	const struct puppet *p = call->puppet;

	return answer(call, "ok %llu %llu %s", (unsigned long long)p->received,
		      (unsigned long long)p->sent,
		      p->has_failed ? "reset" : p->has_end ? "end" : "open");
}

static bool run_stress(struct call *call)
{
	unsigned int active, finished, bad;

	if (!strcmp(call->word, "begin"))
		stress_forget();
	else if (!strcmp(call->word, "go"))
		stress_go();
	stress_counts(&active, &finished, &bad);
	if (!strcmp(call->word, "idle") && active)
		return false;
	return answer(call, "ok %u %u %u", active, finished, bad);
}

static bool run_stutter(struct call *call)
{
	bool ok = true;

	if (strcmp(call->word, "on"))
		stutter_end();
	else
		ok = stutter_begin(call->control->watch.fd);
	return answer(call, ok ? "ok" : "error cannot stop the daemon");
}

static const struct command {
	const char *name;
	bool (*run)(struct call *call);
	bool has_puppet;
	int arguments;			/* at least; the puppet's number counts */
} commands[] = {
	{ "begin", run_begin, false, 0 },	{ "count", run_count, false, 0 },
	{ "accepted", run_accepted, false, 1 }, { "dial", run_dial, false, 1 },
	{ "fill", run_fill, false, 1 },		{ "drain", run_drain, false, 1 },
	{ "read", run_read, true, 2 },		{ "expect", run_expect, true, 2 },
	{ "keep", run_keep, true, 1 },		{ "reflect", run_reflect, true, 1 },
	{ "send", run_send, true, 3 },		{ "sent", run_sent, true, 1 },
	{ "end", run_end, true, 1 },		{ "close", run_close, true, 1 },
	{ "abort", run_abort, true, 1 },	{ "noread", run_noread, true, 1 },
	{ "got", run_got, true, 2 },		{ "eof", run_eof, true, 1 },
	{ "hup", run_hup, true, 1 },		{ "state", run_state, true, 1 },
	{ "stress", run_stress, false, 1 },	{ "finish", run_finish, true, 3 },
	{ "stutter", run_stutter, false, 1 },
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* Returns false when the command waits. */
static bool run_line(struct control *control)
{
	char name[32] = "", words[4][64] = { "", "", "", "" };
	struct call call = { .control = control };
	const struct command *command;
	int words_found = sscanf(control->line, "%31s %63s %63s %63s %63s", name, words[0],
				 words[1], words[2], words[3]);

	command = find_command(name);
	call.count = words_found - 1;
	if (!command || call.count < command->arguments)
		return answer(&call, "error what is '%s'?", name);
	call.word = words[command->has_puppet];
	call.a = strtoull(words[1], NULL, 10);
	call.b = strtoull(words[2], NULL, 10);
	call.c = strtoull(words[3], NULL, 10);
	if (command->has_puppet) {
		call.puppet = puppet_get(atol(words[0]));
		if (!call.puppet)
			return answer(&call, "error no puppet %s", words[0]);
	}
	return command->run(&call);
}

static void control_free(struct control *control)
{
	for (int i = 0; i < MAX_CONTROLS; i++)
		if (controls[i] == control)
			controls[i] = NULL;
	close(control->watch.fd);
	free(control);
}

/* Runs the line that waits, if any, and answers. Commands are short: so are answers. */
static void control_retry(struct control *control)
{
	size_t len;

	if (!control->has_line || !run_line(control))
		return;
	control->has_line = false;
	control->len = 0;
	len = strlen(control->answer);
	control->answer[len++] = '\n';
	if (send(control->watch.fd, control->answer, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		control_free(control);
}

void control_retry_all(void)
{
	for (int i = 0; i < MAX_CONTROLS; i++)
		if (controls[i])
			control_retry(controls[i]);
}

static void control_ready(struct watch *watch, uint32_t events)
{
	struct control *control = (struct control *)watch;
	ssize_t len;

	(void)events;
	len = recv(watch->fd, control->line + control->len, LINE_SIZE - 1 - control->len,
		   MSG_DONTWAIT);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		control_free(control);
		return;
	}
	control->len += len;
	control->line[control->len] = '\0';
	control->has_line = strchr(control->line, '\n');
}

void control_create(int fd)
{
	struct control *control = calloc(1, sizeof(*control));

	for (int i = 0; control && i < MAX_CONTROLS; i++) {
		if (controls[i])
			continue;
		controls[i] = control;
		watch_add(&control->watch, fd, control_ready);
		watch_set(&control->watch, EPOLLIN);
		return;
	}
	free(control);
	close(fd);
}
