/* SPDX-License-Identifier: MIT */
/* Modules. */
#ifndef STANDIN_MODULE_H
#define STANDIN_MODULE_H

struct module;
#define THIS_MODULE ((struct module *)NULL)

/* Parameters are variables. */
#define module_param(name, type, mode)
#define module_param_named(name, variable, type, mode)
#define MODULE_PARM_DESC(name, text)

#endif
