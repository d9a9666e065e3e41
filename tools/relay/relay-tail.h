/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Did the stream come to its end?  The devices, which stand behind RAM, say
 * nowhere how long they are.  But behind them there is EOF, and nearly always a
 * description, which has to end where the stream does.
 */
#ifndef RELAY_TAIL_H
#define RELAY_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAIL_GO_SIZE 9

typedef enum {
    TAIL_DEVICES,     /* no description yet */
    TAIL_DESCRIPTION, /* inside the description */
    TAIL_BEHIND,      /* behind it; GO may follow, and nothing else */
} TailPlace;

/* All zero at first. */
typedef struct StreamTail {
    TailPlace place;
    uint64_t last;   /* TAIL_DEVICES: the last eight bytes */
    uint32_t left;   /* TAIL_DESCRIPTION: bytes to come */
    unsigned behind; /* TAIL_BEHIND: bytes of GO that have come */
} StreamTail;

/* Take the next bytes behind RAM. */
void tail_feed(StreamTail *tail, const uint8_t *buf, size_t size);

/* At the end of the stream.  has_footer: its sections have footers. */
bool tail_is_whole(const StreamTail *tail, bool has_footer);
bool tail_has_go(const StreamTail *tail);

#endif
