/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watches QEMU's return path pass, for what the destination says of the
 * outcome.
 */
#ifndef RELAY_RETURN_H
#define RELAY_RETURN_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/wire/wire.h"

#define RETURN_HEAD_SIZE 4 /* u16 type, u16 length */

/* The reverse thread sets all fields.  The forward thread reads them once that
 * one has ended, but expects_go, which is atomic, at any time. */
typedef struct ReturnWatch {
    atomic_bool expects_go; /* read by return_watch_expects_go() */
    bool has_shut;
    uint32_t shut_value;    /* if has_shut: 0 when the guest was loaded */
    char *reason;           /* what a Ferry says about a SHUT; or NULL */
    bool lost;              /* what comes is no return path (any more) */
    size_t size;            /* of the message that is coming */
    uint8_t message[RETURN_HEAD_SIZE + WIRE_REASON_MAX];
} ReturnWatch;

/* Take the next bytes of the return path. */
void return_watch_feed(ReturnWatch *watch, const uint8_t *buf, size_t size);
void return_watch_clear(ReturnWatch *watch);

/* Is the destination a Ferry, which runs the guest only when it is told GO?
 * From any thread.  A source sends GO only after it has heard so, and what it
 * hears has passed here before. */
bool return_watch_expects_go(const ReturnWatch *watch);

#endif
