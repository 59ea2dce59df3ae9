/* SPDX-License-Identifier: MIT */
/* Modules. */
#ifndef STANDIN_MODULE_H
#define STANDIN_MODULE_H

struct module;
#define THIS_MODULE ((struct module *)NULL)

/* Parameters are variables; a test has each from standin_param_NAME(). */
#define module_param(name, type, mode)			\
	type *standin_param_##name(void);		\
	type *standin_param_##name(void) { return &name; }
#define module_param_named(name, variable, type, mode)
#define MODULE_PARM_DESC(name, text)

#endif
