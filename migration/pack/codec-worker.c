/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/pack/codec-worker.h"

void codec_worker_free(void *opaque)
{
    CodecWorker *worker = opaque;

    if (worker->encoder) {
        worker->codec->encoder_free(worker->encoder);
    }
    if (worker->decoder) {
        worker->codec->decoder_free(worker->decoder);
    }
    g_free(worker->scratch);
    g_free(worker);
}

static CodecWorker *worker_new(const CodecWorkerConfig *config)
{
    CodecWorker *worker = g_new0(CodecWorker, 1);

    worker->codec = config->codec;
    worker->scratch = g_malloc(config->scratch_size);
    return worker;
}

/* The worker, or NULL when its encoder or decoder could not be made. */
static CodecWorker *checked(CodecWorker *worker)
{
    if (!worker->encoder && !worker->decoder) {
        codec_worker_free(worker);
        return NULL;
    }
    return worker;
}

void *codec_worker_new_encoder(const void *opaque, GError **errp)
{
    const CodecWorkerConfig *config = opaque;
    CodecWorker *worker = worker_new(config);

    worker->encoder = config->codec->encoder_new(config->level, errp);
    return checked(worker);
}

void *codec_worker_new_decoder(const void *opaque, GError **errp)
{
    const CodecWorkerConfig *config = opaque;
    CodecWorker *worker = worker_new(config);

    worker->decoder = config->codec->decoder_new(errp);
    return checked(worker);
}
