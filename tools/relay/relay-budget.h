/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all migrations of a relay have together: memory, and bytes a second on
 * the link.
 *
 * Each migration is a user.  Memory is promised when two relays meet, and taken
 * when pages come; what is left decides how much the next one gets.  The rate
 * is divided evenly among those that have lately written: a migration that
 * writes nothing leaves its share to the others.
 *
 * All functions may be called from any thread.
 */
#ifndef RELAY_BUDGET_H
#define RELAY_BUDGET_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include "util/clock.h"

/* A user that has not written for so long has no share of the rate. */
#define BUDGET_LATELY_NS (200 * NS_PER_MS)

typedef struct BudgetConfig {
    uint64_t memory; /* bytes; 0: no limit */
    uint64_t rate;   /* bytes a second; 0: no limit */
    const Clock *clock;
} BudgetConfig;

typedef struct Budget Budget;
typedef struct BudgetUser BudgetUser;

Budget *budget_new(const BudgetConfig *config);
void budget_free(Budget *budget); /* without users; NULL is fine */

BudgetUser *budget_join(Budget *budget);
void budget_leave(BudgetUser *user); /* gives everything back; NULL is fine */

/* Promise the user so many pieces of memory, or as many as are left; returns
 * how many.  Instead of what was promised before. */
unsigned budget_promise(BudgetUser *user, unsigned pieces, size_t piece);

/* The same for what a link keeps, besides: as many bytes as may be, from least
 * to most.  No more than a quarter of what is left, so that histories have
 * some, but always the least. */
size_t budget_promise_line(BudgetUser *user, size_t least, size_t most);

/* The user is about to write so many bytes: wait until that fits its share. */
void budget_pace(BudgetUser *user, size_t bytes);
/* The same for a caller that cannot wait: 0, or for how many ns it must not
 * write yet. */
int64_t budget_pace_later(BudgetUser *user, size_t bytes);

#endif
