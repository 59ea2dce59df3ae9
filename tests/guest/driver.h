/* SPDX-License-Identifier: MIT */
/*
 * The module and its device: parameters, unbinding, binding. Every call ends the test when it
 * fails.
 */
#ifndef GUEST_DRIVER_H
#define GUEST_DRIVER_H

void parameter_set(const char *name, const char *value);
/* The text without its newline, valid until the next call. */
const char *parameter_get(const char *name);

/* The driver lets go of its device, which is then gone for all its users. */
void driver_unbind(void);
/* It takes the device again that it let go last. Returns 0 or errno. */
int driver_bind(void);
/* Waits until the port "multi" is there. */
void driver_await_ports(void);

#endif
