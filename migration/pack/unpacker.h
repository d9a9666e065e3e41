/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The receiver's end of a history: packs in, pages out.
 *
 * One thread, the owner, begins packs in the order of the stream; any thread
 * decodes them; and the owner ends them in the same order, which is when what a
 * page refers to is there.  The pages of a pack's dictionary must be there when
 * it is decoded: the owner ends the packs that they are of before it lets a
 * worker begin.  So workers never wait for each other.
 *
 * The sender is not trusted: what unpack_finish() has not taken for right, by
 * range, order, length and checksum, is not to be used.
 */
#ifndef MIGRATION_PACK_UNPACKER_H
#define MIGRATION_PACK_UNPACKER_H

#include "migration/pack/pack.h"

typedef struct Unpacker Unpacker;

/* The sender's window, or a larger one, and at most in_flight packs between
 * unpacker_begin() and unpack_finish().  NULL, and MIG_ERROR_HOST, when there
 * is no memory. */
Unpacker *unpacker_new(unsigned window, unsigned in_flight, GError **errp);
void unpacker_free(Unpacker *unpacker); /* NULL is fine */

/* What a worker decodes with: NULL and an error when it cannot be made.  For
 * PoolConfig's worker_new and worker_free. */
typedef struct UnpackWorker UnpackWorker;

void *unpack_worker_new(const void *unused, GError **errp);
void unpack_worker_free(void *worker);

typedef struct UnpackJob {
    /* set by unpacker_begin(): */
    uint64_t number;
    PackSlot *slot; /* has the pages after unpack_finish() */
    /* then by the owner: */
    const uint8_t *in; /* the whole pack, */
    size_t size;       /* its bytes */
    uint8_t *body;     /* room for PACK_BODY_MAX */
    /* then by unpack_is_ready(): */
    PackHead head;
    const uint8_t *dictionary[PACK_DICTIONARY_PAGES]; /* [head.dictionary] */
    /* then by unpack_decode(): */
    uint8_t *extra;    /* the caller's bytes, in body */
    const char *fault; /* or NULL; also by unpack_is_ready() */
} UnpackJob;

/* Begin the next pack.  key has its pages' keys, in order. */
void unpacker_begin(Unpacker *unpacker, UnpackJob *job, const uint64_t *key,
                    unsigned pages);

/* The owner asks before it hands the pack to a worker.  False while packs that
 * its dictionary has pages of are not finished; never when all before it
 * are. */
bool unpack_is_ready(const Unpacker *unpacker, UnpackJob *job);

/* Decode the body of a pack that is ready, and take it apart. */
void unpack_decode(UnpackJob *job, UnpackWorker *worker);

/* Follow the references.  NULL: job->slot has the pages; unpack_page() gives
 * their bytes.  Else what is wrong: a constant. */
const char *unpack_finish(Unpacker *unpacker, UnpackJob *job);

/* A page of a finished pack: its bytes in `to`, or NULL for a zero page. */
const uint8_t *unpack_page(const UnpackJob *job, unsigned index,
                           uint8_t to[MIG_PAGE_SIZE]);

#endif
