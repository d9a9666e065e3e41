/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's end of the return path: a thread that listens to what the
 * destination says.
 */
#ifndef MIGRATION_RETURN_PATH_H
#define MIGRATION_RETURN_PATH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/channel.h"

typedef struct ReturnPath ReturnPath;

/* What the owner wants to be told.  Constant; called by the thread, which holds
 * no lock. */
typedef struct ReturnPathEar {
    /* A message has come. */
    void (*alive)(void *opaque);
    /* The destination has failed or is gone: the owner is to abort what it
     * still writes or waits for. */
    void (*failed)(void *opaque);
} ReturnPathEar;

/* Start listening.  channel and ear must outlive the return path. */
ReturnPath *return_path_new(IoChannel *channel, const ReturnPathEar *ear,
                            void *opaque, GError **errp);

/* Wait until the destination has answered HELLO; false when it fails, goes
 * away, or the channel is aborted. */
bool return_path_wait_answer(ReturnPath *rp, GError **errp);

/* What the destination has announced, WIRE_FERRY_...; known when it has
 * answered.  0: it is not a Ferry. */
uint16_t return_path_features(ReturnPath *rp);

/* Has the destination announced this feature?  False without a return path
 * (NULL). */
bool return_path_has(ReturnPath *rp, uint16_t feature);

/* The end of the stream is about to be sent: from now on, and not before, the
 * destination may say that it has loaded everything. */
void return_path_expect_shut(ReturnPath *rp);

/* Wait until the destination says so; false when it fails, goes away, or the
 * channel is aborted. */
bool return_path_wait(ReturnPath *rp, GError **errp);

/* When something else has failed: has the destination said why?  True, and an
 * error, when it has.  Waits only a moment for what it may be saying. */
bool return_path_find_cause(ReturnPath *rp, GError **errp);

/* The same wait: has the destination said that it failed?  Then it does not run
 * the guest. */
bool return_path_has_refused(ReturnPath *rp);

/* Stop listening.  The channel is aborted.  NULL is fine. */
void return_path_free(ReturnPath *rp);

#endif
