/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pool of CompressJob, without the save loop. */
#ifndef TESTS_LIB_COMPRESS_POOL_H
#define TESTS_LIB_COMPRESS_POOL_H

#include "migration/ram/compress.h"

static inline Pool *compress_new(const Codec *codec, unsigned threads,
                                 unsigned level, GError **errp)
{
    CodecWorkerConfig worker = { .codec = codec, .level = level };
    PoolConfig config = compress_pool(&worker, threads);

    return pool_new(&config, errp);
}

#endif
