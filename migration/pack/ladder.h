/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways in which packs may be written, from the fastest to the one with the
 * fewest bytes.  A compress-method that has a name is a ladder of one rung;
 * auto is one of several, and choose.h says which rung is next.
 */
#ifndef MIGRATION_PACK_LADDER_H
#define MIGRATION_PACK_LADDER_H

#include "migration/pack/codec-worker.h"

#define LADDER_MAX 6u

typedef struct Rung {
    const Codec *codec; /* NULL: pages are sent as they are */
    unsigned level;     /* of the codec */
    double size;        /* of a page, beside that on the rung below; typical */
} Rung;

typedef struct Ladder {
    unsigned rungs; /* at least 1 */
    Rung rung[LADDER_MAX];
} Ladder;

const char *rung_name(const Rung *rung); /* the codec's, or "plain" */

static inline bool rung_wants_dictionary(const Rung *rung)
{
    return codec_wants_dictionary(rung->codec, rung->level);
}

Ladder ladder_of_one(const Codec *codec, unsigned level);

/* Of what this build has, and a reader with such features.  One rung, on which
 * nothing is compressed, when that is nothing. */
Ladder ladder_of_all(uint16_t features);

/* What a worker of a pool needs for all rungs. */
typedef struct LadderWorker LadderWorker;

typedef struct LadderWorkerConfig {
    const Ladder *ladder;
    const Rung *besides; /* NULL, or one that is used besides the ladder */
    size_t scratch_size; /* bytes */
} LadderWorkerConfig;

/* Values for PoolConfig's worker_new, if worker_config is a LadderWorkerConfig,
 * and for its worker_free. */
void *ladder_worker_new(const void *config, GError **errp);
void ladder_worker_free(void *worker);

/* What to encode by on this rung, until the next call.  It has no codec where
 * the rung has none. */
const CodecWorker *ladder_worker_at(LadderWorker *worker, const Rung *rung);

#endif
