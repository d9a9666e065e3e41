/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU announces only in part what it adds to an entry: once postcopy was
 * advised, a block has a page size only where that is not its host's.  But an
 * addition can be told from what would otherwise stand there.  The next entry
 * begins with a length of 1 to 255, while a page size or an address begins with
 * a zero byte.  Behind the last entry stands EOS, or a flush of multifd, which
 * is neither a page size nor a page's address.
 *
 * With mapped-ram each entry is followed by a head, a bitmap and all pages of
 * the block.  The head tells where the latter two are in the file, in which the
 * stream need not be the first thing.  The bitmap follows the head at once, so
 * the first head shows where in the file the stream begins.
 */
#include "migration/wire/ram-list.h"

#include <string.h>

#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"

#define EXTRAS_MAX  2 /* page size, address */
#define FLUSHES_MAX 16u

/* Read a record, which must have this type, for its value. */
static bool get_marker(Stream *s, unsigned type, const char *place,
                       uint64_t *value, GError **errp)
{
    RamRecord record;

    if (!ram_record_get(s, &record, errp)) {
        return false;
    }
    if (record.type != type) {
        stream_bad(s, errp, "%s with record type 0x%03x", place, record.type);
        return false;
    }
    *value = record.offset;
    return true;
}

static bool get_total(Stream *s, uint64_t *total, GError **errp)
{
    return get_marker(s, WIRE_RAM_MEM_SIZE, "the ram section starts", total,
                      errp);
}


/* A list that is being read. */
typedef struct ListReader {
    Stream *stream;
    RamListForm form;
    uint64_t left; /* bytes of blocks not yet read */
    bool at_end;   /* EOS was read, in the search for extras */
    unsigned flushes;
    bool cut;      /* the stream has ended among mapped pages */
    bool has_base; /* of mapped pages: known is */
    uint64_t base; /* where in the file the stream begins */
    GArray *entry; /* of RamListEntry: the entries so far, */
    GTree *names;  /* and their names */
} ListReader;

static bool check_entry(const ListReader *r, const RamListEntry *new,
                        GError **errp)
{
    g_autofree char *shown = g_strescape(new->name, NULL);

    if (new->length == 0 || new->length % MIG_PAGE_SIZE ||
        new->length > r->left) {
        stream_bad(r->stream, errp,
                   "RAM block '%s' with 0x%" G_GINT64_MODIFIER "x bytes of 0x%"
                   G_GINT64_MODIFIER "x that are left", shown, new->length,
                   r->left);
        return false;
    }
    if (g_tree_lookup(r->names, new->name)) {
        stream_bad(r->stream, errp, "RAM block '%s' twice", shown);
        return false;
    }
    if (r->entry->len == WIRE_BLOCKS_MAX) {
        stream_bad(r->stream, errp, "more than %u RAM blocks",
                   WIRE_BLOCKS_MAX);
        return false;
    }
    return true;
}

/* Read another extra, if there is one. */
static bool next_extra(ListReader *r, uint64_t *extra, bool *found,
                       GError **errp)
{
    uint8_t next;

    if (r->left && !stream_peek_u8(r->stream, &next, errp)) {
        return false;
    }
    *found = !r->left || next == 0;
    if (*found && !stream_get_be64(r->stream, extra, errp)) {
        return false;
    }
    if (*found && !r->left &&
        (*extra == WIRE_RAM_EOS || *extra == WIRE_RAM_MULTIFD)) {
        r->at_end = *extra == WIRE_RAM_EOS;
        r->flushes += !r->at_end;
        *found = false;
    }
    return true;
}

static bool get_extras(ListReader *r, RamListEntry *entry, GError **errp)
{
    unsigned max = r->form.page_sizes + r->form.addresses, count = 0;
    uint64_t extra[EXTRAS_MAX] = { 0 };
    bool found = true;

    while (count < max) {
        if (!next_extra(r, &extra[count], &found, errp)) {
            return false;
        }
        if (!found) {
            break;
        }
        count++;
    }
    if (r->form.addresses && count == 0) {
        stream_bad(r->stream, errp, "RAM block '%s' without an address",
                   entry->name);
        return false;
    }
    entry->has_address = r->form.addresses;
    entry->address = r->form.addresses ? extra[count - 1] : 0;
    entry->page_size = count > r->form.addresses ? extra[0] : 0;
    return true;
}

/* The bitmap stands here, and offsets in the file say where it is. */
static bool find_base(ListReader *r, uint64_t bitmap)
{
    uint64_t position = stream_position(r->stream);

    if (!r->has_base && bitmap >= position) {
        r->base = bitmap - position;
        r->has_base = true;
    }
    return r->has_base && bitmap - position == r->base;
}

/* What is there of the pages is the caller's, even if it is not all. */
static bool skip_pages(ListReader *r, uint64_t size, GError **errp)
{
    GError *err = NULL;

    if (stream_skip(r->stream, size, &err)) {
        return true;
    }
    r->cut = g_error_matches(err, MIG_ERROR, MIG_ERROR_EOF);
    if (!r->cut) {
        g_propagate_error(errp, err);
        return false;
    }
    g_error_free(err);
    return true;
}

static bool get_mapped(ListReader *r, RamListEntry *entry, GError **errp)
{
    uint64_t count = entry->length / MIG_PAGE_SIZE, position;
    uint64_t page_size, bitmap, pages, size;
    uint32_t version;

    if (!stream_get_be32(r->stream, &version, errp) ||
        !stream_get_be64(r->stream, &page_size, errp) ||
        !stream_get_be64(r->stream, &bitmap, errp) ||
        !stream_get_be64(r->stream, &pages, errp)) {
        return false;
    }
    if (version == WIRE_MAPPED_VERSION && bitmap == 0 && pages == 0) {
        return true; /* a block that is not in the file (x-ignore-shared) */
    }
    size = (count + 63) / 64 * 8;
    position = stream_position(r->stream);
    if (version != WIRE_MAPPED_VERSION || page_size != MIG_PAGE_SIZE ||
        !find_base(r, bitmap) || pages < bitmap || pages - bitmap < size ||
        pages > INT64_MAX - entry->length) {
        g_autofree char *shown = g_strescape(entry->name, NULL);

        stream_bad(r->stream, errp, "RAM block '%s' with a bad head: version "
                   "%u, pages of %" G_GUINT64_FORMAT " bytes at %"
                   G_GUINT64_FORMAT ", bitmap at %" G_GUINT64_FORMAT, shown,
                   version, page_size, pages, bitmap);
        return false;
    }
    entry->bitmap = position;
    entry->pages = position + (pages - bitmap);
    return skip_pages(r, pages - bitmap + entry->length, errp);
}

static bool get_entry(ListReader *r, GError **errp)
{
    RamListEntry entry = { .length = 0 };
    char *name;

    if (!stream_get_name(r->stream, entry.name, errp) ||
        !stream_get_be64(r->stream, &entry.length, errp) ||
        !check_entry(r, &entry, errp)) {
        return false;
    }
    r->left -= entry.length;
    if (!get_extras(r, &entry, errp) ||
        (r->form.mapped && !get_mapped(r, &entry, errp))) {
        return false;
    }
    g_array_append_val(r->entry, entry);
    name = g_strdup(entry.name);
    g_tree_insert(r->names, name, name);
    return true;
}

/* A QEMU with multifd has flushes here, which are a head alone. */
static bool get_end(ListReader *r, GError **errp)
{
    for (;;) {
        RamRecord record;
        GError *err = NULL;

        if (ram_record_get(r->stream, &record, &err)) {
            if (record.type != WIRE_RAM_EOS) {
                stream_bad(r->stream, errp, "the list of RAM blocks ends with "
                           "record type 0x%03x", record.type);
            }
            return record.type == WIRE_RAM_EOS;
        }
        if (!g_error_matches(err, MIG_ERROR, MIG_ERROR_UNSUPPORTED) ||
            record.type != WIRE_RAM_MULTIFD || r->flushes == FLUSHES_MAX) {
            g_propagate_error(errp, err);
            return false;
        }
        g_error_free(err);
        r->flushes++;
    }
}

static bool get_entries(ListReader *r, GError **errp)
{
    while (r->left && !r->cut) {
        if (!get_entry(r, errp)) {
            return false;
        }
    }
    return r->at_end || r->cut || get_end(r, errp);
}

static RamList *get_list(ListReader *r, GError **errp)
{
    uint64_t total = r->left;
    RamList *list;

    if (!get_entries(r, errp)) {
        return NULL;
    }
    list = g_new0(RamList, 1);
    list->total = total;
    list->cut = r->cut;
    list->flushes = r->flushes;
    list->count = r->entry->len;
    list->entry = (RamListEntry *)g_array_free(g_steal_pointer(&r->entry),
                                               FALSE);
    return list;
}

static int compare_names(const void *a, const void *b, void *opaque)
{
    return strcmp(a, b);
}

RamList *ram_list_get(Stream *s, RamListForm form, uint64_t max,
                      GError **errp)
{
    ListReader r = { .stream = s, .form = form };
    RamList *list;

    if (!get_total(s, &r.left, errp)) {
        return NULL;
    }
    if (r.left > max) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "%" G_GUINT64_FORMAT " bytes of RAM, more than the %"
                    G_GUINT64_FORMAT " that are supported", r.left, max);
        return NULL;
    }
    r.entry = g_array_new(FALSE, FALSE, sizeof(RamListEntry));
    r.names = g_tree_new_full(compare_names, NULL, g_free, NULL);
    list = get_list(&r, errp);
    g_clear_pointer(&r.entry, g_array_unref);
    g_tree_unref(r.names);
    return list;
}

void ram_list_free(RamList *list)
{
    if (list) {
        g_free(list->entry);
        g_free(list);
    }
}
