// SPDX-License-Identifier: MIT
/* Which users may have a channel to which service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/config.h"
#include "daemon/policy.h"
#include "loop/loop.h"

static struct loop *loop;
static struct config *config;
static struct policy *policy;

static void set(const char *section, const char *key, const char *value)
{
	const struct config_origin origin = { CONFIG_FILE, "test" };

	config_set(config, &origin, section, key, value);
}

static int setup(void **state)
{
	(void)state;
	loop = loop_create();
	config = config_create(stderr);
	policy = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	policy_destroy(policy);
	config_destroy(config);
	loop_destroy(loop);
	return 0;
}

static void start(void)
{
	config_check(config);
	config_start(config, loop, false);
	assert_int_equal(config->errors, 0);
	policy = policy_create(config);
	assert_non_null(policy);
}

static struct mp_service *last;
static const char *last_name;

static enum mp_reason admit(const char *port, const char *service, uint32_t uid)
{
	const struct mp_opener opener = { .port = port, .service = service, .uid = uid,
					  .guest = "g", .argument = "" };

	last = NULL;
	last_name = NULL;
	return policy_admit(policy, &opener, &last, &last_name);
}

/* What another program has let in. */
static enum mp_reason readmit(const char *port, const char *service)
{
	const struct mp_opener opener = { .port = port, .service = service, .guest = "g",
					  .argument = "" };

	last = NULL;
	return policy_readmit(policy, &opener, &last, &last_name);
}

static struct mp_service *handle(const char *title)
{
	return config_find_service(config, title)->service;
}

static void names_lead_where_they_should(void **state)
{
	(void)state;
	set("Port a", "Id", "1");
	set("Port b", "Id", "2");
	set("Port f", "Kind", "fixed");
	set("Port f", "Service", "agent");
	set("Port g", "Kind", "fixed");
	set("Port g", "Service", "g/own");
	set("Port h", "Kind", "fixed");
	set("Port h", "Service", "zero");
	set("Service g/own", "Connect", "null");
	set("Service everywhere", "Connect", "echo");
	set("Service some", "Connect", "echo");
	set("Service some", "Ports", "b");
	set("Service a/everywhere", "Connect", "null");
	set("Service agent", "Connect", "null");
	start();
	assert_int_equal(admit("a", "everywhere", 0), 0);
	assert_ptr_equal(last, handle("a/everywhere"));
	assert_string_equal(last_name, "everywhere");
	assert_int_equal(admit("b", "everywhere", 0), 0);
	assert_ptr_equal(last, handle("everywhere"));
	assert_int_equal(admit("a", "some", 0), MP_REASON_NO_SERVICE);
	assert_int_equal(admit("b", "some", 0), 0);
	assert_int_equal(admit("a", "a/everywhere", 0), MP_REASON_NO_SERVICE);
	assert_int_equal(admit("a", "nothing", 0), MP_REASON_NO_SERVICE);
	assert_int_equal(admit("a", "", 0), MP_REASON_NO_SERVICE);
	assert_int_equal(admit("x", "everywhere", 0), MP_REASON_NO_SERVICE);
	/* A fixed port leads to its service under any name. */
	assert_int_equal(admit("f", "", 0), 0);
	assert_ptr_equal(last, handle("agent"));
	assert_int_equal(admit("f", "some", 0), 0);
	assert_ptr_equal(last, handle("agent"));
	/* But not what was let in to another one, before Service= was changed. */
	assert_int_equal(readmit("f", "agent"), 0);
	assert_ptr_equal(last, handle("agent"));
	assert_int_equal(readmit("g", "own"), 0);
	assert_int_equal(readmit("h", "h"), 0);
	assert_int_equal(readmit("f", "some"), MP_REASON_NO_SERVICE);
	assert_int_equal(readmit("f", ""), MP_REASON_NO_SERVICE);
	assert_int_equal(readmit("a", "everywhere"), 0);
	assert_ptr_equal(last, handle("a/everywhere"));
	/* Others reach the service by name, unless it is the port's own. */
	assert_int_equal(admit("a", "agent", 0), 0);
	assert_int_equal(admit("g", "own", 0), 0);
	assert_int_equal(admit("a", "own", 0), MP_REASON_NO_SERVICE);
	assert_int_equal(admit("h", "h", 0), 0);
	assert_int_equal(admit("a", "h", 0), MP_REASON_NO_SERVICE);
}

static void users_are_checked(void **state)
{
	(void)state;
	set("Service open", "Connect", "echo");
	set("Service few", "Connect", "echo");
	set("Service few", "AllowUser", "0 1000-1999");
	set("Service few", "DenyUser", "1500");
	set("Service most", "Connect", "echo");
	set("Service most", "DenyUser", "33");
	set("Service nobody", "Connect", "echo");
	set("Service nobody", "AllowUser", "");
	set("Service nowhere", "Connect", "echo");
	set("Service nowhere", "Ports", "");
	set("Service all", "Connect", "echo");
	set("Service all", "DenyUser", "");
	start();
	/* An empty list is a list: no user is let in, no port leads there, no user is denied. */
	assert_int_equal(admit("manyport", "nobody", 0), MP_REASON_DENIED);
	assert_int_equal(admit("manyport", "nobody", UINT32_MAX), MP_REASON_DENIED);
	assert_int_equal(admit("manyport", "nowhere", 0), MP_REASON_NO_SERVICE);
	assert_int_equal(admit("manyport", "all", 0), 0);
	assert_int_equal(admit("manyport", "all", UINT32_MAX), 0);
	assert_int_equal(admit("manyport", "open", 5), 0);
	assert_int_equal(admit("manyport", "open", UINT32_MAX), 0);
	assert_int_equal(admit("manyport", "few", 0), 0);
	assert_int_equal(admit("manyport", "few", 1000), 0);
	assert_int_equal(admit("manyport", "few", 1999), 0);
	assert_int_equal(admit("manyport", "few", 2000), MP_REASON_DENIED);
	assert_int_equal(admit("manyport", "few", 999), MP_REASON_DENIED);
	assert_int_equal(admit("manyport", "few", 1500), MP_REASON_DENIED);
	assert_int_equal(admit("manyport", "few", UINT32_MAX), MP_REASON_DENIED);
	assert_int_equal(admit("manyport", "most", 34), 0);
	assert_int_equal(admit("manyport", "most", 33), MP_REASON_DENIED);
	/* An unknown user may be the one that is denied. */
	assert_int_equal(admit("manyport", "most", UINT32_MAX), MP_REASON_DENIED);
}

static void limits_hold(void **state)
{
	(void)state;
	set("Guest", "MaxChannelsPerUser", "3");
	set("Service s", "Connect", "echo");
	set("Service s", "MaxChannels", "4");
	set("Service s", "MaxChannelsPerUser", "2");
	set("Service t", "Connect", "echo");
	start();
	assert_int_equal(admit("manyport", "s", 1), 0);
	assert_int_equal(admit("manyport", "s", 1), 0);
	assert_int_equal(admit("manyport", "s", 1), MP_REASON_BUSY);	/* user in service */
	assert_int_equal(admit("manyport", "t", 1), 0);
	assert_int_equal(admit("manyport", "t", 1), MP_REASON_BUSY);	/* user in guest */
	assert_int_equal(admit("manyport", "s", 2), 0);
	assert_int_equal(admit("manyport", "s", 3), 0);
	assert_int_equal(admit("manyport", "s", 4), MP_REASON_BUSY);	/* service */
	policy_release(policy, handle("s"), 1);
	assert_int_equal(admit("manyport", "s", 4), 0);
	policy_release(policy, handle("s"), 4);
	assert_int_equal(admit("manyport", "s", 1), 0);
	assert_int_equal(admit("manyport", "t", 1), MP_REASON_BUSY);
	/* A refusal has counted nothing; releasing twice takes nothing away. */
	policy_release(policy, handle("s"), 77);
	policy_release(policy, NULL, 1);
	assert_int_equal(admit("manyport", "s", 77), MP_REASON_BUSY);
}

/* A guest may claim a new user each time. */
static void many_users(void **state)
{
	(void)state;
	set("Guest", "MaxChannels", "10000");
	set("Service s", "Connect", "echo");
	set("Service s", "MaxChannelsPerUser", "1");
	start();
	for (int round = 0; round < 2; round++) {
		for (uint32_t uid = 0; uid < 5000; uid++)
			assert_int_equal(admit("manyport", "s", uid * 7919), 0);
		for (uint32_t uid = 0; uid < 5000; uid++) {
			assert_int_equal(admit("manyport", "s", uid * 7919), MP_REASON_BUSY);
			policy_release(policy, handle("s"), uid * 7919);
		}
	}
}

static int admit_all(uint32_t uid)
{
	int count = 0;

	while (admit("manyport", "s", uid) == MP_REASON_NONE)
		count++;
	return count;
}

/* As configured when nothing is: the guest has 4096, a user as many as are then left. */
static void nobody_takes_all(void **state)
{
	(void)state;
	set("Service s", "Connect", "echo");
	start();
	assert_int_equal(admit_all(1000), 1920);
	assert_int_equal(admit_all(1001), 960);
	assert_int_equal(admit_all(1002), 480);
	policy_release(policy, handle("s"), 1000);
	assert_int_equal(admit("manyport", "s", 1000), MP_REASON_BUSY);
	assert_int_equal(admit("manyport", "s", 1002), 0);
	/* However many they are, something is left for root. */
	for (uint32_t uid = 2000; uid < 6000; uid++)
		admit("manyport", "s", uid);
	assert_int_equal(admit("manyport", "s", 6000), MP_REASON_BUSY);
	for (int i = 0; i < 4096 / 16; i++)
		assert_int_equal(admit("manyport", "s", 0), 0);
	/* The bound itself stops root, too, by whatever road. */
	assert_int_equal(admit("manyport", "s", 0), MP_REASON_BUSY);
	/* Users that cannot be told apart have no share. */
	policy_release(policy, handle("s"), 0);
	assert_int_equal(admit("manyport", "s", UINT32_MAX), 0);
	assert_int_equal(admit("manyport", "s", UINT32_MAX), MP_REASON_BUSY);
}

/* A configured number goes before the share. */
static void a_number_goes_before_the_share(void **state)
{
	(void)state;
	set("Guest", "MaxChannels", "100");
	set("Guest", "MaxChannelsPerUser", "90");
	set("Service s", "Connect", "echo");
	start();
	assert_int_equal(admit_all(1000), 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_takes_all, setup, teardown),
		cmocka_unit_test_setup_teardown(a_number_goes_before_the_share, setup, teardown),
		cmocka_unit_test_setup_teardown(names_lead_where_they_should, setup, teardown),
		cmocka_unit_test_setup_teardown(users_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(many_users, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
