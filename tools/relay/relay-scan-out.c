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

static bool on_idle(void *opaque, bool waits, GError **errp)
{
    ScanOut *out = opaque;
    uint64_t end = out->kind == OUT_PAGE ? out->page_at
                                         : stream_position(out->stream);

    if (waits && !give_part(out, errp)) {
        return false;
    }
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
    out->refused = false;
    out->part = 0;
    scan_out_mark(out);
    stream_set_tap(s, &scan_tap, out);
}

bool scan_out_end(ScanOut *out, GError **errp)
{
    stream_set_tap(out->stream, NULL, NULL);
    return out->refused || give_part(out, errp);
}

void scan_out_mark(ScanOut *out)
{
    out->mark = stream_position(out->stream);
}

bool scan_out_set_opaque(ScanOut *out, bool on, GError **errp)
{
    out->kind = on && out->sink->block ? OUT_BLOCKS : OUT_LITERALS;
    return on || give_part(out, errp);
}

/* The page ended before it was whole. */
static bool give_cut_page(ScanOut *out, GError **errp)
{
    size_t size = (size_t)(stream_position(out->stream) - out->page_at);

    return !size || give_literal(out, out->page, size, errp);
}

bool scan_out_page(ScanOut *out, ScanPage *page, GError **errp)
{
    GError *err = NULL;
    bool ok;

    out->page_at = stream_position(out->stream);
    out->kind = OUT_PAGE;
    ok = stream_get_bytes(out->stream, out->page, page->size, &err);
    out->kind = OUT_LITERALS;
    if (ok) {
        page->head_size = (size_t)(out->page_at - out->mark);
        page->data = out->page;
        ok = out->sink->page(out->opaque, page, errp);
        out->refused |= !ok;
        return ok;
    }
    if (!out->refused && !give_cut_page(out, errp)) {
        g_error_free(err);
        return false;
    }
    g_propagate_error(errp, err);
    return false;
}
