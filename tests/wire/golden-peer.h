/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plays the other end of a two-way channel for the engine under test. */
#ifndef TESTS_GOLDEN_PEER_H
#define TESTS_GOLDEN_PEER_H

#include <glib.h>

#include "ferry/channel.h"
#include "tests/wire/golden-cases.h"

/* A destination that only plays its part on the return path.  Returns all
 * that the source wrote, when it has closed. */
GBytes *golden_play_destination(IoChannel *channel, GoldenPeer peer);

/* A source that has everything ready, and does not listen before it has
 * written it.  Returns what the destination answered. */
GBytes *golden_play_source(IoChannel *channel, GBytes *bytes);

/* A recorded stream greets as Ferry does, so that is how it is answered; up
 * to the news that everything is loaded. */
void golden_assert_answers(GBytes *answers);

#endif
