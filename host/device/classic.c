// SPDX-License-Identifier: MIT
#include "device/internal.h"
void classic_serve(struct queue *queue) { (void)queue; }
void classic_start(struct port *port) { (void)port; }
void classic_set_guest_open(struct port *port, bool is_open) { (void)port; (void)is_open; }
void classic_reset(struct port *port) { (void)port; }
void classic_connected(struct channel *channel) { (void)channel; }
void classic_gone(struct channel *channel) { (void)channel; }
void classic_readable(struct channel *channel) { (void)channel; }
void classic_writable(struct channel *channel) { (void)channel; }
