/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Noticing that the other end does nothing.
 *
 * The owner says when it begins and ends to wait for its peer.  A wait that
 * lasts too long is a stall; what the owner does for itself, however long, is
 * none.
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
void stall_free(Stall *stall); /* it has been stopped */

/* Any thread. */
void stall_set(Stall *stall, uint64_t seconds);

/*
 * Start a thread that watches.  When a wait lasts too long it calls
 * stalled(opaque), which makes that wait fail, or returns false because it may
 * not, and is then called again after another such time.  The stall's lock is
 * held, so that the wait cannot end meanwhile and the next one be taken for it.
 * stop may be called without start.
 */
bool stall_start(Stall *stall, bool (*stalled)(void *opaque), void *opaque,
                 GError **errp);
void stall_stop(Stall *stall);

/* A wait begins, or is over.  A StreamWatch. */
void stall_wait(void *stall, bool waits);

/* The peer has shown that it is at work: a wait, where there is one, begins
 * anew.  Any thread. */
void stall_put_off(Stall *stall);

/* Has stalled() made a wait fail?  Then that is the error. */
bool stall_found(Stall *stall, GError **errp);

/* For tests: when the wait began, by the clock; 0: there is none. */
int64_t stall_since(Stall *stall);

#endif
