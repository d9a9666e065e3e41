/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends a test that hangs, and says in which of its many cases. */
#ifndef TESTS_WATCHDOG_H
#define TESTS_WATCHDOG_H

#include <glib.h>

typedef struct Watchdog Watchdog;

Watchdog *watchdog_new(void);
/* A new case begins, and has a minute. */
void watchdog_feed(Watchdog *dog, const char *format, ...)
    G_GNUC_PRINTF(2, 3);
void watchdog_free(Watchdog *dog);

#endif
