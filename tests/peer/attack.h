/* SPDX-License-Identifier: MIT */
/*
 * A table of named attacks. Each has a connection, and a process, of its own.
 *
 * ATTACK(name, stage) defines one; it begins where an honest driver would be
 * at @stage, and passes by returning. What it demands of the daemon it checks
 * itself (peer_expect_closed() and the like); that the daemon lives, serves the next
 * one and has leaked nothing is checked after each by bad_guest.c.
 */
#ifndef PEER_ATTACK_H
#define PEER_ATTACK_H

#include <sys/types.h>

#include "driver.h"

enum attack_stage {
	AT_SOCKET,		/* connected, nothing said */
	AT_SESSION,		/* features negotiated, memory shared */
	AT_PORT,		/* all rings run, the port is ready */
	AT_CHANNEL,		/* slot 0 is connected to "echo" */
};

struct attack {
	const char *file, *name;
	enum attack_stage stage;
	void (*run)(struct driver *d);
	struct attack *next;
};

void attack_register(struct attack *attack);

#define ATTACK(attack_name, attack_stage)						\
	static void attack_##attack_name(struct driver *d);				\
	static struct attack entry_##attack_name = {					\
		.file = __FILE__, .name = #attack_name, .stage = attack_stage,		\
		.run = attack_##attack_name,						\
	};										\
	static void __attribute__((constructor)) register_##attack_name(void)		\
	{										\
		attack_register(&entry_##attack_name);					\
	}										\
	static void attack_##attack_name(struct driver *d)

/* The daemon, or 0: not known. */
extern pid_t daemon_pid;

/*
 * The raw material of attacks on the rings: a complete WRITE of 5 bytes to the
 * channel in slot 0, in descriptors FIRST to FIRST + 2 of the transmit queue,
 * which an honest driver never reaches. To be spoilt, and shown.
 */
#define FIRST 200
void attack_put_write(struct driver *d);
/* Makes @head visible in the transmit queue and kicks; the second expects the device to break. */
void attack_show(struct driver *d, uint16_t head);
void attack_show_and_break(struct driver *d, uint16_t head);

/* xorshift: the same seed is the same attack. */
struct random {
	uint64_t state;
};
static inline uint64_t random_next(struct random *random)
{
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return random->state;
}
static inline uint32_t random_below(struct random *random, uint32_t bound)
{
	return (random_next(random) >> 16) % bound;
}

/* attack_random.c: anything, from a driver at AT_CHANNEL. */
void attack_randomly(struct driver *d, uint64_t seed);

#endif
