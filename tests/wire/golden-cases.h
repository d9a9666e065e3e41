/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests whose streams are recorded in tests/wire/golden. */
#ifndef TESTS_GOLDEN_CASES_H
#define TESTS_GOLDEN_CASES_H

#include <stdbool.h>
#include <stdint.h>

#include "ferry/host.h"
#include "ferry/options.h"
#include "tests/lib/fake-host.h"

typedef enum {
    PEER_NONE,  /* a one-way channel */
    PEER_FERRY, /* answers HELLO as Ferry does */
    PEER_RANGES, /* the same, and takes ranges of zero pages */
    PEER_BATCHES, /* the same, and reads batches, as Ferry 0.1 does */
    PEER_PACKS,  /* the same, and reads packs */
    PEER_HISTORY, /* the same by zstd, with a history of 4 MiB */
    PEER_OTHER, /* answers HELLO as QEMU does */
} GoldenPeer;

typedef struct GoldenCase {
    const char *name; /* of the file, without .bin */
    uint64_t pages[FAKE_BLOCKS_MAX];
    size_t blocks;
    bool compress;
    bool xbzrle;
    MigMethod method;
    bool boards; /* devices with arrays, structs and subsections */
    GoldenPeer peer;
    void (*fill)(FakeHost *host);
    FakeHook *script; /* what the guest does; may be NULL */
} GoldenCase;

/* Ends with a case without a name. */
extern const GoldenCase golden_cases[];

/* The devices of a case with boards. */
typedef struct Boards Boards;

Boards *boards_new(void);       /* all zero */
void boards_free(Boards *boards);
void boards_fill(Boards *boards);
void boards_assert_same(const Boards *a, const Boards *b);
const MigDevice *boards_devices(const Boards *boards, size_t *count);

/* A page that compresses; the same for the same seed. */
void golden_text(uint8_t *page, unsigned seed);

#endif
