/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of events, in the order in which query-events lists them. */
#include "monitor/events.h"

#include "monitor/commands.h"

static const EventType events[] = {
    {
        .name = "MIGRATION",
        .data = { { "status", KIND_ENUM, .value = migration_status_name } },
    },
    {
        .name = "MIGRATION_PASS",
        .data = { { "pass", KIND_UINT } },
    },
    { .name = "RESUME" },
    { .name = "SHUTDOWN" },
    { .name = "STOP" },
};

const EventType *event_table(size_t *count)
{
    *count = G_N_ELEMENTS(events);
    return events;
}

const EventType *event_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(events); i++) {
        if (g_str_equal(events[i].name, name)) {
            return &events[i];
        }
    }
    return NULL;
}
