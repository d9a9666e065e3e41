/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The owner checks the head, and the dictionary: what it finds there stays as
 * it is until the pack is finished.  A worker checks what can be checked of a
 * pack alone: that the body decodes to what the head says, that its table and
 * the lengths that follow from it add up.  It copies the new pages to the slot
 * and hashes them.  What is left for the owner is the references, in the order
 * of the stream: then the slots that they may name are complete.
 */
#include "migration/pack/unpacker.h"

#include <string.h>

#include "util/endian.h"

struct Unpacker {
    PackHistory history;
    uint64_t finished; /* packs */
};

struct UnpackWorker {
    void *decoder[CODEC_COUNT]; /* by method; NULL: not available */
    uint8_t dictionary[PACK_DICTIONARY_BYTES];
};

Unpacker *unpacker_new(unsigned window, unsigned in_flight, GError **errp)
{
    Unpacker *unpacker = g_new0(Unpacker, 1);

    if (!pack_history_init(&unpacker->history, window, in_flight, errp)) {
        g_free(unpacker);
        return NULL;
    }
    return unpacker;
}

void unpacker_free(Unpacker *unpacker)
{
    if (unpacker) {
        pack_history_destroy(&unpacker->history);
        g_free(unpacker);
    }
}

void unpacker_begin(Unpacker *unpacker, UnpackJob *job, const uint64_t *key,
                    unsigned pages)
{
    PackHistory *history = &unpacker->history;

    g_assert(pages <= PACK_PAGES &&
             history->next - unpacker->finished <
                 history->slots - history->window);
    job->number = history->next;
    job->slot = pack_history_begin(history);
    job->slot->pages = pages;
    job->head = (PackHead){ 0 };
    job->fault = NULL;
    for (unsigned i = 0; i < pages; i++) {
        job->slot->page[i] = (PackPage){ .key = key[i] };
    }
}

/* Dictionaries */

/* The kept page of a pack before, or of the same one; NULL when there is none.
 * The packs up to it are finished, or taken apart if it is the same. */
static const PackPage *find_page(const Unpacker *unpacker, uint64_t number,
                                 PackRef ref, const uint8_t **bytes)
{
    const PackSlot *slot;

    if (ref.back > unpacker->history.window || ref.back > number) {
        return NULL;
    }
    slot = pack_history_slot(&unpacker->history, number - ref.back);
    if (!pack_slot_keeps(slot, ref.index)) {
        return NULL;
    }
    *bytes = pack_slot_page(slot, ref.index);
    return &slot->page[ref.index];
}

static const char *check_head(UnpackJob *job)
{
    const char *fault;

    if (job->size < PACK_HEAD_SIZE) {
        return "a pack without a head";
    }
    fault = pack_get_head(job->in, &job->head);
    if (fault) {
        return fault;
    }
    if (job->head.pages != job->slot->pages) {
        return "a pack of another number of pages";
    }
    return job->size - PACK_HEAD_SIZE < job->head.dictionary * PACK_REF_SIZE
               ? "a pack without its dictionary"
               : NULL;
}

bool unpack_is_ready(const Unpacker *unpacker, UnpackJob *job)
{
    const uint8_t *refs = job->in + PACK_HEAD_SIZE;

    job->fault = check_head(job);
    for (unsigned i = 0; !job->fault && i < job->head.dictionary; i++) {
        PackRef ref = pack_get_ref(refs + (size_t)i * PACK_REF_SIZE);

        if (ref.back > 0 && ref.back <= job->number &&
            job->number - ref.back >= unpacker->finished) {
            return false;
        }
        if (ref.back == 0 || !find_page(unpacker, job->number, ref,
                                        &job->dictionary[i])) {
            job->fault = "the dictionary of a pack has a page that is not "
                         "there";
        }
    }
    return true;
}

/* Workers */

void *unpack_worker_new(const void *unused, GError **errp)
{
    UnpackWorker *worker = g_new0(UnpackWorker, 1);

    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);

        if (!codec->available) {
            continue;
        }
        worker->decoder[i] = codec->decoder_new(errp);
        if (!worker->decoder[i]) {
            unpack_worker_free(worker);
            return NULL;
        }
    }
    return worker;
}

void unpack_worker_free(void *opaque)
{
    UnpackWorker *worker = opaque;

    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        if (worker->decoder[i]) {
            codec_by_method(i)->decoder_free(worker->decoder[i]);
        }
    }
    g_free(worker);
}

/* What is left of a body that is being taken apart. */
typedef struct Rest {
    uint8_t *at;
    size_t size;
} Rest;

/* NULL when there are not so many. */
static uint8_t *take(Rest *rest, size_t size)
{
    uint8_t *at = rest->at;

    if (rest->size < size) {
        return NULL;
    }
    rest->at += size;
    rest->size -= size;
    return at;
}

/* The decoder gets to know the pack's dictionary, or that it has none. */
static const char *set_dictionary(const UnpackJob *job, UnpackWorker *worker,
                                  unsigned method)
{
    const Codec *codec = codec_by_method(method);
    unsigned pages = job->head.dictionary;

    if (!codec->decoder_set_dictionary) {
        return pages ? "a dictionary for a method that takes none" : NULL;
    }
    for (unsigned i = 0; i < pages; i++) {
        memcpy(worker->dictionary + (size_t)i * MIG_PAGE_SIZE,
               job->dictionary[i], MIG_PAGE_SIZE);
    }
    return codec->decoder_set_dictionary(worker->decoder[method],
                                         worker->dictionary,
                                         (size_t)pages * MIG_PAGE_SIZE)
               ? NULL
               : "no memory for the dictionary of a pack";
}

static const char *decode_body(UnpackJob *job, UnpackWorker *worker)
{
    size_t refs = job->head.dictionary * PACK_REF_SIZE;
    const uint8_t *in = job->in + PACK_HEAD_SIZE + refs;
    size_t size = job->size - PACK_HEAD_SIZE - refs;
    unsigned method = job->head.codec - 1u;
    const char *fault;

    if (job->head.codec == 0) {
        if (size != job->head.body) {
            return "a pack whose body has another size than it says";
        }
        memcpy(job->body, in, size);
        return NULL;
    }
    if (method >= CODEC_COUNT || !worker->decoder[method]) {
        return "a pack by a method that is not built in here";
    }
    if (refs + size >= job->head.body) {
        return "a pack that encoding has not made shorter";
    }
    fault = set_dictionary(job, worker, method);
    return fault ? fault
                 : codec_by_method(method)->decode(worker->decoder[method],
                                                   in, size, job->body,
                                                   job->head.body);
}

/* False when the table is at its end. */
static bool take_entry(Rest *rest, PackPage *page)
{
    uint8_t *kind = take(rest, 1), *value;

    if (!kind || *kind >= PACK_KINDS) {
        return false;
    }
    page->kind = *kind;
    switch (page->kind) {
    case PACK_PATTERN:
        value = take(rest, 8);
        page->pattern = value ? load_be64(value) : 0;
        return value;
    case PACK_SAME:
    case PACK_DELTA:
        value = take(rest, PACK_REF_SIZE);
        if (value) {
            page->ref = pack_get_ref(value);
        }
        return value;
    default:
        return true;
    }
}

static unsigned words_of(const uint8_t map[PACK_MAP_BYTES])
{
    unsigned words = 0;

    for (unsigned i = 0; i < PACK_MAP_BYTES; i++) {
        words += (unsigned)__builtin_popcount(map[i]);
    }
    return words;
}

/* A delta begins with its map; the words behind it must be there, too. */
static bool take_delta(Rest *rest, uint8_t *to)
{
    const uint8_t *map = take(rest, PACK_MAP_BYTES), *words;
    size_t size;

    if (!map) {
        return false;
    }
    size = 8 * (size_t)words_of(map);
    words = take(rest, size);
    if (!words || size > 8 * PACK_DELTA_WORDS) {
        return false;
    }
    memcpy(to, map, PACK_MAP_BYTES + size);
    return true;
}

/* To the slot go new pages, and deltas, until unpack_finish(). */
static bool take_data(Rest *rest, PackPage *page, uint8_t *to)
{
    const uint8_t *bytes;

    if (page->kind == PACK_DELTA) {
        return take_delta(rest, to);
    }
    if (page->kind == PACK_NEW) {
        bytes = take(rest, MIG_PAGE_SIZE);
        if (!bytes) {
            return false;
        }
        memcpy(to, bytes, MIG_PAGE_SIZE);
        page->hash = pack_hash(to, MIG_PAGE_SIZE);
    }
    return true;
}

static bool take_apart(UnpackJob *job)
{
    PackSlot *slot = job->slot;
    Rest rest = { job->body, job->head.body };

    for (unsigned i = 0; i < slot->pages; i++) {
        if (!take_entry(&rest, &slot->page[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < slot->pages; i++) {
        if (!take_data(&rest, &slot->page[i], pack_slot_page(slot, i))) {
            return false;
        }
    }
    job->extra = rest.at;
    return rest.size == job->head.extra;
}

void unpack_decode(UnpackJob *job, UnpackWorker *worker)
{
    g_assert(job->fault || job->head.pages); /* it is ready */
    if (!job->fault) {
        job->fault = decode_body(job, worker);
    }
    if (!job->fault && !take_apart(job)) {
        job->fault = "the parts of a pack do not add up";
    }
}

/* Finishing */

static void fill_pattern(uint8_t *to, uint64_t pattern)
{
    for (unsigned i = 0; i < PACK_WORDS; i++) {
        store_be64(to + 8 * i, pattern);
    }
}

/* The slot has the map and words of the delta. */
static void apply_delta(uint8_t *page, const uint8_t *before)
{
    uint8_t delta[PACK_MAP_BYTES + 8 * PACK_DELTA_WORDS];
    const uint8_t *word = delta + PACK_MAP_BYTES;

    memcpy(delta, page, sizeof(delta));
    memcpy(page, before, MIG_PAGE_SIZE);
    for (unsigned i = 0; i < PACK_WORDS; i++) {
        if (delta[i / 8] & 1 << i % 8) {
            store_be64(page + 8 * i, load_be64(page + 8 * i) ^
                                         load_be64(word));
            word += 8;
        }
    }
}

static bool finish_page(const Unpacker *unpacker, UnpackJob *job,
                        unsigned index)
{
    PackPage *page = &job->slot->page[index];
    uint8_t pattern[MIG_PAGE_SIZE], *to = pack_slot_page(job->slot, index);
    const uint8_t *bytes;
    const PackPage *referred;

    if (!pack_kind_is_kept(page->kind)) {
        fill_pattern(pattern, page->pattern);
        page->hash = pack_hash(pattern, MIG_PAGE_SIZE);
        return true;
    }
    if (page->kind == PACK_NEW) {
        return true;
    }
    if (page->ref.back == 0 && page->ref.index >= index) {
        return false;
    }
    referred = find_page(unpacker, job->number, page->ref, &bytes);
    if (!referred) {
        return false;
    }
    if (page->kind == PACK_SAME) {
        memcpy(to, bytes, MIG_PAGE_SIZE);
        page->hash = referred->hash;
    } else {
        apply_delta(to, bytes);
        page->hash = pack_hash(to, MIG_PAGE_SIZE);
    }
    return true;
}

const char *unpack_finish(Unpacker *unpacker, UnpackJob *job)
{
    PackSlot *slot = job->slot;

    g_assert(job->number == unpacker->finished);
    unpacker->finished++;
    if (job->fault) {
        return job->fault;
    }
    for (unsigned i = 0; i < slot->pages; i++) {
        if (!finish_page(unpacker, job, i)) {
            return "a page of a pack refers to one that is not there";
        }
    }
    if (pack_checksum(job->number, slot, job->extra, job->head.extra) !=
        job->head.checksum) {
        return "the checksum of a pack is wrong";
    }
    return NULL;
}

const uint8_t *unpack_page(const UnpackJob *job, unsigned index,
                           uint8_t to[MIG_PAGE_SIZE])
{
    const PackPage *page = &job->slot->page[index];

    if (page->kind == PACK_ZERO) {
        return NULL;
    }
    if (page->kind == PACK_PATTERN) {
        fill_pattern(to, page->pattern);
        return to;
    }
    return pack_slot_page(job->slot, index);
}
