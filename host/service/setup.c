// SPDX-License-Identifier: MIT
#include "service/setup.h"

#include <stdarg.h>
#include <stdio.h>

struct mp_service *service_fail(struct service_setup *setup, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(setup->error, sizeof(setup->error), format, args);
	va_end(args);
	return NULL;
}

void service_warn(struct service_setup *setup, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(setup->warning, sizeof(setup->warning), format, args);
	va_end(args);
}
