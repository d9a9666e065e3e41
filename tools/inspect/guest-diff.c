/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Blocks are paired by their names, devices by names and instances.  Of pages
 * only those are looked at that may have content in one of the guests.
 *
 * Fields are paired by their paths, because two descriptions need not be alike:
 * a subsection may be there or not.  Several fields of a struct may have one
 * name, as unused ones do; then they are paired in their order.  The fields of
 * one device are kept at a time, in 256 MiB at most.
 */
#include "tools/inspect/guest-diff.h"

#include <string.h>

#define FIELDS_BYTES_MAX (256u << 20) /* for the fields of a device */
#define FIELD_BYTES      256u         /* for one, without its paths */

typedef struct Diff {
    const Guest *a, *b;
    const DiffPrinter *printer;
    void *opaque;
    bool same;
    bool told; /* the block or device that is looked at */
} Diff;

/* RAM */

static void tell_block(Diff *d, const RamListEntry *a, const RamListEntry *b)
{
    if (!d->told) {
        d->told = true;
        d->same = false;
        d->printer->block(d->opaque, a, b);
    }
}

static const RamListEntry *find_block(const Guest *guest, const char *name,
                                      unsigned *number)
{
    const RamList *list = guest->report->list;

    for (*number = 0; *number < list->count; (*number)++) {
        if (!strcmp(list->entry[*number].name, name)) {
            return &list->entry[*number];
        }
    }
    return NULL;
}

typedef struct BlockPair {
    const RamListEntry *a, *b;
    unsigned in_a, in_b;
    uint64_t pages; /* that both have */
} BlockPair;

static bool page_differs(const Diff *d, const BlockPair *p, uint64_t page)
{
    return memcmp(inspect_ram_memory(d->a->ram, p->in_a) +
                      page * MIG_PAGE_SIZE,
                  inspect_ram_memory(d->b->ram, p->in_b) +
                      page * MIG_PAGE_SIZE, MIG_PAGE_SIZE) != 0;
}

/* The next page that differs; pages if there is none. */
static uint64_t next_different(const Diff *d, const BlockPair *p,
                               uint64_t page)
{
    for (; page < p->pages; page++) {
        uint64_t in_a = inspect_ram_next(d->a->ram, p->in_a, page);
        uint64_t in_b = inspect_ram_next(d->b->ram, p->in_b, page);

        page = MIN(in_a, in_b);
        if (page < p->pages && page_differs(d, p, page)) {
            return page;
        }
    }
    return p->pages;
}

static uint64_t diff_pages(Diff *d, const BlockPair *p)
{
    uint64_t page = next_different(d, p, 0), all = 0;

    while (page < p->pages) {
        uint64_t end = page + 1, next = next_different(d, p, end);

        while (next == end && next < p->pages) {
            next = next_different(d, p, ++end);
        }
        tell_block(d, p->a, p->b);
        d->printer->pages(d->opaque, page, end - page);
        all += end - page;
        page = next;
    }
    return all;
}

static void diff_block(Diff *d, BlockPair *p)
{
    uint64_t pages;

    d->told = false;
    p->pages = MIN(p->a->length, p->b->length) / MIG_PAGE_SIZE;
    if (p->a->length != p->b->length) {
        tell_block(d, p->a, p->b);
    }
    pages = diff_pages(d, p);
    if (d->told) {
        d->printer->end_block(d->opaque, pages);
    }
}

static void tell_one_block(Diff *d, const RamListEntry *a,
                           const RamListEntry *b)
{
    d->told = false;
    tell_block(d, a, b);
    d->printer->end_block(d->opaque, 0);
}

static void diff_blocks(Diff *d)
{
    const RamList *in_a = d->a->report->list, *in_b = d->b->report->list;
    unsigned unused;

    for (unsigned i = 0; i < in_a->count; i++) {
        BlockPair p = { .a = &in_a->entry[i], .in_a = i };

        p.b = find_block(d->b, p.a->name, &p.in_b);
        if (p.b) {
            diff_block(d, &p);
        } else {
            tell_one_block(d, p.a, NULL);
        }
    }
    for (unsigned i = 0; i < in_b->count; i++) {
        if (!find_block(d->a, in_b->entry[i].name, &unused)) {
            tell_one_block(d, NULL, &in_b->entry[i]);
        }
    }
}

/* The fields of a device, by their paths. */

typedef struct KnownField {
    char *path;
    Field field;
    bool paired;
} KnownField;

typedef struct FieldList {
    GPtrArray *known;   /* of KnownField, in their order */
    GHashTable *by_path; /* the same; path is the known one's */
    GHashTable *times;  /* how many fields there were with a path */
    GString *path;      /* of the group that is open */
    GArray *lengths;    /* of size_t: of the path before each open group */
    size_t bytes;       /* that all of it takes */
    bool too_many;
} FieldList;

static void free_known(gpointer opaque)
{
    KnownField *known = opaque;

    g_free(known->path);
    g_free(known);
}

static FieldList new_list(void)
{
    return (FieldList){
        .known = g_ptr_array_new_with_free_func(free_known),
        .by_path = g_hash_table_new(g_str_hash, g_str_equal),
        .times = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .path = g_string_new(NULL),
        .lengths = g_array_new(FALSE, FALSE, sizeof(size_t)),
    };
}

static void list_clear(FieldList *list)
{
    g_hash_table_unref(list->by_path);
    g_hash_table_unref(list->times);
    g_ptr_array_unref(list->known);
    g_string_free(list->path, TRUE);
    g_array_unref(list->lengths);
}

static void append_name(GString *path, const Field *field)
{
    if (path->len) {
        g_string_append_c(path, '/');
    }
    g_string_append(path, field->name);
    if (field->index >= 0) {
        g_string_append_printf(path, "[%" G_GINT64_FORMAT "]", field->index);
    }
}

/* The path, with a number if there was the same before. */
static char *own_path(FieldList *list)
{
    unsigned times = GPOINTER_TO_UINT(
        g_hash_table_lookup(list->times, list->path->str));

    g_hash_table_insert(list->times, g_strdup(list->path->str),
                        GUINT_TO_POINTER(times + 1));
    return times ? g_strdup_printf("%s (%u)", list->path->str, times + 1)
                 : g_strdup(list->path->str);
}

static void list_enter(void *opaque, const Field *group)
{
    FieldList *list = opaque;
    size_t length = list->path->len;

    g_array_append_val(list->lengths, length);
    append_name(list->path, group);
}

static void list_leave(void *opaque, const Field *group)
{
    FieldList *list = opaque;
    unsigned last = list->lengths->len - 1;

    g_string_truncate(list->path, g_array_index(list->lengths, size_t, last));
    g_array_set_size(list->lengths, last);
}

static void list_value(void *opaque, const Field *field)
{
    FieldList *list = opaque;
    size_t length = list->path->len;
    KnownField *known;

    list->bytes += FIELD_BYTES + 2 * (length + strlen(field->name));
    list->too_many |= list->bytes > FIELDS_BYTES_MAX;
    if (list->too_many) {
        return;
    }
    known = g_new0(KnownField, 1);
    append_name(list->path, field);
    known->path = own_path(list);
    known->field = *field;
    g_string_truncate(list->path, length);
    g_ptr_array_add(list->known, known);
    g_hash_table_insert(list->by_path, known->path, known);
}

static FieldList list_fields(const InspectDevice *device)
{
    FieldList list = new_list();
    const FieldsVisitor visitor = { list_enter, list_leave, list_value, &list };

    g_free(fields_walk(device, &visitor));
    return list;
}

/* Devices */

static void tell_device(Diff *d, const InspectDevice *a,
                        const InspectDevice *b)
{
    if (!d->told) {
        d->told = true;
        d->same = false;
        d->printer->device(d->opaque, a, b);
    }
}

static bool is_same_field(const Field *a, const Field *b)
{
    return a->size == b->size && a->count == b->count &&
           !strcmp(a->type, b->type) &&
           !memcmp(a->at, b->at, a->size * a->count);
}

static void diff_lists(Diff *d, const InspectDevice *a, const InspectDevice *b,
                       FieldList *in_a, FieldList *in_b)
{
    for (unsigned i = 0; i < in_a->known->len; i++) {
        const KnownField *one = in_a->known->pdata[i];
        KnownField *other = g_hash_table_lookup(in_b->by_path, one->path);

        if (other) {
            other->paired = true;
        }
        if (!other || !is_same_field(&one->field, &other->field)) {
            tell_device(d, a, b);
            d->printer->field(d->opaque, one->path, &one->field,
                              other ? &other->field : NULL);
        }
    }
    for (unsigned i = 0; i < in_b->known->len; i++) {
        const KnownField *other = in_b->known->pdata[i];

        if (!other->paired) {
            tell_device(d, a, b);
            d->printer->field(d->opaque, other->path, NULL, &other->field);
        }
    }
}

static bool is_same_content(const InspectDevice *a, const InspectDevice *b)
{
    return a->version == b->version && a->kept && b->kept &&
           a->kept_size == b->kept_size &&
           !memcmp(inspect_device_content(a), inspect_device_content(b),
                   a->kept_size);
}

/* The same bytes are the same fields. */
static void diff_device(Diff *d, const InspectDevice *a,
                        const InspectDevice *b)
{
    FieldList in_a, in_b;

    if (is_same_content(a, b)) {
        return;
    }
    d->told = false;
    in_a = list_fields(a);
    in_b = list_fields(b);
    tell_device(d, a, b);
    if (!in_a.too_many && !in_b.too_many) {
        diff_lists(d, a, b, &in_a, &in_b);
    }
    d->printer->end_device(d->opaque);
    list_clear(&in_a);
    list_clear(&in_b);
}

static char *key_of(const InspectDevice *device)
{
    return g_strdup_printf("%u %s", device->instance, device->name);
}

static GHashTable *index_devices(const Guest *guest)
{
    GHashTable *table =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (unsigned i = 0; i < guest->report->devices->len; i++) {
        InspectDevice *device =
            &g_array_index(guest->report->devices, InspectDevice, i);

        g_hash_table_insert(table, key_of(device), device);
    }
    return table;
}

static void tell_one_device(Diff *d, const InspectDevice *a,
                            const InspectDevice *b)
{
    d->told = false;
    tell_device(d, a, b);
    d->printer->end_device(d->opaque);
}

static void diff_devices(Diff *d)
{
    g_autoptr(GHashTable) in_a = index_devices(d->a);
    g_autoptr(GHashTable) in_b = index_devices(d->b);
    const GArray *of_a = d->a->report->devices, *of_b = d->b->report->devices;

    for (unsigned i = 0; i < of_a->len; i++) {
        const InspectDevice *one = &g_array_index(of_a, InspectDevice, i);
        g_autofree char *key = key_of(one);
        const InspectDevice *other = g_hash_table_lookup(in_b, key);

        if (other) {
            diff_device(d, one, other);
        } else {
            tell_one_device(d, one, NULL);
        }
    }
    for (unsigned i = 0; i < of_b->len; i++) {
        const InspectDevice *other = &g_array_index(of_b, InspectDevice, i);
        g_autofree char *key = key_of(other);

        if (!g_hash_table_contains(in_a, key)) {
            tell_one_device(d, NULL, other);
        }
    }
}

bool guest_diff(const Guest *a, const Guest *b, const DiffPrinter *printer,
                void *opaque)
{
    Diff d = { a, b, printer, opaque, .same = true };
    const char *machine_a = a->report->preamble.machine;
    const char *machine_b = b->report->preamble.machine;

    printer->begin(opaque, a, b);
    if (strcmp(machine_a, machine_b)) {
        d.same = false;
        printer->machine(opaque, machine_a, machine_b);
    }
    diff_blocks(&d);
    printer->devices(opaque);
    diff_devices(&d);
    printer->end(opaque, d.same);
    return d.same;
}
