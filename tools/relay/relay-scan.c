/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is on this connection?  Its first bytes tell, before any are taken. */
#include "tools/relay/relay-scan.h"

#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tools/relay/relay-scan-migration.h"
#include "tools/relay/relay-scan-multifd.h"
#include "tools/relay/relay-scan-out.h"
#include "util/endian.h"

/* Nothing that is known. */
static bool scan_strange(ScanOut *out, const char *what, GError **errp)
{
    GError *err = NULL;

    stream_bad(out->stream, &err, "%s", what);
    return scan_out_give_up(out, err, errp);
}

/* Does it begin with a page that names its block?  So does what only QEMU's
 * connection for postcopy-preempt has: the pages that were asked for.  QEMU may
 * have written no more than a part of the first one's head so far. */
bool scan_begins_with_page(const uint8_t *begins, size_t size)
{
    uint64_t flags;

    if (size <= sizeof(flags)) {
        return !begins[0];
    }
    flags = load_be64(begins) & WIRE_RAM_FLAGS;
    return !begins[0] && begins[sizeof(flags)] &&
           (flags == WIRE_RAM_PLAIN || flags == WIRE_RAM_ZERO);
}

static bool scan_header(ScanOut *out, const uint8_t *begins, size_t size,
                        GError **errp)
{
    GError *err = NULL;

    if (scan_begins_with_page(begins, size)) {
        return scan_strange(out, "pages of postcopy-preempt", errp);
    }
    if (!section_check_header(begins, size, &err)) {
        return scan_out_give_up(out, err, errp);
    }
    return begins[0] == WIRE_MAGIC >> 24
               ? scan_migration(out, errp)
               : scan_strange(out, "not a migration stream", errp);
}

static bool scan_any(ScanOut *out, GError **errp)
{
    const uint8_t *begins;
    size_t size;

    begins = stream_peek_some(out->stream, 1, &size, errp);
    if (!begins) {
        return false;
    }
    if (!size) {
        /* QEMU's connection for postcopy-preempt, which it did not need. */
        scan_out_ended(out, END_OPAQUE, "nothing was sent", false);
        return true;
    }
    switch (begins[0]) {
    case WIRE_TLS >> 8:
        return scan_strange(out, "QEMU's own TLS", errp);
    case WIRE_MULTIFD >> 24:
        return out->sink->wants_all_pages
                   ? scan_strange(out, ONE_OF_MULTIFD, errp)
                   : scan_multifd(out, errp);
    case WIRE_COMMAND:
        return scan_strange(out, "postcopy that goes on (migrate -r)", errp);
    default:
        return scan_header(out, begins, size, errp);
    }
}

bool scan_run(Stream *s, const ScanSink *sink, void *opaque, GError **errp)
{
    g_autofree ScanOut *out = g_new(ScanOut, 1);
    bool ok;

    scan_out_begin(out, s, sink, opaque);
    ok = scan_any(out, errp);
    return scan_out_end(out, ok ? errp : NULL) && ok;
}
