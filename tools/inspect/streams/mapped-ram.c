/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bitmap is read in pieces, so that the memory that this takes does not
 * depend on the guest's.  Its words are of 64 bits, little-endian.
 */
#include "tools/inspect/streams/mapped-ram.h"

#include <errno.h>
#include <unistd.h>

#include "ferry/error.h"
#include "ferry/host.h"
#include "util/fail.h"

#define PIECE_WORDS 8192u
#define WORD_BITS   64u

typedef struct Walk {
    const MappedFile *file;
    const RamListEntry *entry;
    MappedRun *run;
    void *opaque;
    uint64_t size;  /* of the file */
    uint64_t first; /* of the run that is being collected */
    uint64_t count;
} Walk;

static bool cut_off(const Walk *w, uint64_t at, GError **errp)
{
    g_autofree char *shown = g_strescape(w->entry->name, NULL);

    g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                "RAM block '%s': the file ends at byte %" G_GUINT64_FORMAT
                ", before byte %" G_GUINT64_FORMAT " (it is cut short)",
                shown, w->size, at);
    return false;
}

static bool read_piece(const Walk *w, uint64_t *words, size_t count,
                       uint64_t at, GError **errp)
{
    uint8_t *to = (uint8_t *)words;
    size_t size = count * sizeof(*words);

    while (size) {
        ssize_t n = pread(w->file->fd, to, size, (off_t)at);

        if (n < 0) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_IO,
                        "cannot read the file: %s", g_strerror(errno));
            return false;
        }
        if (n == 0) {
            return cut_off(w, at, errp);
        }
        to += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

/* Tell the run that has been collected, up to where the file ends. */
static bool end_run(Walk *w, GError **errp)
{
    uint64_t at = w->file->begin + w->entry->pages +
                  w->first * MIG_PAGE_SIZE;
    uint64_t there = w->size > at ? (w->size - at) / MIG_PAGE_SIZE : 0;
    uint64_t count = MIN(w->count, there);

    if (count && !w->run(w->opaque, w->first, count, at, errp)) {
        return false;
    }
    if (count < w->count) {
        return cut_off(w, at + w->count * MIG_PAGE_SIZE, errp);
    }
    w->count = 0;
    return true;
}

static bool add_pages(Walk *w, uint64_t first, uint64_t count, GError **errp)
{
    bool ends = w->first + w->count != first ||
                w->count + count > MAPPED_RUN_MAX;

    if (w->count && ends && !end_run(w, errp)) {
        return false;
    }
    if (!w->count) {
        w->first = first;
    }
    w->count += count;
    return true;
}

/* The pages of a word, of which the first one is this. */
static bool add_word(Walk *w, uint64_t word, uint64_t page, GError **errp)
{
    while (word) {
        unsigned from = (unsigned)__builtin_ctzll(word);
        uint64_t rest = ~(word >> from);
        unsigned count = rest ? (unsigned)__builtin_ctzll(rest) : WORD_BITS;

        if (!add_pages(w, page + from, count, errp)) {
            return false;
        }
        word = from + count < WORD_BITS
                   ? word & (UINT64_MAX << (from + count)) : 0;
    }
    return true;
}

static uint64_t valid_bits(uint64_t pages, uint64_t page)
{
    return pages - page < WORD_BITS
               ? (UINT64_C(1) << (pages - page)) - 1 : UINT64_MAX;
}

static bool walk_bitmap(Walk *w, uint64_t *piece, GError **errp)
{
    uint64_t pages = w->entry->length / MIG_PAGE_SIZE;
    uint64_t words = (pages + WORD_BITS - 1) / WORD_BITS;

    for (uint64_t at = 0; at < words; at += PIECE_WORDS) {
        size_t count = (size_t)MIN(words - at, PIECE_WORDS);

        if (!read_piece(w, piece, count, w->file->begin + w->entry->bitmap +
                                             at * sizeof(*piece), errp)) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            uint64_t page = (at + i) * WORD_BITS;

            if (!add_word(w, GUINT64_FROM_LE(piece[i]) &
                                 valid_bits(pages, page), page, errp)) {
                return false;
            }
        }
    }
    return !w->count || end_run(w, errp);
}

bool mapped_ram_walk(const MappedFile *file, const RamListEntry *entry,
                     MappedRun *run, void *opaque, GError **errp)
{
    g_autofree uint64_t *piece = g_new(uint64_t, PIECE_WORDS);
    Walk w = {
        .file = file,
        .entry = entry,
        .run = run,
        .opaque = opaque,
    };
    off_t at = lseek(file->fd, 0, SEEK_CUR);
    off_t end = lseek(file->fd, 0, SEEK_END);

    if (at < 0 || end < 0 || lseek(file->fd, at, SEEK_SET) < 0) {
        return fail_errno(errp, "cannot seek in the file");
    }
    w.size = (uint64_t)end;
    return walk_bitmap(&w, piece, errp);
}
