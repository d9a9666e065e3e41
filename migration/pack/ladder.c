/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/pack/ladder.h"

/* Sizes are those of make bench's image, in packs. */
static const Rung all[] = {
    { NULL, 0, 1 },
    { &codec_lz4, 1, 0.32 },
    { &codec_zstd, 0, 0.82 },
    { &codec_zstd, 1, 0.84 },
    { &codec_zstd, 3, 0.96 },
    { &codec_zstd, 6, 0.95 },
};
G_STATIC_ASSERT(G_N_ELEMENTS(all) == LADDER_MAX);

struct LadderWorker {
    CodecWorker at[CODEC_COUNT]; /* by method, with the same scratch; without
                                  * an encoder: no rung needs it */
    CodecWorker plain;           /* has nothing but the scratch */
};

const char *rung_name(const Rung *rung)
{
    return rung->codec ? rung->codec->name : "plain";
}

Ladder ladder_of_one(const Codec *codec, unsigned level)
{
    return (Ladder){ .rungs = 1, .rung = { { codec, level, 1 } } };
}

Ladder ladder_of_all(uint16_t features)
{
    Ladder ladder = { 0 };

    for (unsigned i = 0; i < LADDER_MAX; i++) {
        const Codec *codec = all[i].codec;

        if (!codec || (codec->available && (codec->feature & features))) {
            ladder.rung[ladder.rungs++] = all[i];
        }
    }
    return ladder;
}

void ladder_worker_free(void *opaque)
{
    LadderWorker *worker = opaque;

    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        if (worker->at[i].encoder) {
            worker->at[i].codec->encoder_free(worker->at[i].encoder);
        }
    }
    g_free(worker->plain.scratch);
    g_free(worker);
}

static bool add_encoder(LadderWorker *worker, const Rung *rung, GError **errp)
{
    CodecWorker *at;

    if (!rung || !rung->codec) {
        return true;
    }
    at = &worker->at[codec_method(rung->codec)];
    if (at->encoder) {
        return true;
    }
    *at = (CodecWorker){
        .codec = rung->codec,
        .encoder = rung->codec->encoder_new(rung->level, errp),
        .scratch = worker->plain.scratch,
    };
    return at->encoder != NULL;
}

void *ladder_worker_new(const void *opaque, GError **errp)
{
    const LadderWorkerConfig *config = opaque;
    const Ladder *ladder = config->ladder;
    LadderWorker *worker = g_new0(LadderWorker, 1);
    bool ok;

    worker->plain.scratch = g_malloc(config->scratch_size);
    ok = add_encoder(worker, config->besides, errp);
    for (unsigned i = 0; ok && i < ladder->rungs; i++) {
        ok = add_encoder(worker, &ladder->rung[i], errp);
    }
    if (!ok) {
        ladder_worker_free(worker);
        return NULL;
    }
    return worker;
}

const CodecWorker *ladder_worker_at(LadderWorker *worker, const Rung *rung)
{
    CodecWorker *at;

    if (!rung->codec) {
        return &worker->plain;
    }
    at = &worker->at[codec_method(rung->codec)];
    if (at->codec->encoder_set_level) {
        at->codec->encoder_set_level(at->encoder, rung->level);
    }
    return at;
}
