/* SPDX-License-Identifier: MIT */
/* The device node of manyport serve: the contract of the module's, as far as CUSE carries it. */
#ifndef SERVE_NODE_H
#define SERVE_NODE_H

#include "server.h"

struct node;

/*
 * Makes /dev/NAME. Complains itself, and returns 0 or -errno: -ENODEV, the kernel has no CUSE.
 */
int serve_node_open(struct serve *serve, const char *name, struct node **node);
/* Accepts NULL. Before the clients and the loop end. */
void serve_node_close(struct node *node);

#endif
