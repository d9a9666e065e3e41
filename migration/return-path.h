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

/* The owner's calls for what is heard; made from the thread, without a lock. */
typedef struct ReturnPathEar {
    /* A message has come. */
    void (*alive)(void *opaque);
    /* The destination has failed or is gone: what is still being written, or
     * waited for, is to be aborted. */
    void (*failed)(void *opaque);
} ReturnPathEar;

/* Start listening.  ear must outlive it. */
ReturnPath *return_path_new(IoChannel *channel, const ReturnPathEar *ear,
                            void *opaque, GError **errp);

/* Wait until the destination has answered HELLO; false when it fails, goes
 * away, or the channel is aborted. */
bool return_path_wait_answer(ReturnPath *rp, GError **errp);

/* What the destination has announced, WIRE_FERRY_..., when it has answered; 0
 * when it is not a Ferry. */
uint16_t return_path_features(ReturnPath *rp);

/* Is this one of them?  Without a return path, NULL, nothing is. */
bool return_path_has(ReturnPath *rp, uint16_t feature);

/* The end of the stream is about to be sent: from now on, and not before, the
 * destination may say that it has loaded everything. */
void return_path_expect_shut(ReturnPath *rp);

/* Wait until it says so; false when it fails, goes away, or the channel is
 * aborted. */
bool return_path_wait(ReturnPath *rp, GError **errp);

/* When something else has failed: has the destination said why?  Waits for it
 * a moment only.  True, and an error, when it has. */
bool return_path_find_cause(ReturnPath *rp, GError **errp);

/* The same: has it said that it failed, so that it does not run the guest? */
bool return_path_has_refused(ReturnPath *rp);

/* Stop listening.  The channel is aborted.  NULL is fine. */
void return_path_free(ReturnPath *rp);

#endif
