/* SPDX-License-Identifier: MIT */
/* Directions of a shutdown. */
#ifndef STANDIN_NET_H
#define STANDIN_NET_H

#include <sys/socket.h>

#endif
