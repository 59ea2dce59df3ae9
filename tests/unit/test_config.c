// SPDX-License-Identifier: MIT
/* Settings, files and the check of the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "daemon/config.h"
#include "loop/loop.h"

struct fixture {
	struct config *config;
	char *messages;
	size_t size;
	FILE *out;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->out = open_memstream(&f->messages, &f->size);
	f->config = config_create(f->out);
	assert_non_null(f->config);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	config_destroy(f->config);
	fclose(f->out);
	free(f->messages);
	free(f);
	return 0;
}

static const char *said(struct fixture *f)
{
	fflush(f->out);
	return f->messages;
}

static void set(struct fixture *f, const char *section, const char *key, const char *value)
{
	const struct config_origin origin = { CONFIG_COMMAND_LINE, "--option" };

	config_set(f->config, &origin, section, key, value);
}

/* Reads @text as a file called FILE in the messages. */
static void read_text(struct fixture *f, const char *text)
{
	char path[] = "/tmp/manyport-config-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	config_read_file(f->config, path);
	unlink(path);
}

static void expect_error(struct fixture *f, int errors, const char *line)
{
	if (!strstr(said(f), line))
		fail_msg("no '%s' in: %s", line, said(f));
	assert_int_equal(f->config->errors, errors);
}

static void expect_clean(struct fixture *f)
{
	if (f->config->errors)
		fail_msg("%s", said(f));
}

/* --- Text ---------------------------------------------------------------- */

static void times_and_sizes(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} times[] = {
		{ "5s", 5000 }, { "500ms", 500 }, { "1min", 60000 }, { "1min 30s", 90000 },
		{ "7", 7000 }, { "2 h", 7200000 }, { "1d", 86400000 }, { "0", 0 },
		{ "1h30min", 5400000 }, { "", -1 }, { "x", -1 }, { "5x", -1 }, { "-1", -1 },
		{ "1 30s", -1 }, { "5s,", -1 }, { "99999999999999999999", -1 },
		{ "18446744073709551615d", -1 },
	}, sizes[] = {
		{ "0", 0 }, { "512", 512 }, { "64K", 65536 }, { "64k", 65536 }, { "1M", 1 << 20 },
		{ "2G", 2LL << 30 }, { "1KB", 1024 }, { "", -1 }, { "K", -1 }, { "1KK", -1 },
		{ "1 K", -1 }, { "99999999999T", -1 }, { "+1", -1 },
	};
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		assert_int_equal(!text_time(times[i].text, &value), times[i].value >= 0);
		if (times[i].value >= 0)
			assert_int_equal(value, times[i].value);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(!text_size(sizes[i].text, &value), sizes[i].value >= 0);
		if (sizes[i].value >= 0)
			assert_int_equal(value, sizes[i].value);
	}
}

static void words(void **state)
{
	char **list;

	(void)state;
	assert_int_equal(text_split(" a 'b  c' \"d\\\"e\" f\\ g '' 'x'y\"z\" ", &list), 6);
	assert_string_equal(list[0], "a");
	assert_string_equal(list[1], "b  c");
	assert_string_equal(list[2], "d\"e");
	assert_string_equal(list[3], "f g");
	assert_string_equal(list[4], "");
	assert_string_equal(list[5], "xyz");
	assert_null(list[6]);
	text_free(list);
	assert_int_equal(text_split("", &list), 0);
	assert_null(list[0]);
	text_free(list);
	assert_int_equal(text_split("a 'b", &list), -22);
	assert_int_equal(text_split("a \\", &list), -22);
}

/* --- Files ---------------------------------------------------------------- */

static const char full_file[] =
	"# a comment\n"
	"[Guest]\n"
	"Name=vm1\n"
	"MaxChannels=100\n"
	"ConnectTimeoutSec=500ms\n"
	"LingerTimeoutSec=1min 2s\n"
	"ExitTimeoutSec=10min\n"
	"MaxRequestSize=64K\n"
	"MaxChannelsPerUser = 50\n"
	"\n"
	"[Port main]\n"
	"  Id=2\n"
	"MaxChannels=10\n"
	"[Port agent]\n"
	"Kind=fixed\n"
	"Service=qga\n"
	"[Port empty]\n"
	"[Service qga]\n"
	"Connect=null\n"
	"[Service db]\n"
	"Connect=unix:/run/db.sock\n"
	"Ports=main\n"
	"Ports=empty\n"
	"AllowUser=0 1000-1999\n"
	"DenyUser=1500\n"
	"MaxChannels=20\n"
	"MaxChannelsPerUser=3\n"
	"LingerTimeoutSec=30s\n"
	"[Service job]\n"
	"Connect=exec:cat\n"
	"ExitTimeoutSec=12h\n"
	"[Service main/db]\n"
	"Connect=echo\n";

static void everything_in_a_file(void **state)
{
	struct fixture *f = *state;
	struct config *c = f->config;
	struct config_service *db;

	read_text(f, full_file);
	config_check(c);
	expect_clean(f);
	assert_string_equal(c->guest.name, "vm1");
	assert_int_equal(c->guest.max_channels, 100);
	assert_int_equal(c->guest.max_channels_per_user, 50);
	assert_int_equal(c->guest.connect_ms, 500);
	assert_int_equal(c->guest.linger_ms, 62000);
	assert_int_equal(c->guest.exit_ms, 600000);
	assert_int_equal(config_find_service(c, "db")->linger_ms, 30000);
	assert_int_equal(config_find_service(c, "db")->exit_ms, 600000);
	assert_int_equal(config_find_service(c, "job")->linger_ms, 62000);
	assert_int_equal(config_find_service(c, "job")->exit_ms, 12 * 3600000);
	assert_int_equal(config_find_service(c, "main/db")->linger_ms, 62000);
	assert_int_equal(c->guest.max_io, 65536);
	assert_int_equal(c->port_count, 3);
	assert_int_equal(c->ports[0]->id, 2);
	assert_int_equal(c->ports[0]->max_channels, 10);
	assert_int_equal(c->ports[1]->id, 0);
	assert_int_equal(c->ports[1]->kind, MP_PORT_FIXED);
	assert_ptr_equal(c->ports[1]->fixed, config_find_service(c, "qga"));
	assert_int_equal(c->ports[2]->id, 1);
	assert_int_equal(c->ports[2]->max_channels, 100);
	db = config_find_service(c, "db");
	assert_string_equal(db->connect, "unix:/run/db.sock");
	assert_string_equal(db->ports[1], "empty");
	assert_null(db->ports[2]);
	assert_int_equal(db->allow.count, 2);
	assert_int_equal(db->allow.ranges[1].last, 1999);
	assert_int_equal(db->deny.ranges[0].first, 1500);
	assert_string_equal(config_find_service(c, "main/db")->name, "db");
	assert_ptr_equal(config_find_service(c, "main/db")->own_port, c->ports[0]);
}

/* Each with its line; and one does not hide another. */
static void errors_have_lines(void **state)
{
	struct fixture *f = *state;

	read_text(f, "Name=x\n"			/* 1: before any section */
		     "[Guest]\n"
		     "Nmae=vm1\n"		/* 3: unknown */
		     "MaxChannels=0\n"		/* 4: not allowed */
		     "MaxChannels=many\n"	/* 5: and twice */
		     "[Gest]\n"			/* 6: unknown section, once */
		     "Name=x\n"
		     "[Port a/b]\n"		/* 8: no name */
		     "[Service x]\n"
		     "AllowUser=5-4\n"		/* 10 */
		     "rubbish\n"		/* 11 */
		     "[Service y\n"		/* 12: and what follows is skipped */
		     "Connect=echo\n");
	expect_error(f, 9, ":1: Name= stands before any section\n");
	expect_error(f, 9, ":3: there is no Nmae= in [Guest]; known are Name=, MaxChannels=");
	expect_error(f, 9, ":4: MaxChannels=0: allowed is a number from 1 to 1048576\n");
	expect_error(f, 9, ":5: MaxChannels= is given twice\n");
	expect_error(f, 9, ":6: there is no section [Gest]; known are");
	expect_error(f, 9, ":8: 'a/b' is not a name for a port; allowed are");
	expect_error(f, 9, ":10: AllowUser=5-4: allowed is user numbers");
	expect_error(f, 9, ":11: not a section [TITLE], a setting KEY=VALUE or a comment\n");
	expect_error(f, 9, ":12: not a section [TITLE], a setting KEY=VALUE or a comment\n");
}

static void lines_may_be_long(void **state)
{
	struct fixture *f = *state;
	char text[6000];

	snprintf(text, sizeof(text), "[Service a]\nConnect=exec:true %05000d\nPorts=b c", 0);
	read_text(f, text);
	expect_clean(f);
	assert_int_equal(strlen(config_find_service(f->config, "a")->connect), 5010);
	assert_string_equal(config_find_service(f->config, "a")->ports[1], "c");
}

/* Behind '=' everything is the value; who believes in comments there is warned. */
static void no_comment_behind_a_setting(void **state)
{
	struct fixture *f = *state;

	read_text(f, "; a comment\n"
		     " # one that is indented\r\n"
		     " [Service a] \r\n"
		     "\tConnect = exec:find /srv -exec rm {} ; -o -print \r\n"
		     "[Service b]\n"
		     "Connect=exec:sh -c \"a;b # c\" ';'\n"
		     "AllowUser=5 ;6\n");
	assert_string_equal(config_find_service(f->config, "a")->connect,
			    "exec:find /srv -exec rm {} ; -o -print");
	assert_string_equal(config_find_service(f->config, "b")->connect,
			    "exec:sh -c \"a;b # c\" ';'");
	expect_error(f, 1, ":4: warning: '; -o -print' is part of the value: comments stand on");
	expect_error(f, 1, ":7: warning: ';6' is part of the value");
	expect_error(f, 1, ":7: AllowUser=5 ;6: allowed is user numbers");
	assert_null(strstr(said(f), ":6:"));
}

static void long_titles_are_whole(void **state)
{
	struct fixture *f = *state;

	read_text(f, "[Service a123456789012345678901234567890123456789012345678901234567890]\n"
		     "Connect=echo\n");
	expect_clean(f);
	assert_non_null(config_find_service(f->config, "a12345678901234567890123456789012345678"
					    "9012345678901234567890"));
}

static void unreadable_files(void **state)
{
	struct fixture *f = *state;

	config_read_file(f->config, "/nonexistent/x");
	expect_error(f, 1, "/nonexistent/x: No such file");
	config_read_file(f->config, "/tmp");
	expect_error(f, 2, "/tmp: is a directory\n");
}

static void command_line_wins(void **state)
{
	struct fixture *f = *state;

	read_text(f, full_file);
	set(f, "Guest", "Name", "other");
	set(f, "Service db", "Connect", "null");
	set(f, "Service db", "Ports", "empty");
	set(f, "Service new", "Connect", "zero");
	config_check(f->config);
	expect_clean(f);
	assert_string_equal(f->config->guest.name, "other");
	assert_string_equal(config_find_service(f->config, "db")->connect, "null");
	assert_string_equal(config_find_service(f->config, "db")->ports[0], "empty");
	assert_null(config_find_service(f->config, "db")->ports[1]);
	set(f, "Guest", "Name", "third");
	expect_error(f, 1, "--option: Name= is given twice\n");
}

/* --- The whole ---------------------------------------------------------------- */

static void one_port_by_default(void **state)
{
	struct fixture *f = *state;

	set(f, "Service db", "Connect", "echo");
	config_check(f->config);
	expect_clean(f);
	assert_int_equal(f->config->port_count, 1);
	assert_string_equal(f->config->ports[0]->item.title, "manyport");
	assert_int_equal(f->config->ports[0]->id, 0);
	assert_string_equal(f->config->guest.name, "guest");
}

static void fixed_port_with_uri(void **state)
{
	struct fixture *f = *state;
	struct loop *loop = loop_create();

	set(f, "Port agent", "Kind", "fixed");
	set(f, "Port agent", "Service", "echo");
	set(f, "Port other", "Kind", "fixed");
	set(f, "Port other", "Service", "throttle:5");
	config_check(f->config);
	config_start(f->config, loop, false);
	expect_clean(f);
	assert_non_null(f->config->ports[0]->fixed->service);
	assert_string_equal(f->config->ports[1]->fixed->name, "other");
	/* The services are destroyed before their loop. */
	config_destroy(f->config);
	loop_destroy(loop);
	f->config = NULL;
}

static void contradictions(void **state)
{
	struct fixture *f = *state;

	set(f, "Port a", "Id", "3");
	set(f, "Port b", "Id", "3");
	set(f, "Port c", "Kind", "fixed");
	set(f, "Port d", "Service", "db");
	set(f, "Port e", "Kind", "fixed");
	set(f, "Port e", "Service", "nothing");
	set(f, "Service db", "Connect", "echo");
	set(f, "Service db", "Ports", "a x c");
	set(f, "Service z/db", "Connect", "echo");
	set(f, "Service a/db", "AllowUser", "1");
	set(f, "Service a/db", "Ports", "a");
	config_check(f->config);
	expect_error(f, 10, "port a: Id=3 is another port's\n");
	expect_error(f, 10, "port b: Id=3 is another port's\n");
	expect_error(f, 10, "port c: Kind=fixed needs Service=\n");
	expect_error(f, 10, "port d: Service= is for Kind=fixed\n");
	expect_error(f, 10, "port e: there is no service nothing\n");
	expect_error(f, 10, "service db: Ports=: there is no port x\n");
	expect_error(f, 10, "service db: Ports=: port c is tied to one service\n");
	expect_error(f, 10, "service z/db: there is no port z\n");
	expect_error(f, 10, "service a/db: has its port in its name, and Ports= too\n");
	expect_error(f, 10, "service a/db: needs Connect=\n");
}

static void too_many_ports(void **state)
{
	struct fixture *f = *state;
	char section[32];

	for (int i = 0; i < 32; i++) {
		snprintf(section, sizeof(section), "Port p%d", i);
		set(f, section, "MaxChannels", "1");
	}
	config_check(f->config);
	expect_error(f, 1, "port p31: there are at most 31 ports\n");
}

static void bad_services_are_all_told(void **state)
{
	struct fixture *f = *state;
	struct loop *loop = loop_create();

	set(f, "Service a", "Connect", "nonsense:x");
	set(f, "Service b", "Connect", "tcp:localhost");
	set(f, "Service c", "Connect", "exec:/nonexistent/program");
	config_check(f->config);
	config_start(f->config, loop, true);
	expect_error(f, 2, "--option: service a: "
		     "'nonsense' is not a kind of service; known are unix");
	expect_error(f, 2, "--option: service b: 'localhost' is not HOST:PORT");
	expect_error(f, 2, "--option: warning: service c: "
		     "there is no program /nonexistent/program\n");
	config_destroy(f->config);
	loop_destroy(loop);
	f->config = NULL;
}

/* What the services themselves are given. */
static void limits_reach_the_services(void **state)
{
	struct fixture *f = *state;
	struct loop *loop = loop_create();
	struct config *c = f->config;

	read_text(f, "[Guest]\nLingerTimeoutSec=7s\n[Service a]\nConnect=echo\n"
		  "[Service b]\nConnect=exec:cat\nLingerTimeoutSec=1s\nExitTimeoutSec=2s\n"
		  "[Service c]\nConnect=exec:cat\n");
	config_check(c);
	config_start(c, loop, true);
	expect_clean(f);
	assert_int_equal(config_find_service(c, "a")->service->linger_ms, 7000);
	assert_int_equal(config_find_service(c, "a")->service->end_ms, 7000);
	assert_int_equal(config_find_service(c, "b")->service->linger_ms, 1000);
	assert_int_equal(config_find_service(c, "b")->service->end_ms, 2000);
	assert_int_equal(config_find_service(c, "c")->service->linger_ms, 7000);
	assert_int_equal(config_find_service(c, "c")->service->end_ms, 300000);
	config_destroy(c);
	loop_destroy(loop);
	f->config = NULL;
}

static void exit_limits_are_for_programs(void **state)
{
	struct fixture *f = *state;

	read_text(f, "[Service a]\nConnect=echo\nExitTimeoutSec=2s\n");
	config_check(f->config);
	expect_error(f, 1, "service a: ExitTimeoutSec= is for exec:");
}

static void values_are_checked(void **state)
{
	static const char *const wrong[][3] = {
		{ "Guest", "Name", "" }, { "Guest", "Name", "a b" }, { "Guest", "Name", "a/b" },
		{ "Guest", "MaxChannels", "1048577" }, { "Guest", "MaxChannels", "-1" },
		{ "Guest", "ConnectTimeoutSec", "0" }, { "Guest", "ConnectTimeoutSec", "2h" },
		{ "Service a", "LingerTimeoutSec", "2h" }, { "Guest", "ExitTimeoutSec", "25h" },
		{ "Guest", "LingerTimeoutSec", "soon" }, { "Guest", "MaxRequestSize", "2M" },
		{ "Guest", "MaxRequestSize", "1K" }, { "Port a", "Id", "31" },
		{ "Guest", "AccessLog", "maybe" }, { "Port a", "Kind", "classic" },
		{ "Service a", "Connect", "" },
		{ "Service a", "Ports", "a,b" }, { "Service a", "AllowUser", "root" },
		{ "Service a", "DenyUser", "4294967295" }, { "Service a", "AllowUser", "1-2-3" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct config *config = config_create(f->out);
		const struct config_origin origin = { CONFIG_FILE, "f:1" };

		config_set(config, &origin, wrong[i][0], wrong[i][1], wrong[i][2]);
		if (config->errors != 1)
			fail_msg("%s=%s was taken", wrong[i][1], wrong[i][2]);
		config_destroy(config);
	}
}

static void empty_assignment_empties_a_list(void **state)
{
	struct fixture *f = *state;

	read_text(f, "[Service a]\nConnect=echo\nAllowUser=1 2\nAllowUser=\nAllowUser=7\n");
	expect_clean(f);
	assert_int_equal(config_find_service(f->config, "a")->allow.count, 1);
	assert_int_equal(config_find_service(f->config, "a")->allow.ranges[0].first, 7);
	read_text(f, "[Service b]\nConnect=echo\nPorts=x\nPorts=\n");
	expect_clean(f);
	assert_non_null(config_find_service(f->config, "b")->ports);
	assert_null(config_find_service(f->config, "b")->ports[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_and_sizes),
		cmocka_unit_test(words),
		cmocka_unit_test_setup_teardown(everything_in_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(errors_have_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(no_comment_behind_a_setting, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_may_be_long, setup, teardown),
		cmocka_unit_test_setup_teardown(long_titles_are_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(unreadable_files, setup, teardown),
		cmocka_unit_test_setup_teardown(command_line_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(one_port_by_default, setup, teardown),
		cmocka_unit_test_setup_teardown(fixed_port_with_uri, setup, teardown),
		cmocka_unit_test_setup_teardown(contradictions, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_services_are_all_told, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_reach_the_services, setup, teardown),
		cmocka_unit_test_setup_teardown(exit_limits_are_for_programs, setup, teardown),
		cmocka_unit_test_setup_teardown(values_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_assignment_empties_a_list, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
