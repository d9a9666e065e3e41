/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A source and a destination in one process, joined by a channel pair. */
#ifndef TESTS_PAIR_H
#define TESTS_PAIR_H

#include "ferry/migration.h"
#include "tests/lib/fake-clock.h"
#include "tests/lib/fake-host.h"
#include "tests/lib/gate.h"

typedef struct Pair {
    FakeClock clock;
    MigOptions options; /* of both; may be changed before pair_start() */
    FakeHost *src_host; /* filled, running */
    FakeHost *dst_host; /* zero, not running */
    MigHost src_calls;  /* fake_mig_host, unless changed before pair_start() */
    MigHost dst_calls;
    Migration *src;     /* NULL before pair_start() */
    Migration *dst;
} Pair;

/* Defaults, but no bandwidth limit and two threads each: a test that is about
 * these sets them. */
Pair *pair_new(void);
Pair *pair_new_sized(const uint64_t pages[2]); /* of the two blocks */
void pair_set(Pair *pair, MigOptionId id, uint64_t value);
void pair_start(Pair *pair);

/* A source that sends to the URI of that descriptor: its handle. */
Migration *pair_send_to_fd(FakeHost *host, const MigOptions *options, int fd);

/* Wait for both and check that the guest has moved, whole. */
void pair_assert_moved(Pair *pair);

/* Wait for both and check that the guest runs on at the source, that the
 * source ended in this state, and the destination did not complete. */
void pair_assert_stayed(Pair *pair, MigState src_state);

void pair_free(Pair *pair);

#endif
