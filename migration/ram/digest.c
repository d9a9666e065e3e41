/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The guest stands still while this is computed, so it must be fast: XXH3
 * reads about as fast as memory does.  A block is cut into chunks; a pool
 * hashes chunks, and the block's digest is the hash of their hashes in order,
 * so that it does not depend on the number of threads.
 */
#include "migration/ram/digest.h"

#include "ferry/error.h"
#include "migration/wire/wire.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "util/endian.h"
#include "util/pool.h"

typedef struct DigestJob {
    const uint8_t *from;
    size_t size;
    uint64_t hash; /* the worker's */
} DigestJob;

/* The owner's: the pool, and the place in RAM of what to hand out next. */
typedef struct DigestWalk {
    const RamDigestConfig *config;
    Pool *pool;
    unsigned jobs;
    const RamBlocks *blocks;
    unsigned block;
    uint64_t offset;
} DigestWalk;

static void digest_run(void *opaque, void *worker)
{
    DigestJob *job = opaque;

    job->hash = XXH3_64bits(job->from, job->size);
}

static uint64_t block_bytes(const RamBlock *block)
{
    return block->pages * MIG_PAGE_SIZE;
}

static void submit_next(DigestWalk *walk)
{
    const RamBlock *block = &walk->blocks->block[walk->block];
    DigestJob *job = pool_next(walk->pool);
    uint64_t left = block_bytes(block) - walk->offset;

    job->from = block->host + walk->offset;
    job->size = (size_t)MIN(left, WIRE_VERIFY_CHUNK);
    pool_submit(walk->pool);
    walk->offset += job->size;
    if (job->size == left) {
        walk->block++;
        walk->offset = 0;
    }
}

/* Keep the pool full; the chunks come back in order. */
static uint64_t collect_next(DigestWalk *walk)
{
    const DigestJob *job;
    uint64_t hash;

    while (walk->block < walk->blocks->count &&
           pool_pending(walk->pool) < walk->jobs) {
        submit_next(walk);
    }
    job = pool_collect(walk->pool, true);
    hash = job->hash;
    pool_release(walk->pool);
    return hash;
}

static bool tell_progress(const RamDigestConfig *config, GError **errp)
{
    return !config->progress || config->progress(config->opaque, errp);
}

static bool block_digest(DigestWalk *walk, const RamBlock *block,
                         uint64_t *digest, GError **errp)
{
    uint64_t chunks = (block_bytes(block) + WIRE_VERIFY_CHUNK - 1) /
                      WIRE_VERIFY_CHUNK;
    g_autofree uint64_t *hash = g_new(uint64_t, chunks);

    for (uint64_t i = 0; i < chunks; i++) {
        store_be64(&hash[i], collect_next(walk));
        if (!tell_progress(walk->config, errp)) {
            return false;
        }
    }
    *digest = XXH3_64bits(hash, chunks * sizeof(*hash));
    return true;
}

bool ram_digest(const RamBlocks *blocks, const RamDigestConfig *config,
                uint64_t *digest, GError **errp)
{
    const PoolConfig hashing = {
        .name = "mig/hash",
        .workers = config->threads,
        .jobs = 2 * config->threads,
        .job_size = sizeof(DigestJob),
        .run = digest_run,
    };
    DigestWalk walk = {
        .blocks = blocks,
        .jobs = hashing.jobs,
        .config = config,
    };

    bool ok = true;

    walk.pool = pool_new(&hashing, errp);
    if (!walk.pool) {
        return false;
    }
    for (unsigned i = 0; ok && i < blocks->count; i++) {
        ok = block_digest(&walk, &blocks->block[i], &digest[i], errp);
    }
    pool_free(walk.pool);
    return ok;
}
