/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Noticing that the other end does nothing.
 *
 * The owner says when a wait for its peer begins and when it ends.  A wait that
 * lasts too long is a stall.  What the owner does for itself is none, however
 * long it takes.
 */
#ifndef MIGRATION_STALL_H
#define MIGRATION_STALL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/clock.h"

typedef struct Stall Stall;

/* seconds: how long a wait may last; 0: for ever.  The clock must outlive
 * it. */
Stall *stall_new(const Clock *clock, uint64_t seconds);
void stall_free(Stall *stall); /* after stall_stop(), if it was started */

/* Any thread. */
void stall_set(Stall *stall, uint64_t seconds);

/*
 * Start a thread that watches.  When a wait lasts too long it calls
 * stalled(opaque).  That makes the wait fail; or it returns false because it
 * may not, and is called again after another such time.  The stall's lock is
 * held meanwhile, so that the wait cannot end and the next one be made to fail
 * in its place.  stall_stop() may be called without stall_start().
 */
bool stall_start(Stall *stall, bool (*stalled)(void *opaque), void *opaque,
                 GError **errp);
void stall_stop(Stall *stall);

/* The owner's: a wait begins (true), or is over.  A StreamWatch. */
void stall_wait(void *stall, bool waits);

/* The peer has shown that it is at work: if there is a wait, it begins anew.
 * Any thread. */
void stall_put_off(Stall *stall);

/* Has stalled() made a wait fail?  Then this returns true, and the error to
 * report. */
bool stall_found(Stall *stall, GError **errp);

/* For tests: when the wait began, by the clock; 0: there is none. */
int64_t stall_since(Stall *stall);

#endif
