/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a pool's worker needs to encode or to decode. */
#ifndef MIGRATION_PACK_CODEC_WORKER_H
#define MIGRATION_PACK_CODEC_WORKER_H

#include "migration/pack/codec.h"

typedef struct CodecWorker {
    const Codec *codec;
    void *encoder; /* NULL if it decodes */
    void *decoder; /* NULL if it encodes */
    uint8_t *scratch; /* [config.scratch_size] */
} CodecWorker;

typedef struct CodecWorkerConfig {
    const Codec *codec;
    unsigned level;      /* of an encoder */
    size_t scratch_size; /* bytes, or 0 */
} CodecWorkerConfig;

/* Values for PoolConfig's worker_new, if worker_config is a CodecWorkerConfig,
 * and for its worker_free. */
void *codec_worker_new_encoder(const void *config, GError **errp);
void *codec_worker_new_decoder(const void *config, GError **errp);
void codec_worker_free(void *worker);

#endif
