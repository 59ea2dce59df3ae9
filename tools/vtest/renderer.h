/* SPDX-License-Identifier: MIT */
/* A vtest renderer: a program that is started for one client, or a server that listens already. */
#ifndef RENDERER_H
#define RENDERER_H

#include <stdbool.h>
#include <sys/types.h>

#define RENDERER_DEFAULT "virgl_test_server"

struct renderer {
	int fd;			/* the connection to it */
	pid_t pid;		/* 0: not ours */
	int pidfd;
	int words;		/* a pipe of its standard error, for a line when it ends badly */
	bool is_stopped;
};

/*
 * What a renderer says of each client would spend the log's limit, so no word of one that ends well
 * is passed on. A full pipe takes no more, and holds up no renderer.
 *
 * @command is a virgl_test_server and its options, with room for two more words and a NULL. It ends
 * with its client, and is killed with this process. Returns 0, or -1 when it has been said what is
 * wrong.
 */
int renderer_start(struct renderer *renderer, char **command, int count);
int renderer_connect(struct renderer *renderer, const char *path);
/* Ends the program, whatever it does; renderer_end() finds that good. */
void renderer_stop(struct renderer *renderer);
/*
 * Ends the connection and waits for the program's end. A program that stays is told to end, and
 * then killed. Returns NULL when it ended well, or what was wrong.
 */
const char *renderer_end(struct renderer *renderer);

#endif
