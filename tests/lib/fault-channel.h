/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels that go wrong at a given byte.
 *
 * A fault belongs to one direction of one end, and comes when that end has
 * read or written that many bytes.
 */
#ifndef TESTS_FAULT_CHANNEL_H
#define TESTS_FAULT_CHANNEL_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "tests/lib/gate.h"

typedef enum {
    FAULT_NONE,
    FAULT_EOF,   /* reads only: there is no more */
    FAULT_ERROR, /* FAULT_TEXT; then the connection is gone, at both ends */
    FAULT_STALL, /* nothing moves any more, until the channel is aborted */
    FAULT_FLIP,  /* reads only: byte number at is another one */
} FaultKind;

#define FAULT_TEXT "broken on purpose"

typedef struct Fault {
    FaultKind kind;
    uint64_t at;   /* bytes that come through before it */
    uint8_t flip;  /* FLIP: the bits that change */
    size_t chunk;  /* a read or write moves no more than this; 0: any size */
    Gate *stalled; /* STALL: reached when it comes; may be NULL */
    GByteArray *copy; /* what comes through is appended; may be NULL */
} Fault;

typedef struct FaultPlan {
    Fault read, write;
} FaultPlan;

/*
 * io_channel_pair() with faults.  A reader of a flipped byte may then wait for
 * bytes that nobody is going to send, while the sender waits for an answer.  So
 * after a flip, silence ends as FAULT_EOF does.
 */
void fault_channel_pair(IoChannel *ends[2], const FaultPlan plan[2]);

/* The streams by themselves.  Take a reference to base, and to what breaks
 * with FAULT_ERROR, which may be NULL. */
GInputStream *fault_input_new(GInputStream *base, GSocketConnection *breaks,
                              const Fault *fault);
GOutputStream *fault_output_new(GOutputStream *base, GSocketConnection *breaks,
                                const Fault *fault);

#endif
