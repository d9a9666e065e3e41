/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A set is an ordered sequence of pieces.  A piece is either one chunk that is
 * there in part, with a bit for each page, or a run of chunks that are there as
 * a whole.  A chunk that fills up becomes a run, and runs that touch become
 * one.  So RAM that has come in order is one piece, and scattered pages take no
 * more than a bitmap that leaves out the empty chunks.
 *
 * Adding a range takes out the pieces that it covers.  An earlier call put each
 * of them in, and has paid for that.
 *
 * Taking out a range takes out the pieces that it overlaps, and puts back what
 * is left of the first and the last one.
 *
 * Pages mostly come in order, so a search begins at the piece that was found
 * last.
 */
#include "tools/inspect/streams/page-set.h"

#include "util/bitmap.h"

#define WORDS (PAGE_SET_CHUNK / BITMAP_WORD_BITS)

typedef struct Bits {
    uint64_t word[WORDS];
} Bits;

typedef struct Piece {
    uint64_t first, end; /* chunks */
    bool whole;
    Bits bits; /* unless whole: the piece is one chunk then */
} Piece;

struct PageSet {
    GSequence *pieces;
    GSequenceIter *last; /* the piece found last; NULL: none, or gone */
};

PageSet *page_set_new(void)
{
    PageSet *set = g_new0(PageSet, 1);

    set->pieces = g_sequence_new(g_free);
    return set;
}

void page_set_free(PageSet *set)
{
    if (set) {
        g_sequence_free(set->pieces);
        g_free(set);
    }
}

void page_set_clear(PageSet *set)
{
    g_sequence_remove_range(g_sequence_get_begin_iter(set->pieces),
                            g_sequence_get_end_iter(set->pieces));
    set->last = NULL;
}

unsigned page_set_pieces(const PageSet *set)
{
    return (unsigned)g_sequence_get_length(set->pieces);
}

/* NULL at the end. */
static Piece *piece_at(GSequenceIter *iter)
{
    return g_sequence_iter_is_end(iter) ? NULL : g_sequence_get(iter);
}

static int compare(const void *a, const void *b, void *opaque)
{
    const Piece *x = a, *y = b;

    return x->first < y->first ? -1 : x->first > y->first;
}

static GSequenceIter *search(const PageSet *set, uint64_t chunk)
{
    Piece key = { .first = chunk };
    GSequenceIter *iter =
        g_sequence_search(set->pieces, &key, compare, NULL);
    GSequenceIter *before = g_sequence_iter_prev(iter);

    return before != iter && piece_at(before)->end > chunk ? before : iter;
}

/* The first piece that ends behind the chunk's beginning, or the end. */
static GSequenceIter *find(PageSet *set, uint64_t chunk)
{
    GSequenceIter *iter = set->last;
    const Piece *piece = iter ? g_sequence_get(iter) : NULL;

    if (piece && piece->end <= chunk) {
        iter = g_sequence_iter_next(iter);
        piece = piece_at(iter);
        if (piece && piece->end <= chunk) {
            piece = NULL;
            iter = NULL;
        }
    } else if (piece && piece->first > chunk) {
        iter = NULL;
    }
    if (!iter) {
        iter = search(set, chunk);
        piece = piece_at(iter);
    }
    set->last = piece ? iter : NULL;
    return iter;
}

static GSequenceIter *insert(PageSet *set, GSequenceIter *before, Piece piece)
{
    Piece *copy = g_new(Piece, 1);

    *copy = piece;
    set->last = g_sequence_insert_before(before, copy);
    return set->last;
}

/* Returns the next piece. */
static GSequenceIter *take_out(PageSet *set, GSequenceIter *iter)
{
    GSequenceIter *next = g_sequence_iter_next(iter);

    g_sequence_remove(iter);
    set->last = NULL;
    return next;
}

static unsigned count_bits(const Bits *bits)
{
    return (unsigned)bitmap_count(bits->word, PAGE_SET_CHUNK);
}

/* How many pages of these chunks the piece has, which overlaps them. */
static uint64_t pages_within(const Piece *p, uint64_t first, uint64_t end)
{
    return p->whole ? (MIN(p->end, end) - MAX(p->first, first)) *
                          PAGE_SET_CHUNK
                    : count_bits(&p->bits);
}

/* Add whole chunks.  Returns how many pages were not there. */
static uint64_t add_chunks(PageSet *set, uint64_t first, uint64_t end)
{
    Piece run = { .first = first, .end = end, .whole = true };
    uint64_t added = (end - first) * PAGE_SET_CHUNK;
    /* Begin at the run that ends where this one begins, if there is one. */
    GSequenceIter *iter = find(set, first ? first - 1 : 0);

    for (Piece *p = piece_at(iter); p && p->first <= end;
         p = piece_at(iter)) {
        if (p->end > first && p->first < end) {
            added -= pages_within(p, first, end);
        } else if (!p->whole) {
            if (p->first == end) {
                break;
            }
            iter = g_sequence_iter_next(iter);
            continue;
        }
        run.first = MIN(run.first, p->first);
        run.end = MAX(run.end, p->end);
        iter = take_out(set, iter);
    }
    insert(set, iter, run);
    return added;
}

static uint64_t add_bits(PageSet *set, uint64_t chunk, const Bits *bits)
{
    GSequenceIter *iter = find(set, chunk);
    Piece *p = piece_at(iter);
    unsigned before = 0, after;

    if (!p || p->first > chunk) {
        Piece new = { .first = chunk, .end = chunk + 1, .bits = *bits };

        p = g_sequence_get(insert(set, iter, new));
    } else if (p->whole) {
        return 0;
    } else {
        before = count_bits(&p->bits);
        for (unsigned i = 0; i < WORDS; i++) {
            p->bits.word[i] |= bits->word[i];
        }
    }
    after = count_bits(&p->bits);
    if (after == PAGE_SET_CHUNK) {
        add_chunks(set, chunk, chunk + 1);
    }
    return after - before;
}

/* The bits of the chunk's pages that are in the range. */
static Bits bits_of(uint64_t chunk, uint64_t first, uint64_t end)
{
    Bits bits = { { 0 } };

    for (unsigned i = 0; i < WORDS; i++) {
        uint64_t at = chunk * PAGE_SET_CHUNK + i * BITMAP_WORD_BITS;
        uint64_t from = MAX(first, at), to = MIN(end, at + BITMAP_WORD_BITS);

        if (from < to) {
            bits.word[i] = UINT64_MAX >> (BITMAP_WORD_BITS - (to - from))
                           << (from - at);
        }
    }
    return bits;
}

uint64_t page_set_add(PageSet *set, uint64_t first, uint64_t count)
{
    uint64_t end = first + count, added = 0;
    uint64_t chunk = first / PAGE_SET_CHUNK;
    uint64_t whole = end / PAGE_SET_CHUNK; /* where the whole chunks end */

    if (first % PAGE_SET_CHUNK || whole == chunk) {
        Bits bits = bits_of(chunk, first, end);

        added += add_bits(set, chunk++, &bits);
    }
    if (chunk < whole) {
        added += add_chunks(set, chunk, whole);
        chunk = whole;
    }
    if (chunk == whole && end > whole * PAGE_SET_CHUNK) {
        Bits bits = bits_of(chunk, first, end);

        added += add_bits(set, chunk, &bits);
    }
    return added;
}

/* Put back what a run had outside of the range.  Returns how many pages it had
 * inside. */
static uint64_t cut_run(PageSet *set, const Piece *run, uint64_t first,
                        uint64_t end)
{
    uint64_t begin = run->first * PAGE_SET_CHUNK;
    uint64_t stop = run->end * PAGE_SET_CHUNK;

    if (begin < first) {
        page_set_add(set, begin, first - begin);
    }
    if (end < stop) {
        page_set_add(set, end, stop - end);
    }
    return MIN(end, stop) - MAX(first, begin);
}

/* The same for a chunk that is there in part. */
static uint64_t cut_bits(PageSet *set, const Piece *chunk, uint64_t first,
                         uint64_t end)
{
    Bits bits = bits_of(chunk->first, first, end);
    unsigned before = count_bits(&chunk->bits);

    for (unsigned i = 0; i < WORDS; i++) {
        bits.word[i] = chunk->bits.word[i] & ~bits.word[i];
    }
    if (count_bits(&bits)) {
        add_bits(set, chunk->first, &bits);
    }
    return before - count_bits(&bits);
}

uint64_t page_set_remove(PageSet *set, uint64_t first, uint64_t count)
{
    uint64_t end = first + count, removed = 0;
    GSequenceIter *iter = find(set, first / PAGE_SET_CHUNK);

    for (Piece *p = piece_at(iter); p && p->first * PAGE_SET_CHUNK < end;
         p = piece_at(iter)) {
        Piece old = *p;

        take_out(set, iter);
        removed += old.whole ? cut_run(set, &old, first, end)
                             : cut_bits(set, &old, first, end);
        iter = find(set, old.end);
    }
    return removed;
}

void page_set_add_set(PageSet *set, const PageSet *more)
{
    GSequenceIter *iter = g_sequence_get_begin_iter(more->pieces);

    for (Piece *p = piece_at(iter); p; p = piece_at(iter)) {
        if (p->whole) {
            add_chunks(set, p->first, p->end);
        } else {
            add_bits(set, p->first, &p->bits);
        }
        iter = g_sequence_iter_next(iter);
    }
}

bool page_set_has(PageSet *set, uint64_t first, uint64_t count)
{
    uint64_t end = first + count;
    GSequenceIter *iter = find(set, first / PAGE_SET_CHUNK);

    /* At most three turns: a piece in the middle of the range has a page of
     * it. */
    for (Piece *p = piece_at(iter); p && p->first * PAGE_SET_CHUNK < end;
         p = piece_at(iter)) {
        Bits bits = bits_of(p->first, first, end);

        if (p->whole) {
            return true;
        }
        for (unsigned i = 0; i < WORDS; i++) {
            if (p->bits.word[i] & bits.word[i]) {
                return true;
            }
        }
        iter = g_sequence_iter_next(iter);
    }
    return false;
}
