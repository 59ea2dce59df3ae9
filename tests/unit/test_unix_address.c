// SPDX-License-Identifier: MIT
/* Listening on the path of a unix socket: what is taken over, what is left alone. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/unix_address.h"

#define STARTERS 20

static char dir[] = "/tmp/manyport-unix.XXXXXX";
static char path[64];

static const struct unix_access own = UNIX_ACCESS(0600);

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char target[80];

	(void)state;
	snprintf(target, sizeof(target), "%s/target", dir);
	unlink(target);
	if (unlink(path))
		rmdir(path);	/* already gone, or a directory */
	return rmdir(dir);
}

static int try_connect(const char *to)
{
	struct sockaddr_un address;
	socklen_t len;
	int ret, fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(unix_address_set(&address, &len, to), 0);
	ret = connect(fd, (struct sockaddr *)&address, len) ? -errno : 0;
	close(fd);
	return ret;
}

/* What stands at the path cannot be listened on, and is afterwards as it was. */
static void is_left_alone(int error)
{
	struct unix_listener listener;
	struct stat before, after;

	assert_int_equal(lstat(path, &before), 0);
	assert_int_equal(unix_listener_open(&listener, path, &own), error);
	assert_int_equal(listener.fd, -1);
	unix_listener_close(&listener);
	assert_int_equal(lstat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(before.st_size, after.st_size);
}

static void other_files_are_left_alone(void **state)
{
	char target[80];
	struct unix_listener live;
	int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);

	(void)state;
	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	is_left_alone(-EEXIST);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	is_left_alone(-EEXIST);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	is_left_alone(-EEXIST);
	rmdir(path);
	snprintf(target, sizeof(target), "%s/target", dir);
	assert_int_equal(symlink(target, path), 0);
	is_left_alone(-EEXIST);
	assert_int_equal(access(target, F_OK), -1);
	/* The link's end is a socket with a listener, then one without. */
	assert_int_equal(unix_listener_open(&live, target, &own), 0);
	is_left_alone(-EEXIST);
	assert_int_equal(try_connect(target), 0);
	close(live.fd);
	is_left_alone(-EEXIST);
}

/* A listener whose backlog is full lets no client connect, and is not dead. */
static void listeners_are_left_alone(void **state)
{
	struct sockaddr_un address;
	socklen_t len;
	int waiting, fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(unix_address_set(&address, &len, path), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fd, 0), 0);
	is_left_alone(-EADDRINUSE);
	waiting = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	while (!connect(waiting, (struct sockaddr *)&address, len))
		waiting = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(errno, EAGAIN);
	is_left_alone(-EADDRINUSE);
	close(fd);
}

static void a_dead_socket_is_replaced(void **state)
{
	struct unix_listener listener, again;

	(void)state;
	assert_int_equal(unix_listener_open(&listener, path, &own), 0);
	assert_true(unix_listener_is_there(&listener));
	assert_int_equal(try_connect(path), 0);
	close(listener.fd);	/* as a process that was killed */
	assert_int_equal(try_connect(path), -ECONNREFUSED);
	assert_int_equal(unix_listener_open(&again, path, &own), 0);
	assert_int_equal(try_connect(path), 0);
	unix_listener_close(&again);
	assert_int_equal(access(path, F_OK), -1);
}

/* A program that removed the file and listens there keeps its own. */
static void the_end_removes_only_its_own(void **state)
{
	struct unix_listener listener, other;

	(void)state;
	assert_int_equal(unix_listener_open(&listener, path, &own), 0);
	assert_int_equal(unlink(path), 0);
	assert_false(unix_listener_is_there(&listener));
	assert_int_equal(unix_listener_open(&other, path, &own), 0);
	assert_false(unix_listener_is_there(&listener));
	unix_listener_close(&listener);
	assert_int_equal(try_connect(path), 0);
	unix_listener_close(&other);
	assert_int_equal(access(path, F_OK), -1);
}

/* Each starter tells whether it listens, and stays until all have told. */
static void starter(int told, int go)
{
	struct unix_listener listener;
	char result = unix_listener_open(&listener, path, &own) ? 'n' : 'y';
	char byte;

	if (write(told, &result, 1) != 1 || read(go, &byte, 1) != 0)
		_exit(1);
	_exit(0);
}

/* Of many that start at once over a dead socket exactly one listens. */
static void one_of_many_wins(void **state)
{
	struct unix_listener dead;
	int told[2], go[2], winners = 0;
	char result;

	(void)state;
	assert_int_equal(unix_listener_open(&dead, path, &own), 0);
	close(dead.fd);
	assert_int_equal(pipe(told) | pipe(go), 0);
	for (int i = 0; i < STARTERS; i++) {
		if (fork())
			continue;
		close(go[1]);
		starter(told[1], go[0]);
	}
	for (int i = 0; i < STARTERS; i++) {
		assert_int_equal(read(told[0], &result, 1), 1);
		winners += result == 'y';
	}
	assert_int_equal(winners, 1);
	assert_int_equal(try_connect(path), 0);
	close(go[1]);
	while (wait(NULL) > 0)
		;
	close(go[0]);
	close(told[0]);
	close(told[1]);
}

static void lengths_are_checked(void **state)
{
	struct unix_listener listener;
	char name[301];

	(void)state;
	memset(name, 'x', sizeof(name));
	for (int i = 0; i < 2; i++) {
		/* In a directory that is there, and as an abstract name. */
		memcpy(name, i ? "@" : dir, i ? 1 : strlen(dir));
		if (!i)
			name[strlen(dir)] = '/';
		name[107] = 0;
		assert_int_equal(unix_listener_open(&listener, name, &own), 0);
		assert_true(unix_listener_is_there(&listener));
		unix_listener_close(&listener);
		name[107] = 'x';
		name[108] = 0;
		assert_int_equal(unix_listener_open(&listener, name, &own), -ENAMETOOLONG);
		name[108] = 'x';
		name[300] = 0;
		assert_int_equal(unix_listener_open(&listener, name, &own), -ENAMETOOLONG);
	}
	assert_int_equal(unix_listener_open(&listener, "", &own), -EINVAL);
	assert_int_equal(unix_listener_open(&listener, "@", &own), -EINVAL);
	snprintf(name, sizeof(name), "%s/no/s", dir);
	assert_int_equal(unix_listener_open(&listener, name, &own), -ENOENT);
}

static void the_file_has_its_access(void **state)
{
	struct unix_access access = UNIX_ACCESS(0660);
	char text[128] = "/a,b=/s,x,mode=0640,group=7,owner=3";
	struct unix_listener listener;
	const char *bad;
	struct stat st;

	(void)state;
	assert_int_equal(unix_access_cut(&access, text, &bad), 0);
	assert_string_equal(text, "/a,b=/s,x");
	assert_int_equal(access.mode, 0640);
	assert_int_equal(access.owner, 3);
	assert_int_equal(access.group, 7);
	assert_int_equal(unix_access_set(&access, "group=root"), 0);
	assert_int_equal(access.group, 0);
	assert_int_equal(unix_access_set(&access, "owner=root"), 0);
	assert_int_equal(access.owner, 0);
	if (geteuid())
		skip();
	access.group = 7;
	assert_int_equal(unix_listener_open(&listener, path, &access), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 7);
	unix_listener_close(&listener);
}

static void wrong_access_is_refused(void **state)
{
	static const char *const wrong[] = {
		"mode=", "mode=9", "mode=1777", "mode=40000000660", "mode=0660x", "mode=-1",
		"owner=", "owner=4294967295", "owner=99999999999999999999", "group=", "user=me",
		"x=",
	};
	struct unix_access access = UNIX_ACCESS(0600);
	const char *bad;
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "/s,%s", wrong[i]);
		assert_int_equal(unix_access_cut(&access, text, &bad), -EINVAL);
		assert_string_equal(bad, wrong[i]);
	}
	assert_int_equal(unix_access_set(&access, "owner=no such user"), -ENOENT);
	assert_int_equal(unix_access_set(&access, "group=no such group"), -ENOENT);
}

/* Of an earlier process: its clients wait in it, and its file is removed by who has it last. */
static void a_listener_of_before(void **state)
{
	struct unix_listener first, second;
	int fd, client;

	(void)state;
	assert_int_equal(unix_listener_open(&first, path, &own), 0);
	fd = dup(first.fd);
	/* One that is open here is known. */
	assert_false(unix_listeners_adopt(fd));
	close(fd);
	unix_listeners_hold();
	fd = fcntl(first.fd, F_DUPFD_CLOEXEC, 100);
	unix_listener_close(&first);
	/* Nor is one that this process holds anyway taken twice. */
	assert_false(unix_listeners_adopt(fd));
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_false(unix_listeners_adopt(client));
	assert_int_equal(connect(client, (void *)&first.address, sizeof(first.address)), 0);
	assert_int_equal(unix_listener_open(&second, path, &own), 0);
	assert_true(second.fd >= 0 && second.fd != fd);
	close(fd);
	fd = accept(second.fd, NULL, NULL);
	assert_true(fd >= 0);
	close(fd);
	close(client);
	unix_listeners_forget();
	unix_listener_close(&second);
	assert_int_equal(access(path, F_OK), -1);
}

/* In a process that knows nothing of it. */
static void a_listener_is_adopted(void **state)
{
	struct sockaddr_un address;
	struct unix_listener listener;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len;

	(void)state;
	assert_int_equal(unix_address_set(&address, &len, path), 0);
	assert_int_equal(bind(fd, (void *)&address, len), 0);
	assert_false(unix_listeners_adopt(fd));
	assert_int_equal(listen(fd, 1), 0);
	assert_true(unix_listeners_adopt(fd));
	assert_int_equal(unix_listener_open(&listener, path, &own), 0);
	assert_int_equal(listener.fd, fd);
	unix_listeners_forget();
	unix_listener_close(&listener);
	assert_int_equal(access(path, F_OK), -1);
	/* Without its file it is of no use, and is left to the caller. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (void *)&address, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(unlink(path), 0);
	assert_false(unix_listeners_adopt(fd));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_listener_is_adopted, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_listener_of_before, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(other_files_are_left_alone, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(listeners_are_left_alone, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_dead_socket_is_replaced, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(the_end_removes_only_its_own, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(one_of_many_wins, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(lengths_are_checked, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(the_file_has_its_access, make_dir, remove_dir),
		cmocka_unit_test(wrong_access_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
