/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The events that QMP clients can get. */
#ifndef FERRY_MONITOR_EVENTS_H
#define FERRY_MONITOR_EVENTS_H

#include <stddef.h>

#include "monitor/shape.h"

typedef struct EventType {
    const char *name;
    Member data[3]; /* ends with a NULL name */
} EventType;

const EventType *event_table(size_t *count);
const EventType *event_find(const char *name); /* NULL: none such */

/* A MonShutdown's name in QMP; NULL past the last. */
const char *event_shutdown_reason(unsigned index);

#endif
