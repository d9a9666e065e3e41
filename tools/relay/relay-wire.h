/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every number of the protocol between two relays.  docs/relay.md is the
 * specification.
 */
#ifndef RELAY_WIRE_H
#define RELAY_WIRE_H

#include <glib.h>

#include "ferry/host.h"
#include "migration/pack/pack.h"

/* HELLO and ANSWER. */
#define RELAY_MAGIC        "\376FRELAY\n"
#define RELAY_MAGIC_SIZE   8
#define RELAY_TLS_FIRST_BYTE 0x16
#define RELAY_VERSION      4u
#define RELAY_VERDICT_FROM 2u /* the version that has VERDICT */
#define RELAY_PACK_FROM    3u /* the version that has PACK */
#define RELAY_LINE_FROM    4u /* the version that has SESSION, lines, and more
                              * than one channel */
#define RELAY_METHOD_SIZE  8
#define RELAY_HELLO_SIZE   32 /* up to the reason and the checksum */
#define RELAY_REASON_MAX   1024u

/* SESSION and READY; sizes without their checksums. */
#define RELAY_ID_SIZE      16
#define RELAY_SECRET_SIZE  32
#define RELAY_ROUTE_SIZE   32 /* a name, padded with NULs: at least one */
#define RELAY_SESSION_SIZE \
    (RELAY_ID_SIZE + RELAY_SECRET_SIZE + 4 + RELAY_ROUTE_SIZE)
#define RELAY_READY_SIZE   4 /* up to the reason */

/* Going on by another connection. */
#define RELAY_RESUME_MAGIC "\376FRESUM\n"
#define RELAY_RESUME_NONCE 16
#define RELAY_RESUME_KNOWN 1u /* CHALLENGE: the session is known */
#define RELAY_PROOF_SIZE   32 /* of SHA-256 */

/* Frames. */
#define RELAY_DATA      1u
#define RELAY_END       2u
#define RELAY_ABORT     3u
#define RELAY_DELIVERED 4u
#define RELAY_VERDICT   5u
#define RELAY_PACK      6u
#define RELAY_OPEN      7u
#define RELAY_CREDIT    8u
#define RELAY_RESET     9u

/* Connections of QEMU's in one link.  Number 0 is there from the beginning. */
#define RELAY_CHANNELS 256u

/* Bytes of a channel that may be on their way in one direction, with those that
 * QEMU has not yet taken: of number 0, and of each other. */
#define RELAY_WINDOW_MAIN ((size_t)64 << 20)
#define RELAY_WINDOW_SIDE ((size_t)16 << 20)

static inline size_t relay_window(unsigned channel)
{
    return channel ? RELAY_WINDOW_SIDE : RELAY_WINDOW_MAIN;
}

/* Records of a line: u8 type, u24 bytes that follow. */
#define LINE_BYTES    1u
#define LINE_HAVE     2u
#define LINE_PATIENCE 3u
#define LINE_BYE      4u

#define LINE_HEAD_SIZE     4
#define LINE_HAVE_SIZE     8
#define LINE_PATIENCE_SIZE 4
#define LINE_NEWS_MAX \
    (2 * LINE_HEAD_SIZE + LINE_HAVE_SIZE + LINE_PATIENCE_SIZE)
#define LINE_BYTES_MAX ((size_t)1 << 20) /* of one record */

/* VERDICT's first byte. */
typedef enum {
    END_UNTOLD = 0, /* never sent */
    END_WHOLE = 1,  /* understood up to its last byte; no return path */
    END_CUT = 2,    /* understood, but it ended too early */
    END_OPAQUE = 3, /* not understood, at least not from RAM's end on */
    END_ASKED = 4,  /* whole, and a return path brings the answer */
} StreamEnd;

#define RELAY_HEAD_SIZE  24
#define RELAY_TOTAL_SIZE 8 /* the body of END, of DELIVERED, and of CREDIT */

/* How long, once one direction has failed, the other may take to end by
 * itself; and how long a receiver may take to answer. */
#define RELAY_LINGER_NS (INT64_C(2) * 1000 * 1000 * 1000)
#define RELAY_ANSWER_NS (INT64_C(30) * 1000 * 1000 * 1000)

/* How long a broken link may take to come back: while the guest runs, and while
 * it stands still. */
#define RELAY_PATIENCE_NS         (INT64_C(300) * 1000 * 1000 * 1000)
#define RELAY_PATIENCE_STOPPED_NS (INT64_C(5) * 1000 * 1000 * 1000)
#define RELAY_PATIENCE_MAX_S      86400u

/* How long a command at the far end may run on once it has closed its output:
 * one that leads to another relay, and one that is a destination. */
#define RELAY_COMMAND_MS     2000u
#define RELAY_DESTINATION_MS 30000u

/* How long a peer may take for HELLO, or for QEMU's first byte; and after what
 * time a connection that may be silent is taken for a silent one.  A peer that
 * only touches the port is gone by then. */
#define RELAY_GREETING_S 10
#define RELAY_SILENCE_MS 100

/* How many migrations are served at once.  How many connections there are: with
 * those whose peers have not said what they want, or are being refused; how
 * many more while the oldest of the silent ones go; and how many more that are
 * further connections of migrations.  How long the acceptor
 * pauses when accepting has failed: if descriptors have run out, some come
 * back. */
#define RELAY_MIGRATIONS_MAX  64u
#define RELAY_CONNECTIONS_MAX (2 * RELAY_MIGRATIONS_MAX)
#define RELAY_GOING_MAX       32u
#define RELAY_JOINED_MAX      1024u
#define RELAY_RETRY_NS (INT64_C(1) * 1000 * 1000 * 1000)

/* How long a connection waits for those that came before it. */
#define RELAY_TURN_NS (INT64_C(2) * 1000 * 1000 * 1000)

/* An entry of DATA's table. */
#define RELAY_ZERO_PAGE   0x8000u
#define RELAY_LITERAL_MAX 0x7fffu

#define RELAY_PAGES_MAX 256u /* most in a batch that a receiver takes */
#define RELAY_PAGES     64u  /* most in a batch that Ferry's sender makes */

/* The decoded body of a DATA frame with that many pages, at most. */
#define RELAY_BODY_MAX(pages)                                               \
    ((size_t)(pages) * (MIG_PAGE_SIZE + 2) + RELAY_LITERAL_MAX)

/* What a DATA frame with that many pages stands for, at most. */
#define RELAY_BYTES_MAX(pages)                                              \
    ((size_t)(pages) * MIG_PAGE_SIZE + RELAY_LITERAL_MAX)

/* The extra bytes of a PACK frame's pack, at most. */
#define RELAY_EXTRA_MAX (RELAY_LITERAL_MAX + 2 * PACK_PAGES)

G_STATIC_ASSERT(RELAY_EXTRA_MAX <= PACK_EXTRA_MAX);
G_STATIC_ASSERT(RELAY_PAGES <= PACK_PAGES);
G_STATIC_ASSERT(sizeof(RELAY_MAGIC) - 1 == RELAY_MAGIC_SIZE);
G_STATIC_ASSERT(sizeof(RELAY_RESUME_MAGIC) - 1 == RELAY_MAGIC_SIZE);
G_STATIC_ASSERT((RELAY_LITERAL_MAX & RELAY_ZERO_PAGE) == 0);
G_STATIC_ASSERT(RELAY_PAGES <= RELAY_PAGES_MAX);
G_STATIC_ASSERT(RELAY_REASON_MAX <= RELAY_LITERAL_MAX);

#endif
