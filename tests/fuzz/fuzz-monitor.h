/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_FUZZ_MONITOR_H
#define TESTS_FUZZ_MONITOR_H

#include "ferry/monitor.h"

/* A client that sends these bytes to a machine that pretends, and goes. */
void fuzz_monitor(MonKind kind, const uint8_t *data, size_t size);

#endif
