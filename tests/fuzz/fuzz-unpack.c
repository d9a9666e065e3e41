/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packs one after the other, each behind a u8, the number of pages that its
 * record has, and a u16, its size.  Several are at work at a time, and those
 * that have LATE in the u8 are decoded only when they have to be finished.
 *
 * A checksum is never right by chance.  Therefore a pack of which nothing else
 * is wrong counts as good here, and later ones refer to it.
 */
#include <string.h>

#include "migration/pack/unpacker.h"
#include "tests/fuzz/fuzz.h"
#include "util/endian.h"

enum { WINDOW = 3, IN_FLIGHT = 3, LATE = 0x80 };

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

typedef struct Receiver {
    Unpacker *unpacker;
    UnpackWorker *worker;
    unsigned begun, finished;
    bool bad; /* the last that was finished: none after it is */
    UnpackJob job[IN_FLIGHT]; /* of those that are begun and not finished */
    bool decoded[IN_FLIGHT];
    uint8_t *body[IN_FLIGHT]; /* [PACK_BODY_MAX] */
} Receiver;

static void decode(Receiver *r, unsigned i)
{
    unpack_decode(&r->job[i], r->worker);
    r->decoded[i] = true;
}

/* False when it is bad.  Then the stream ends. */
static bool finish_oldest(Receiver *r)
{
    unsigned i = r->finished % IN_FLIGHT;
    const char *fault;

    if (!r->decoded[i]) {
        decode(r, i);
    }
    fault = unpack_finish(r->unpacker, &r->job[i]);
    r->finished++;
    r->bad = fault && strcmp(fault, "the checksum of a pack is wrong");
    if (!r->bad) {
        check_pages(&r->job[i]);
    }
    return !r->bad;
}

/* It gets ready at the latest when all before it are finished. */
static bool make_ready(Receiver *r, UnpackJob *job)
{
    while (!unpack_is_ready(r->unpacker, job)) {
        g_assert(r->finished < r->begun);
        if (!finish_oldest(r)) {
            return false;
        }
    }
    return true;
}

/* The next pack.  False when there is none, or when one is bad. */
static bool receive(Receiver *r, Input *in)
{
    const uint64_t key[PACK_PAGES] = { 0 };
    const uint8_t *head = take(in, 3);
    unsigned i = r->begun % IN_FLIGHT;
    UnpackJob *job = &r->job[i];

    if (!head || (r->begun - r->finished == IN_FLIGHT && !finish_oldest(r))) {
        return false;
    }
    unpacker_begin(r->unpacker, job, key, MIN(head[0] & ~LATE, PACK_PAGES));
    job->size = load_be16(head + 1);
    job->in = take(in, job->size);
    job->body = r->body[i];
    if (!job->in || !make_ready(r, job)) {
        return false;
    }
    r->decoded[i] = false;
    r->begun++;
    if (!(head[0] & LATE)) {
        decode(r, i);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Receiver r = {
        .unpacker = unpacker_new(WINDOW, IN_FLIGHT, NULL),
        .worker = unpack_worker_new(NULL, NULL),
    };
    Input in = { data, size };

    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        r.body[i] = g_malloc(PACK_BODY_MAX);
    }
    while (receive(&r, &in)) {
        continue;
    }
    while (!r.bad && r.finished < r.begun) {
        finish_oldest(&r);
    }
    unpacker_free(r.unpacker);
    unpack_worker_free(r.worker);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        g_free(r.body[i]);
    }
    return 0;
}
