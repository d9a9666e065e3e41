/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A destination that is nothing but a socket: the test reads what the source
 * sends and says each message of the return path.
 */
#ifndef TESTS_BARE_PEER_H
#define TESTS_BARE_PEER_H

#include "tests/lib/pair.h"

/* Messages, 8 bytes each.  PONG alone is what a QEMU answers; a Ferry says its
 * features before it: that it waits for GO. */
extern const uint8_t peer_pong[8];
extern const uint8_t peer_waits_for_go[8];
extern const uint8_t peer_shut_0[8];
extern const uint8_t peer_shut_1[8];

/* Start pair->src; returns the other end of its socket, to be closed. */
int peer_start(Pair *pair);
void peer_say(int peer, const uint8_t message[8]);

/* Read this many bytes of the source's stream. */
void peer_read(int peer, size_t size);

/* What the source of such a pair sends on a one-way channel.  With a return
 * path there are two commands more, PEER_ASKS bytes in all. */
GBytes *peer_recorded_stream(Pair *pair);
#define PEER_ASKS (5 + 9)

/* The end of a stream: how many bytes there are before EOF. */
size_t peer_find_eof(GBytes *stream);

#endif
