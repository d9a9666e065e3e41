/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of one direction of a link that the other relay may want once more:
 * all that were written and that it has not acknowledged.  A byte's position is
 * how many bytes of the direction came before it.
 *
 *     acked, sent <= written <= MIN(acked, sent) + size
 *
 * acked may be ahead of sent, while a write has not yet returned.
 *
 * No I/O, no lock.  Threads may copy into what kept_space() gives, and out of
 * what kept_next() gives, while others call the functions under a lock: no
 * other call moves these bytes.
 */
#ifndef RELAY_KEPT_H
#define RELAY_KEPT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Kept {
    uint8_t *bytes;   /* [size], a ring: touched only where it is used */
    size_t size;
    uint64_t origin;  /* the position that stands at bytes[0] */
    uint64_t acked;   /* the other relay has these */
    uint64_t sent;    /* these were written to the present connection */
    uint64_t written; /* these were given to the link */
} Kept;

/* False, and G_IO_ERROR_NO_SPACE, where there is no memory. */
bool kept_init(Kept *kept, size_t size, GError **errp);
void kept_destroy(Kept *kept); /* fine when all bytes are 0 */

/* Room for bytes that are to be written, in one piece: *to and how much, 0 when
 * the other relay must acknowledge some first.  kept_wrote() says how many have
 * been put there. */
size_t kept_space(Kept *kept, uint8_t **to);
void kept_wrote(Kept *kept, size_t size);

/* The bytes that are to be sent next, in one piece; 0 when there are none.
 * kept_did_send() says how many were. */
size_t kept_next(const Kept *kept, const uint8_t **from);
void kept_did_send(Kept *kept, size_t size);

/* The other relay has all bytes before position.  False when it cannot. */
bool kept_ack(Kept *kept, uint64_t position);

/* The same of a new connection, on which all later bytes are sent again. */
bool kept_rewind(Kept *kept, uint64_t position);

#endif
