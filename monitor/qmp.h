/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP, the monitor for programs: JSON objects both ways. */
#ifndef FERRY_MONITOR_QMP_H
#define FERRY_MONITOR_QMP_H

#include "monitor/session.h"

extern const SessionFront qmp_front;

/* The line that announces an event.  Takes data. */
char *qmp_event_line(const char *event, JsonObject *data, int64_t now_us);

#endif
