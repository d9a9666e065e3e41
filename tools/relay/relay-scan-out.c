/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A tap on the Stream sees each byte that is read, and hands it to the sink at
 * once, as a literal.  Only a page's data is held back until the page is whole.
 * So nothing is lost where the stream ends, or stops making sense, in the
 * middle of something: all that was read has been handed on, and plain copying
 * goes on from there.
 *
 * Bytes that are not understood go in blocks of a page's size, so that they are
 * packed as pages are.  When the source pauses, the block that is not whole
 * goes as literals, and the next one begins with what the source says next.
 * Nobody knows where the pages lie, and it hardly matters: zstd finds what has
 * been there at any place.  What was tried instead, blocks whose distance stays
 * a multiple of a page across pauses, costs more in literals than it gains.
 */
#include "tools/relay/relay-scan-out.h"

#include <string.h>

static bool give_literal(ScanOut *out, const void *buf, size_t size,
                         GError **errp)
{
    bool ok = out->sink->literal(out->opaque, buf, size, errp);

    out->refused |= !ok;
    return ok;
}

static bool give_block(ScanOut *out, const uint8_t *block, GError **errp)
{
    bool ok = out->sink->block(out->opaque, block, errp);

    out->refused |= !ok;
    return ok;
}

/* The block that is not whole will not become so. */
static bool give_part(ScanOut *out, GError **errp)
{
    size_t size = out->part;

    out->part = 0;
    return !size || give_literal(out, out->block, size, errp);
}

static bool add_opaque(ScanOut *out, const uint8_t *from, size_t size,
                       GError **errp)
{
    while (out->part + size >= MIG_PAGE_SIZE) {
        const uint8_t *block = from;
        size_t missing = MIG_PAGE_SIZE - out->part;

        if (out->part) {
            memcpy(out->block + out->part, from, missing);
            block = out->block;
            out->part = 0;
        }
        from += missing;
        size -= missing;
        if (!give_block(out, block, errp)) {
            return false;
        }
    }
    memcpy(out->block + out->part, from, size);
    out->part += size;
    return true;
}

/* The tap */

static bool on_given(void *opaque, const void *buf, size_t size, GError **errp)
{
    ScanOut *out = opaque;

    switch (out->kind) {
    case OUT_LITERALS:
        return give_literal(out, buf, size, errp);
    case OUT_PAGE:
        return true;
    case OUT_BLOCKS:
        return add_opaque(out, buf, size, errp);
    }
    g_assert_not_reached();
}

/* What has come of the page. */
static bool give_cut_page(ScanOut *out, GError **errp)
{
    size_t size = (size_t)(stream_position(out->stream) - out->page_at);

    return !size || give_literal(out, out->page, size, errp);
}

/* A pause within a page.  Its data wait for the rest, unless it may be none. */
static bool pause_page(ScanOut *out, GError **errp)
{
    if (!out->eager) {
        return true;
    }
    out->kind = OUT_LITERALS;
    return give_cut_page(out, errp);
}

static bool give_rests(ScanOut *out, GError **errp)
{
    return give_part(out, errp) &&
           (out->kind != OUT_PAGE || pause_page(out, errp));
}

static bool on_idle(void *opaque, bool waits, GError **errp)
{
    ScanOut *out = opaque;
    uint64_t end;

    if (waits && !give_rests(out, errp)) {
        return false;
    }
    end = out->kind == OUT_PAGE ? out->page_at
                                : stream_position(out->stream);
    if (out->sink->idle && !out->sink->idle(out->opaque, waits,
                                            (size_t)(end - out->mark), errp)) {
        out->refused = true;
        return false;
    }
    return true;
}

static const StreamTap scan_tap = {
    .given = on_given,
    .idle = on_idle,
};

void scan_out_begin(ScanOut *out, Stream *s, const ScanSink *sink,
                    void *opaque)
{
    out->stream = s;
    out->sink = sink;
    out->opaque = opaque;
    out->kind = OUT_LITERALS;
    out->refused = out->eager = false;
    out->lost = NULL;
    out->part = 0;
    scan_out_mark(out);
    stream_set_tap(s, &scan_tap, out);
}

bool scan_out_end(ScanOut *out, GError **errp)
{
    stream_set_tap(out->stream, NULL, NULL);
    g_free(out->lost);
    return out->refused || give_part(out, errp);
}

void scan_out_mark(ScanOut *out)
{
    out->mark = stream_position(out->stream);
}

static bool give_page(ScanOut *out, ScanPage *page, GError **errp)
{
    bool ok;

    page->head_size = (size_t)(out->page_at - out->mark);
    page->data = out->page;
    ok = out->sink->page(out->opaque, page, errp);
    out->refused |= !ok;
    return ok;
}

bool scan_out_page(ScanOut *out, ScanPage *page, GError **errp)
{
    GError *err = NULL;
    bool ok, is_one;

    out->page_at = stream_position(out->stream);
    out->kind = OUT_PAGE;
    ok = stream_get_bytes(out->stream, out->page, page->size, &err);
    is_one = out->kind == OUT_PAGE; /* else there was a pause, and eager */
    out->kind = OUT_LITERALS;
    if (ok) {
        return !is_one || give_page(out, page, errp);
    }
    if (is_one && !out->refused && !give_cut_page(out, errp)) {
        g_error_free(err);
        return false;
    }
    g_propagate_error(errp, err);
    return false;
}

static void begin_blocks(ScanOut *out)
{
    out->kind = out->sink->block ? OUT_BLOCKS : OUT_LITERALS;
}

static bool end_blocks(ScanOut *out, GError **errp)
{
    out->kind = OUT_LITERALS;
    return give_part(out, errp);
}

bool scan_out_skip(ScanOut *out, size_t size, GError **errp)
{
    begin_blocks(out);
    return stream_skip(out->stream, size, errp) && end_blocks(out, errp);
}

bool scan_out_copy(ScanOut *out, ScanOutFeed *feed, void *opaque, GError **errp)
{
    const uint8_t *bytes;
    bool stop = false;
    size_t size;

    begin_blocks(out);
    do {
        scan_out_mark(out);
        bytes = stream_peek_some(out->stream, 1, &size, errp);
        if (!bytes) {
            return false;
        }
        if (size && feed) {
            size = feed(opaque, bytes, size, &stop);
        }
        if (!stream_skip(out->stream, size, errp)) {
            return false;
        }
    } while (size && !stop);
    scan_out_mark(out);
    return end_blocks(out, errp);
}

/* How it ends */

static bool is_not_understood(const GError *err)
{
    return g_error_matches(err, MIG_ERROR, MIG_ERROR_STREAM) ||
           g_error_matches(err, MIG_ERROR, MIG_ERROR_UNSUPPORTED);
}

bool scan_out_lost(ScanOut *out, GError *err, GError **errp)
{
    if (!is_not_understood(err)) {
        g_propagate_error(errp, err);
        return false;
    }
    if (!out->lost) {
        out->lost = g_strdup(err->message);
        if (out->sink->lost) {
            out->sink->lost(out->opaque, out->lost);
        }
    }
    scan_out_reached(out, SCAN_LOST);
    g_error_free(err);
    return true;
}

bool scan_out_give_up(ScanOut *out, GError *err, GError **errp)
{
    if (!scan_out_lost(out, err, errp) ||
        !scan_out_copy(out, NULL, NULL, errp)) {
        return false;
    }
    scan_out_ended(out, END_OPAQUE, out->lost, false);
    return true;
}

void scan_out_reached(ScanOut *out, ScanPlace place)
{
    if (out->sink->reached) {
        out->sink->reached(out->opaque, place);
    }
}

void scan_out_ended(ScanOut *out, StreamEnd end, const char *reason,
                    bool has_go)
{
    if (out->sink->ended) {
        out->sink->ended(out->opaque, &(ScanEnd){ end, reason, has_go });
    }
}
