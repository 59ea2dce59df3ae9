// SPDX-License-Identifier: MIT
#include "daemon/former.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/record.h"
#include "daemon/config.h"
#include "service/registry.h"

#define KINDS_MAX	16
#define TITLE_SIZE	256
#define FRAME_SERVICE	0x5356

struct former {
	struct loop *loop;
	const struct config *config;
	struct mp_service *services[KINDS_MAX];		/* one of a kind */
	unsigned int count;
};

struct former *former_create(struct loop *loop, const struct config *config)
{
	struct former *former = calloc(1, sizeof(*former));

	if (!former)
		return NULL;
	former->loop = loop;
	former->config = config;
	return former;
}

void former_destroy(struct former *former)
{
	if (!former)
		return;
	while (former->count)
		service_destroy(former->services[--former->count]);
	free(former);
}

struct mp_service *former_service(struct former *former, const char *kind)
{
	const struct config_guest *guest = &former->config->guest;
	struct service_setup setup = {
		.loop = former->loop, .name = "of before the restart",
		.linger_ms = guest->linger_ms, .exit_ms = guest->exit_ms,
	};
	struct mp_service *service;

	for (unsigned int i = 0; i < former->count; i++)
		if (!strcmp(former->services[i]->kind, kind))
			return former->services[i];
	if (former->count == KINDS_MAX)
		return NULL;
	service = service_create_former(&setup, kind);
	if (service)
		former->services[former->count++] = service;
	else
		log_warning("a stream cannot go on: %s", setup.error);
	return service;
}

int former_restore(struct former *former, struct mp_service *service, const char *kind,
		   struct mp_peer *peer, struct record *record, struct mp_stream **stream)
{
	bool is_own = service && service->kind && !strcmp(service->kind, kind);
	int ret;

	if (!is_own)
		service = former ? former_service(former, kind) : NULL;
	if (!service || !service->ops->restore)
		return -MP_REASON_RESET;
	ret = service->ops->restore(service, peer, record, stream);
	if (ret || is_own)
		return ret;
	/* What was under way leads nowhere. */
	(*stream)->ops->close(*stream, MP_END_ABORT, NULL);
	*stream = NULL;
	return -MP_REASON_NOT_LISTENING;
}

/* --- Services ------------------------------------------------------------------- */

static void save(struct mp_service *service, const char *title, struct record *record)
{
	char text[TITLE_SIZE], kind[MP_KIND_SIZE];

	if (!service || !service->ops->hand_over)
		return;
	snprintf(text, sizeof(text), "%s", title);
	snprintf(kind, sizeof(kind), "%s", service->kind);
	record_begin(record, FRAME_SERVICE);
	record_text(record, text, sizeof(text));
	record_text(record, kind, sizeof(kind));
	service->ops->hand_over(service, record);
	record_end(record);
}

static void restore(struct former *former, struct record *record)
{
	char title[TITLE_SIZE] = "", kind[MP_KIND_SIZE] = "";
	const struct config_service *found;
	struct mp_service *service = NULL;

	record_text(record, title, sizeof(title));
	record_text(record, kind, sizeof(kind));
	found = config_find_service(former->config, title);
	if (found)
		service = found->service;
	if (!service || strcmp(service->kind, kind))
		service = former_service(former, kind);
	if (service && service->ops->hand_over)
		service->ops->hand_over(service, record);
}

void former_hand_over(struct former *former, struct record *record)
{
	const struct config *config = former->config;

	while (record_is_reading(record) && record_begin(record, FRAME_SERVICE)) {
		restore(former, record);
		record_end(record);
	}
	if (record_is_reading(record))
		return;
	for (int i = 0; i < config->service_count; i++)
		save(config->services[i]->service, config->services[i]->item.title, record);
	for (unsigned int i = 0; i < former->count; i++)
		save(former->services[i], "", record);
}
