/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A migration to try faults in: small, so that it can be run once for every
 * byte, and with every kind of record in it.
 */
#ifndef TESTS_SMALL_MOVE_H
#define TESTS_SMALL_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/fault-channel.h"
#include "tests/lib/pair.h"

/* The four places where a fault can be. */
typedef enum {
    SRC_READ,  /* the return path, at the source */
    SRC_WRITE, /* the stream, at the source */
    DST_READ,  /* the stream, at the destination */
    DST_WRITE, /* the return path, at the destination */
    PLACES
} Place;

/* Where the guest may be in the end. */
typedef enum {
    STAYED,  /* it runs at the source, as it was */
    MOVED,   /* it runs at the destination */
    NEITHER, /* it runs nowhere, and the source has it whole */
} Outcome;

/* How the guest travels. */
typedef struct MoveKind {
    const char *name;
    MigMethod method;
    bool verify;
} MoveKind;

/* As to a QEMU. */
extern const MoveKind move_zlib;
#define MOVE_ZLIB (&move_zlib)

/* With zlib as to a QEMU.  With another method as two Ferry ends can: in
 * batches, and compared in the end (where that is built in). */
MoveKind move_kind(MigMethod method);

/* False, and the test is skipped, where the method was not built in. */
bool move_kind_works(const MoveKind *kind);

/* One host call that fails: number nth at that point. */
typedef struct FailCall {
    bool at_dst;
    FakePoint point;
    unsigned nth; /* 0: none */
} FailCall;

typedef struct SmallMove {
    Pair *pair;
    FailCall fail;
    uint8_t *ram[FAKE_BLOCKS_MAX]; /* what the source's RAM must be */
    FakeDevice device;             /* and its device */
} SmallMove;

/* A guest with two RAM blocks, at the source.  fail may be NULL. */
SmallMove *small_move_new(const MoveKind *kind, const FailCall *fail);
void small_move_free(SmallMove *move);

/* Start one side, or both over channels with these faults. */
void small_move_send(SmallMove *move, IoChannel *channel);
void small_move_receive(SmallMove *move, IoChannel *channel);
void small_move_start(SmallMove *move, const Fault fault[PLACES]);

/* Wait for both, where there are both, and see where the guest is.
 * It is in one place at most, and the source has the dirty log off.  Where the
 * source does not know what the destination does with it, it stands still. */
Outcome small_move_end(SmallMove *move);

/* The destination has the source's RAM. */
void small_move_assert_arrived(const SmallMove *move);

/* The error of a migration that has failed; to be freed by g_free(). */
char *small_move_error(Migration *m);

/* What a migration without faults looks like. */
typedef struct Golden {
    GByteArray *copy[PLACES];
    unsigned calls[2][FAKE_POINTS]; /* [at_dst] */
    uint64_t hello; /* where in the stream HELLO has come */
    uint64_t noise; /* where the noise page's data is */
    uint64_t description; /* where the vmdescription begins */
    uint64_t go;          /* where GO begins */
} Golden;

void golden_record(Golden *golden, const MoveKind *kind);
void golden_clear(Golden *golden);

/* The page that no codec makes smaller, and the vmdescription, in a stream. */
uint64_t stream_find_noise(const void *stream, size_t size);
uint64_t stream_find_description(const void *stream, size_t size);

/* The next byte of a stream worth a fault: every one, but of the noise page's
 * data, which is at noise, only some. */
uint64_t golden_next(uint64_t noise, uint64_t at);

#endif
