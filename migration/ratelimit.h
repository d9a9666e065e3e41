/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeping to max-bandwidth. */
#ifndef MIGRATION_RATELIMIT_H
#define MIGRATION_RATELIMIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/clock.h"

typedef struct RateLimit RateLimit;

/* rate in bytes/s, 0: none.  The clock must outlive it. */
RateLimit *ratelimit_new(const Clock *clock, uint64_t rate);
void ratelimit_free(RateLimit *limit);

/* Any thread. */
void ratelimit_set(RateLimit *limit, uint64_t rate);
uint64_t ratelimit_get(RateLimit *limit);

/* Any thread.  Every wait, also one in progress, fails from now on with
 * MIG_ERROR_CANCELLED. */
void ratelimit_cancel(RateLimit *limit);

/* Wait until that many bytes may be sent; by the thread that writes.  A
 * StreamPacer. */
bool ratelimit_wait(void *limit, size_t bytes, GError **errp);

#endif
