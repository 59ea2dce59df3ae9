// SPDX-License-Identifier: MIT
#include "keep/closer.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FINISH_S	1

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* Guarded by the lock. The first one is being closed. */
static bool runs;
static int queue[CLOSER_SIZE];
static unsigned int first, count;

static void *close_all(void *nothing)
{
	pthread_mutex_lock(&lock);
	for (;;) {
		int fd;

		while (!count)
			pthread_cond_wait(&changed, &lock);
		fd = queue[first];
		pthread_mutex_unlock(&lock);
		close(fd);
		pthread_mutex_lock(&lock);
		first = (first + 1) % CLOSER_SIZE;
		count--;
		pthread_cond_broadcast(&changed);
	}
	return nothing;
}

int closer_start(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, close_all, NULL);

	if (error)
		return -error;
	pthread_detach(thread);
	pthread_mutex_lock(&lock);
	runs = true;
	pthread_mutex_unlock(&lock);
	return 0;
}

unsigned int closer_room(void)
{
	unsigned int room;

	pthread_mutex_lock(&lock);
	room = CLOSER_SIZE - count;
	pthread_mutex_unlock(&lock);
	return room;
}

void closer_close(int fd)
{
	/*
	 * A program that is started just then has a copy, whose close at execve() may be the last:
	 * it would wait there. So no socket lingers.
	 */
	const struct linger none = { .l_onoff = 0 };
	bool is_taken;

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	pthread_mutex_lock(&lock);
	is_taken = runs && count < CLOSER_SIZE;
	if (is_taken)
		queue[(first + count++) % CLOSER_SIZE] = fd;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	if (!is_taken)
		close(fd);
}

void closer_finish(void)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += FINISH_S;
	pthread_mutex_lock(&lock);
	while (count && !pthread_cond_clockwait(&changed, &lock, CLOCK_MONOTONIC, &end))
		;
	pthread_mutex_unlock(&lock);
}
