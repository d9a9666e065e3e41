/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Did the stream come to its end?  What stands behind RAM, the devices, says
 * nowhere how long it is; but behind the devices there is EOF, and nearly
 * always a description that has to end where the stream does.
 */
#ifndef RELAY_TAIL_H
#define RELAY_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAIL_GO_SIZE 9

typedef enum {
    TAIL_DEVICES,     /* no description yet */
    TAIL_DESCRIPTION, /* in it */
    TAIL_BEHIND,      /* it has ended; GO may follow, and nothing else */
} TailPlace;

/* Zeros at first. */
typedef struct StreamTail {
    TailPlace place;
    uint64_t last;   /* TAIL_DEVICES: the last eight bytes */
    uint32_t left;   /* TAIL_DESCRIPTION: bytes to come */
    unsigned behind; /* TAIL_BEHIND: bytes of GO that have come */
} StreamTail;

/* The next bytes behind RAM. */
void tail_feed(StreamTail *tail, const uint8_t *buf, size_t size);

/* At the end.  has_footer: sections of this stream have one. */
bool tail_is_whole(const StreamTail *tail, bool has_footer);
bool tail_has_go(const StreamTail *tail);

#endif
