/* SPDX-License-Identifier: MIT */
/* A vtest renderer: a program that is started for one client, or a server that listens already. */
#ifndef RENDERER_H
#define RENDERER_H

#include <stdbool.h>
#include <sys/types.h>

struct renderer {
	int fd;			/* the connection to it */
	pid_t pid;		/* 0: not ours */
	bool is_stopped;
};

/*
 * @command is a virgl_test_server and its options, with room for two more words and a NULL. It ends
 * with its client, and is killed with this process. Returns 0, or -1 when it has been said what is
 * wrong.
 */
int renderer_start(struct renderer *renderer, char **command, int count);
int renderer_connect(struct renderer *renderer, const char *path);
/* Ends the program, whatever it does; renderer_end() says nothing of that. */
void renderer_stop(struct renderer *renderer);
/* Waits for the program's end. Returns 0 when it ended well, or -1 when that has been said. */
int renderer_end(struct renderer *renderer);

#endif
