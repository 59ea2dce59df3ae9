// SPDX-License-Identifier: MIT
/* unix-listen: with real clients. */
#include "socket_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct mp_service *listen_service(const char *path, const char *option)
{
	char uri[160];

	snprintf(uri, sizeof(uri), "unix-listen:%s%s", path, option);
	return rig_service(&rig, uri);
}

/* Channels get clients in the order in which they were opened. */
static void listen_serves_in_order(void **state)
{
	char path[128], bytes[8];
	struct mp_service *service;
	struct test_peer peers[3];
	struct stat st;
	int clients[3];

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	service = listen_service(path, ",mode=0600");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (int i = 0; i < 3; i++)
		assert_int_equal(peer_open(&peers[i], service, i ? "two" : "one", 3), 0);
	peer_close(&peers[1], MP_END_ABORT);
	for (int i = 0; i < 3; i++)
		clients[i] = connect_to(path);
	rig_wait(&rig, peer_is_settled, &peers[2]);
	assert_true(peers[0].connected && peers[2].connected);
	assert_int_equal(read(clients[0], bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "one", 3);
	assert_int_equal(read(clients[1], bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "two", 3);
	/* The third client waits for a channel, and is there at once for it. */
	rig_rounds(&rig, 5);
	assert_int_equal(recv(clients[2], bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	assert_int_equal(peer_open(&peers[1], service, "new", 3), 1);
	assert_int_equal(read(clients[2], bytes, sizeof(bytes)), 3);
	for (int i = 0; i < 3; i++)
		peer_close(&peers[i], MP_END_WHOLE);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read(clients[i], bytes, sizeof(bytes)), 0);
		close(clients[i]);
	}
	service_destroy(service);
	assert_int_equal(stat(path, &st), -1);
}

static bool peer_has_five(void *context)
{
	return ((struct test_peer *)context)->in_len == 5;
}

static void give_back(struct test_peer *peer)
{
	peer->stream->ops->unused(peer->stream);
	peer_close(peer, true);
}

/* A channel that goes before a byte was moved leaves its client to the next. */
static void listen_gives_an_unused_client_away(void **state)
{
	char path[128], bytes[8];
	struct mp_service *service;
	struct test_peer peers[4];
	int clients[4];

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	service = listen_service(path, "");
	assert_int_equal(peer_open(&peers[0], service, "", 0), 0);
	peers[0].deaf = true;
	for (int i = 0; i < 2; i++)
		clients[i] = connect_to(path);
	assert_int_equal(write(clients[0], "first", 5), 5);
	rig_wait(&rig, peer_is_settled, &peers[0]);
	give_back(&peers[0]);
	/* It is served before the one in the backlog, with what it said. */
	assert_int_equal(peer_open(&peers[1], service, "one", 3), 1);
	assert_int_equal(read(clients[0], bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "one", 3);
	rig_wait(&rig, peer_has_five, &peers[1]);
	assert_memory_equal(peers[1].in, "first", 5);
	assert_int_equal(peer_open(&peers[2], service, "two", 3), 1);
	assert_int_equal(read(clients[1], bytes, sizeof(bytes)), 3);
	/* To a channel that waits already, from the loop. */
	assert_int_equal(peer_open(&peers[3], service, "", 0), 0);
	clients[2] = connect_to(path);
	rig_wait(&rig, peer_is_settled, &peers[3]);
	assert_int_equal(peer_open(&peers[0], service, "last", 4), 0);
	give_back(&peers[3]);
	rig_wait(&rig, peer_is_settled, &peers[0]);
	assert_int_equal(read(clients[2], bytes, sizeof(bytes)), 4);
	assert_memory_equal(bytes, "last", 4);
	/* A client that no channel takes is closed with the service. */
	assert_int_equal(peer_open(&peers[3], service, "", 0), 0);
	clients[3] = connect_to(path);
	rig_wait(&rig, peer_is_settled, &peers[3]);
	give_back(&peers[3]);
	for (int i = 0; i < 3; i++)
		peer_close(&peers[i], false);
	service_destroy(service);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(read(clients[i], bytes, sizeof(bytes)), 0);
		close(clients[i]);
	}
}

static void listen_takes_no_others_socket(void **state)
{
	struct service_setup make = { .loop = rig.loop, .name = "test" };
	char path[128], uri[160];
	struct mp_service *service;
	struct stat st;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	snprintf(uri, sizeof(uri), "unix-listen:%s", path);
	/* Another socket listens there. */
	fd = listen_at(path, 5);
	assert_null(service_create(&make, uri));
	assert_non_null(strstr(make.error, "listens there already"));
	/* It listens no more: the file is replaced. */
	close(fd);
	service = service_create(&make, uri);
	assert_non_null(service);
	/* A file that another program put in its place is left alone at the end. */
	unlink(path);
	fd = listen_at(path, 5);
	service_destroy(service);
	assert_int_equal(stat(path, &st), 0);
	close(fd);
	unlink(path);
	/* It is no socket. */
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_null(service_create(&make, uri));
	assert_int_equal(stat(path, &st), 0);
	unlink(path);
	/* A check touches nothing. */
	make.check_only = true;
	service = service_create(&make, uri);
	assert_non_null(service);
	assert_int_equal(stat(path, &st), -1);
	service_destroy(service);
}

static void listen_wrong_forms(void **state)
{
	static const char *const wrong[] = {
		"unix-listen:", "unix-listen:/x,mode=", "unix-listen:/x,mode=9",
		"unix-listen:/x,mode=1777", "unix-listen:/x,user=me",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct service_setup make = { .loop = rig.loop, .name = "test" };

		assert_null(service_create(&make, wrong[i]));
		assert_true(make.error[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		socket_test(listen_serves_in_order),
		socket_test(listen_gives_an_unused_client_away),
		socket_test(listen_takes_no_others_socket),
		socket_test(listen_wrong_forms),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
