/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An observer of QEMU's return path as it passes: what the destination says of
 * the outcome.
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

/* Written by the reverse thread; read when that has ended, but for the one
 * that is atomic. */
typedef struct ReturnWatch {
    atomic_bool expects_go; /* by return_watch_expects_go() */
    bool has_shut;
    uint32_t shut_value;    /* if has_shut: 0 when it has loaded the guest */
    char *reason;           /* what a Ferry says about a SHUT; or NULL */
    bool lost;              /* this is no return path, or not any more */
    size_t size;            /* of the message that is coming */
    uint8_t message[RETURN_HEAD_SIZE + WIRE_REASON_MAX];
} ReturnWatch;

/* The next bytes of it. */
void return_watch_feed(ReturnWatch *watch, const uint8_t *buf, size_t size);
void return_watch_clear(ReturnWatch *watch);

/* Is the destination a Ferry, which runs the guest only when it is told GO?
 * From any thread: a source that says GO has been told before. */
bool return_watch_expects_go(const ReturnWatch *watch);

#endif
