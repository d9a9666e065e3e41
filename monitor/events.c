/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of events, in the order in which query-events lists them. */
#include "monitor/events.h"

#include "monitor/commands.h"

static const char *const shutdown_reasons[] = {
    [MON_SHUTDOWN_QUIT] = "host-qmp-quit",
    [MON_SHUTDOWN_SIGNAL] = "host-signal",
    [MON_SHUTDOWN_GUEST] = "guest-shutdown",
};

const char *event_shutdown_reason(unsigned index)
{
    return index < G_N_ELEMENTS(shutdown_reasons) ? shutdown_reasons[index]
                                                  : NULL;
}

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
    {
        .name = "SHUTDOWN",
        .data = { { "guest", KIND_BOOL },
                  { "reason", KIND_ENUM, .value = event_shutdown_reason } },
    },
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
