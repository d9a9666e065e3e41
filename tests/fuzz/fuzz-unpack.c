/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packs one after the other, each behind a u8, the number of pages that its
 * record has, and a u16, its size.
 *
 * A checksum is never right by chance.  Therefore a pack of which nothing else
 * is wrong counts as good here, and later ones refer to it.
 */
#include <string.h>

#include "migration/pack/unpacker.h"
#include "tests/fuzz/fuzz.h"
#include "util/endian.h"

enum { WINDOW = 3, IN_FLIGHT = 2 };

typedef struct Input {
    const uint8_t *at;
    size_t size;
} Input;

static const uint8_t *take(Input *in, size_t size)
{
    const uint8_t *at = in->at;

    if (in->size < size) {
        return NULL;
    }
    in->at += size;
    in->size -= size;
    return at;
}

/* What is said of a page is so. */
static void check_pages(const UnpackJob *job)
{
    static const uint8_t zero[MIG_PAGE_SIZE];

    for (unsigned i = 0; i < job->slot->pages; i++) {
        uint8_t buffer[MIG_PAGE_SIZE];
        const uint8_t *page = unpack_page(job, i, buffer);

        g_assert(pack_hash(page ? page : zero, MIG_PAGE_SIZE) ==
                 job->slot->page[i].hash);
    }
    g_assert(job->extra + job->head.extra == job->body + job->head.body);
}

/* False when it is bad. */
static bool unpack(Unpacker *unpacker, UnpackWorker *worker, Input *in)
{
    static uint8_t body[PACK_BODY_MAX];
    const uint64_t key[PACK_PAGES] = { 0 };
    const uint8_t *head = take(in, 3);
    UnpackJob job;
    const char *fault;
    size_t size;

    if (!head) {
        return false;
    }
    unpacker_begin(unpacker, &job, key, MIN(head[0], PACK_PAGES));
    size = load_be16(head + 1);
    job.in = take(in, size);
    job.size = size;
    job.body = body;
    if (!job.in) {
        return false;
    }
    g_assert(unpack_is_ready(unpacker, &job));
    unpack_decode(&job, worker);
    fault = unpack_finish(unpacker, &job);
    if (fault && strcmp(fault, "the checksum of a pack is wrong")) {
        return false;
    }
    check_pages(&job);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Unpacker *unpacker = unpacker_new(WINDOW, IN_FLIGHT, NULL);
    UnpackWorker *worker = unpack_worker_new(NULL, NULL);
    Input in = { data, size };

    while (unpack(unpacker, worker, &in)) {
        continue;
    }
    unpacker_free(unpacker);
    unpack_worker_free(worker);
    return 0;
}
