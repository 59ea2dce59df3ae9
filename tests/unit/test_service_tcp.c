// SPDX-License-Identifier: MIT
/* tcp: against real sockets. */
#include "socket_rig.h"

#include "service/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

/* A port is taken, and nothing listens there if @backlog is 0. */
static int tcp_bind(int family, unsigned short *port, int backlog)
{
	struct sockaddr_in6 name6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_in name4 = { .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *name = family == AF_INET ? (void *)&name4 : (void *)&name6;
	socklen_t len = family == AF_INET ? sizeof(name4) : sizeof(name6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, name, len)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (backlog)
		assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, name, &len), 0);
	*port = ntohs(family == AF_INET ? name4.sin_port : name6.sin6_port);
	return fd;
}

static int tcp_listen(int family, unsigned short *port)
{
	return tcp_bind(family, port, 5);
}

/* A connection may be the client's some time before it is the listener's. */
static void await_connection(int listener)
{
	struct pollfd wait = { .fd = listener, .events = POLLIN };

	assert_int_equal(poll(&wait, 1, RIG_LIMIT_MS), 1);
}

static bool fds_are_at_rest(void *context)
{
	(void)context;
	return rig_count_fds() == fds_at_rest;
}

/* The thread of a look-up that was given up closes its descriptor when the look-up is over. */
static int names_teardown(void **state)
{
	rig_wait(&rig, fds_are_at_rest, NULL);
	resolver_function = getaddrinfo;
	return teardown(state);
}

static void check_tcp(const char *host, int family)
{
	char uri[64];
	struct mp_service *service;
	struct test_peer peer;
	unsigned short port;
	int listener = tcp_listen(family, &port), server;

	if (listener < 0) {
		print_message("no address family %d here\n", family);
		return;
	}
	snprintf(uri, sizeof(uri), "tcp:%s:%u", host, port);
	service = rig_service(&rig, uri);
	assert_true(peer_open(&peer, service, "hello", 5) >= 0);
	rig_wait(&rig, peer_is_settled, &peer);
	assert_true(peer.connected);
	server = accept(listener, NULL, NULL);
	rig_wait(&rig, peer_has_written, &peer);
	check_both_ways(&peer, server);
	peer_close(&peer, MP_END_WHOLE);
	/* The server listens no more. */
	close(listener);
	if (peer_open(&peer, service, NULL, 0) == 0)
		rig_wait(&rig, peer_is_settled, &peer);
	assert_false(peer.connected);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
}

static void tcp_both_ways(void **state)
{
	(void)state;
	check_tcp("127.0.0.1", AF_INET);
	check_tcp("[::1]", AF_INET6);
	/* "localhost" may be ::1 first, where no server listens: the next address is tried. */
	check_tcp("localhost", AF_INET);
}

/* An abort is a reset for the server, an ordinary close an end. */
static void tcp_abort_resets(void **state)
{
	char uri[64], bytes[8];
	struct mp_service *service;
	struct test_peer peer;
	unsigned short port;
	int listener = tcp_listen(AF_INET, &port), server;

	(void)state;
	snprintf(uri, sizeof(uri), "tcp:127.0.0.1:%u", port);
	service = rig_service(&rig, uri);
	for (int abort = 0; abort < 2; abort++) {
		peer_open(&peer, service, NULL, 0);
		rig_wait(&rig, peer_is_settled, &peer);
		server = accept(listener, NULL, NULL);
		peer_close(&peer, abort ? MP_END_ABORT : MP_END_WHOLE);
		errno = 0;
		assert_int_equal(read(server, bytes, sizeof(bytes)), abort ? -1 : 0);
		assert_int_equal(errno, abort ? ECONNRESET : 0);
		close(server);
	}
	service_destroy(service);
	close(listener);
}

static void tcp_wrong_forms(void **state)
{
	static const char *const wrong[] = {
		"tcp:", "tcp:host", "tcp::80", "tcp:host:", "tcp:::1:80", "tcp:[::1]80",
		"tcp:[]:80", "tcp:127.0.0.1:noport",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct service_setup make = { .loop = rig.loop, .name = "test" };

		assert_null(service_create(&make, wrong[i]));
		assert_true(make.error[0]);
	}
}

/* --- Names ------------------------------------------------------------------ */

#define NAMES_MAX 32

/* What the name "host" leads to. The look-up's thread reads it, under the lock. */
static struct {
	pthread_mutex_t lock;
	int error, count;
	struct {
		int family;
		unsigned short port;
	} list[NAMES_MAX];
} name = { .lock = PTHREAD_MUTEX_INITIALIZER };
static atomic_int asked;
static bool is_hanging;			/* look-ups do not end; under the lock */
static pthread_cond_t no_more = PTHREAD_COND_INITIALIZER;

static void set_hanging(bool hangs)
{
	pthread_mutex_lock(&name.lock);
	is_hanging = hangs;
	pthread_cond_broadcast(&no_more);
	pthread_mutex_unlock(&name.lock);
}

static void set_name(int error)
{
	pthread_mutex_lock(&name.lock);
	name.error = error;
	name.count = 0;
	pthread_mutex_unlock(&name.lock);
}

static void add_address(int family, unsigned short port)
{
	pthread_mutex_lock(&name.lock);
	name.list[name.count].family = family;
	name.list[name.count++].port = port;
	pthread_mutex_unlock(&name.lock);
}

static struct addrinfo *make_info(int family, unsigned short port, const struct addrinfo *hints)
{
	struct addrinfo numeric = *hints, *info = NULL;
	char text[8];

	numeric.ai_flags = AI_NUMERICHOST;
	snprintf(text, sizeof(text), "%u", port);
	if (getaddrinfo(family == AF_INET ? "127.0.0.1" : "::1", text, &numeric, &info))
		abort();
	return info;
}

static int fake_lookup(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **result)
{
	struct addrinfo **next = result;
	int error;

	(void)host;
	(void)port;
	asked++;
	pthread_mutex_lock(&name.lock);
	while (is_hanging)
		pthread_cond_wait(&no_more, &name.lock);
	error = name.error;
	for (int i = 0; i < name.count && !error; i++) {
		*next = make_info(name.list[i].family, name.list[i].port, hints);
		next = &(*next)->ai_next;
	}
	pthread_mutex_unlock(&name.lock);
	return error;
}

static struct mp_service *named_service(uint32_t interval_ms)
{
	struct service_setup make = { .loop = rig.loop, .name = "test", .linger_ms = RIG_LINGER_MS,
				      .resolve_ms = interval_ms };
	struct mp_service *service = service_create(&make, "tcp:host:80");

	assert_non_null(service);
	return service;
}

static int names_setup(void **state)
{
	resolver_function = fake_lookup;
	asked = 0;
	return setup(state);
}

/* A server that takes no connection and refuses none. */
struct dead_server {
	int listener, fillers[4];
	unsigned short port;
};

static void dead_open(struct dead_server *dead)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	dead->listener = tcp_listen(AF_INET, &dead->port);
	assert_true(dead->listener >= 0);
	assert_int_equal(listen(dead->listener, 0), 0);
	to.sin_port = htons(dead->port);
	for (int i = 0; i < 4; i++) {
		dead->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(dead->fillers[i], (struct sockaddr *)&to, sizeof(to)))
			assert_int_equal(errno, EINPROGRESS);
		/* Its queue has room for the first one. */
		await_connection(dead->listener);
	}
}

static void dead_close(struct dead_server *dead)
{
	for (int i = 0; i < 4; i++)
		close(dead->fillers[i]);
	close(dead->listener);
}

struct opening {
	struct mp_service *service;
	struct test_peer peer;
	bool is_open;
};

/* Opens until one open connects. */
static bool connects_at_last(void *context)
{
	struct opening *opening = context;

	if (opening->is_open && opening->peer.connected)
		return true;
	if (opening->is_open && !opening->peer.refused)
		return false;
	if (opening->is_open)
		peer_close(&opening->peer, MP_END_ABORT);
	opening->is_open = peer_open(&opening->peer, opening->service, NULL, 0) >= 0;
	return false;
}

/* A name that is down: the service is there, refuses, and works when the name does. */
static void name_comes_later(void **state)
{
	struct opening opening = { 0 };
	struct test_peer peer;
	unsigned short port;
	int listener = tcp_listen(AF_INET, &port), ret;

	(void)state;
	set_name(EAI_AGAIN);
	opening.service = named_service(0);
	ret = peer_open(&peer, opening.service, NULL, 0);
	assert_int_equal(ret, 0);
	rig_wait(&rig, peer_is_settled, &peer);
	assert_int_equal(peer.refused, MP_REASON_NOT_LISTENING);
	peer_close(&peer, MP_END_ABORT);
	/* A channel that comes right after that is refused without another look-up. */
	assert_int_equal(peer_open(&peer, opening.service, NULL, 0), -MP_REASON_NOT_LISTENING);
	assert_int_equal(asked, 1);
	set_name(0);
	add_address(AF_INET, port);
	rig_wait(&rig, connects_at_last, &opening);
	peer_close(&opening.peer, MP_END_WHOLE);
	service_destroy(opening.service);
	close(listener);
}

/* While a look-up takes its time, the loop runs on and opens wait. */
static void slow_lookup_holds_nobody(void **state)
{
	struct mp_service *service;
	struct test_peer peer, given_up;
	unsigned short port;
	int listener = tcp_listen(AF_INET, &port);

	(void)state;
	set_hanging(true);
	set_name(0);
	add_address(AF_INET, port);
	service = named_service(0);
	assert_int_equal(peer_open(&peer, service, NULL, 0), 0);
	assert_int_equal(peer_open(&given_up, service, NULL, 0), 0);
	rig_rounds(&rig, 20);
	assert_false(peer_is_settled(&peer));
	peer_close(&given_up, MP_END_ABORT);
	set_hanging(false);
	rig_wait(&rig, peer_is_settled, &peer);
	assert_true(peer.connected);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
	close(listener);
	/* And one that is left alone. */
	set_hanging(true);
	service = named_service(0);
	service_destroy(service);
	set_hanging(false);
}

/* Addresses that do not answer cost a moment each; the one that did is the first next time. */
static void dead_addresses_cost_little(void **state)
{
	struct mp_service *service;
	struct dead_server dead;
	struct test_peer peer;
	unsigned short port;
	int listener = tcp_listen(AF_INET, &port), server;

	(void)state;
	dead_open(&dead);
	set_name(0);
	for (int i = 0; i < ADDRESSES_MAX - 1; i++)
		add_address(AF_INET, dead.port);
	add_address(AF_INET, port);
	service = named_service(0);
	assert_int_equal(peer_open(&peer, service, "hello", 5), 0);
	rig_wait(&rig, peer_is_settled, &peer);
	assert_true(peer.connected);
	server = accept(listener, NULL, NULL);
	rig_wait(&rig, peer_has_written, &peer);
	check_both_ways(&peer, server);
	peer_close(&peer, MP_END_WHOLE);
	/* Now the first of the list would answer at once. */
	dead_close(&dead);
	peer_open(&peer, service, NULL, 0);
	rig_wait(&rig, peer_is_settled, &peer);
	assert_true(peer.connected);
	await_connection(listener);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	close(server);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
	close(listener);
}

/* One family that is dead does not keep the other waiting, however many addresses it has. */
static void families_take_turns(void **state)
{
	struct mp_service *service;
	struct dead_server dead;
	struct test_peer peer;
	unsigned short port;
	int listener = tcp_listen(AF_INET6, &port);

	(void)state;
	if (listener < 0)
		skip();
	dead_open(&dead);
	set_name(0);
	for (int i = 0; i < ADDRESSES_MAX + 2; i++)
		add_address(AF_INET, dead.port);
	add_address(AF_INET6, port);
	service = named_service(0);
	assert_int_equal(peer_open(&peer, service, NULL, 0), 0);
	rig_wait(&rig, peer_is_settled, &peer);
	assert_true(peer.connected);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
	dead_close(&dead);
	close(listener);
}

/* A server that has moved is found: after a failure, and by looking now and then. */
static void name_can_move(void **state)
{
	struct opening opening = { 0 };
	unsigned short old_port, port;
	int bound = tcp_bind(AF_INET, &old_port, 0), listener;
	struct test_peer peer;

	(void)state;
	set_name(0);
	add_address(AF_INET, old_port);
	opening.service = named_service(0);
	assert_int_equal(peer_open(&peer, opening.service, NULL, 0), 0);
	rig_wait(&rig, peer_is_settled, &peer);
	assert_int_equal(peer.refused, MP_REASON_NOT_LISTENING);
	peer_close(&peer, MP_END_ABORT);
	listener = tcp_listen(AF_INET, &port);
	set_name(0);
	add_address(AF_INET, port);
	rig_wait(&rig, connects_at_last, &opening);
	peer_close(&opening.peer, MP_END_WHOLE);
	service_destroy(opening.service);
	close(listener);
	close(bound);
}

static bool was_asked_often(void *context)
{
	(void)context;
	return asked >= 5;
}

static void name_is_looked_up_now_and_then(void **state)
{
	struct mp_service *service;

	(void)state;
	set_name(0);
	add_address(AF_INET, 1);
	service = named_service(5);
	rig_wait(&rig, was_asked_often, NULL);
	service_destroy(service);
}

/* --- Many channels that wait for one look-up ------------------------------- */

#define MANY 300

static struct test_peer many[MANY];
static int most_in_a_round, settled_before;

static int count_settled(void)
{
	int count = 0;

	for (int i = 0; i < MANY; i++)
		count += many[i].connected || many[i].refused;
	return count;
}

static bool all_are_settled(void *context)
{
	(void)context;
	return count_settled() == MANY;
}

/* Queues itself: once a round. */
static void look_at_round(struct loop_task *task)
{
	int count = count_settled();

	if (count - settled_before > most_in_a_round)
		most_in_a_round = count - settled_before;
	settled_before = count;
	loop_task_queue(task);
}

/* The end of a look-up is not one long callback, whatever it says. */
static void many_wait_for_a_name(void **state)
{
	struct mp_service *service;
	struct loop_task rounds;

	(void)state;
	set_name(EAI_NONAME);
	set_hanging(true);
	service = named_service(0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(peer_open(&many[i], service, NULL, 0), 0);
	most_in_a_round = settled_before = 0;
	loop_task_init(rig.loop, &rounds, look_at_round);
	loop_task_queue(&rounds);
	set_hanging(false);
	rig_wait(&rig, all_are_settled, NULL);
	loop_task_cancel(&rounds);
	assert_true(most_in_a_round <= 32);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(many[i].refused, MP_REASON_NOT_LISTENING);
		peer_close(&many[i], MP_END_ABORT);
	}
	service_destroy(service);
}

/* Answers, but takes its time. */
static int slow_lookup(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **result)
{
	usleep(500 * 1000);
	return fake_lookup(host, port, hints, result);
}

/* A look at the configuration says so, is no failure, and takes no long time. */
static void check_warns_of_names(void **state)
{
	struct service_setup make = { .loop = rig.loop, .name = "test", .check_only = true };
	struct mp_service *service;
	int answered = 0;

	(void)state;
	set_name(EAI_NONAME);
	service = service_create(&make, "tcp:host:80");
	assert_non_null(service);
	assert_non_null(strstr(make.warning, "cannot resolve host"));
	service_destroy(service);
	/*
	 * Many that answer late: all together they are given 3 s, in which six answer, or some more
	 * whose answer is there before it is waited for.
	 */
	resolver_function = slow_lookup;
	rig_clock_is_real = true;
	set_name(0);
	for (int i = 0; i < 20; i++) {
		make.warning[0] = '\0';
		service_destroy(service_create(&make, "tcp:host:80"));
		answered += !make.warning[0];
	}
	rig_clock_is_real = false;
	assert_in_range(answered, 0, 12);
	resolver_function = fake_lookup;
	/* One that does not answer, and one after it. */
	set_hanging(true);
	for (int i = 0; i < 2; i++) {
		service = service_create(&make, "tcp:host:80");
		assert_non_null(service);
		assert_true(make.warning[0]);
		service_destroy(service);
	}
	set_hanging(false);
}

#define names_test(test) cmocka_unit_test_setup_teardown(test, names_setup, names_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tcp_both_ways, setup, names_teardown),
		socket_test(tcp_abort_resets),
		socket_test(tcp_wrong_forms),
		names_test(name_comes_later),
		names_test(slow_lookup_holds_nobody),
		names_test(dead_addresses_cost_little),
		names_test(families_take_turns),
		names_test(name_can_move),
		names_test(name_is_looked_up_now_and_then),
		names_test(many_wait_for_a_name),
		names_test(check_warns_of_names),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
