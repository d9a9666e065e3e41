/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The format is QEMU's docs/interop/qcow2.txt.  Each internal snapshot has an
 * L1 table of its own, whose entries lead to L2 tables, whose entries lead to
 * clusters.  Behind what the disk has, rounded up to what an L2 table reaches,
 * those clusters hold the guest's state, which is a stream.  Backing files
 * have none of it.
 *
 * An image is not to be believed.  Everything is checked to be in the file.
 * Tables that lead to each other, or many times to the same place, could make
 * a small file seem endless.  But every table and every cluster of a good
 * image is at a place of its own, so no more of them are visited than fit into
 * the file.
 */
#include "tools/inspect/containers/qcow2.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ferry/error.h"
#include "tools/inspect/containers/pull-channel.h"
#include "util/endian.h"

#define HEADER_V2     72u
#define HEADER_V3     104u
#define ENTRY_SIZE    40u   /* of the snapshot table, its fixed part */
#define EXTRA_MAX     1024u /* bytes of an entry's extra data */
#define SNAPSHOTS_MAX 65536u
#define L1_MAX        (32u << 20) /* bytes of an L1 table */
#define SUBCLUSTERS   32u

#define OFFSET_MASK   UINT64_C(0x00fffffffffffe00)
#define L2_COMPRESSED (UINT64_C(1) << 62)
#define L2_ZERO       UINT64_C(1)

#define FEATURE_CORRUPT     (UINT64_C(1) << 1)
#define FEATURE_DATA_FILE   (UINT64_C(1) << 2)
#define FEATURE_EXTENDED_L2 (UINT64_C(1) << 4)
/* Not in the way: dirty and corrupt refcounts, how clusters are compressed. */
#define FEATURES_KNOWN      UINT64_C(0x1f)

typedef struct Qcow2 {
    int fd;             /* the input's, */
    uint64_t begin;     /* where in it the image begins, */
    uint64_t file_size; /* and how much there is from there on */
    uint32_t version, cluster_bits, snapshots;
    uint64_t size, table, features;
} Qcow2;

/* What is needed of a snapshot to read it. */
typedef struct State {
    InputSnapshot shown;
    uint64_t l1, disk;
    uint32_t l1_entries;
} State;

/* A snapshot's state, while it is read. */
typedef struct Reading {
    Qcow2 image;
    uint64_t l1;
    uint32_t l1_entries;
    uint64_t at, end;  /* in the snapshot's address space */
    uint64_t visits;   /* of clusters and tables, that are still allowed */
    uint64_t l2_index; /* of the table in l2; UINT64_MAX: none */
    uint8_t *l2;       /* [a cluster]; zeros where there is no table */
    bool in_cluster;   /* the visit of the cluster at `at` is counted */
} Reading;

static bool bad(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool bad(GError **errp, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "the qcow2 image is damaged: %s", text);
    return false;
}

static bool unsupported(GError **errp, const char *what)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                "a qcow2 image %s, which is not supported", what);
    return false;
}

static bool read_at(const Qcow2 *image, uint64_t at, void *buf, size_t size,
                    GError **errp)
{
    uint8_t *to = buf;

    if (at > image->file_size || size > image->file_size - at) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                    "the qcow2 image has %" G_GUINT64_FORMAT " bytes, and "
                    "refers to byte %" G_GUINT64_FORMAT " (it is damaged or "
                    "cut short)", image->file_size, at);
        return false;
    }
    while (size) {
        ssize_t n = pread(image->fd, to, size, (off_t)(image->begin + at));

        if (n <= 0) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_IO,
                        "cannot read the qcow2 image: %s",
                        n < 0 ? g_strerror(errno) : "it has become shorter");
            return false;
        }
        to += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

static uint64_t cluster_size(const Qcow2 *image)
{
    return UINT64_C(1) << image->cluster_bits;
}

static unsigned l2_bits(const Qcow2 *image)
{
    bool extended = image->features & FEATURE_EXTENDED_L2;

    return image->cluster_bits - (extended ? 4 : 3);
}

/* The bytes that an L2 table reaches, as a power of two. */
static unsigned reach_bits(const Qcow2 *image)
{
    return image->cluster_bits + l2_bits(image);
}

/* The header */

static bool check_features(const Qcow2 *image, uint32_t encryption,
                           GError **errp)
{
    g_autofree char *text = NULL;
    uint64_t unknown = image->features & ~FEATURES_KNOWN;

    if (unknown) {
        text = g_strdup_printf("with the unknown incompatible feature %u",
                               (unsigned)__builtin_ctzll(unknown));
        return unsupported(errp, text);
    }
    if (image->features & FEATURE_DATA_FILE) {
        return unsupported(errp, "whose data is in another file");
    }
    return !encryption || unsupported(errp, "that is encrypted");
}

static bool read_header(Input *input, Qcow2 *image, GError **errp)
{
    uint8_t head[HEADER_V3] = { 0 };

    if (!read_at(image, 0, head, HEADER_V2, errp)) {
        return false;
    }
    image->version = load_be32(head + 4);
    if (image->version < 2 || image->version > 3) {
        return unsupported(errp, "of another version than 2 and 3");
    }
    if (image->version == 3 && !read_at(image, 0, head, HEADER_V3, errp)) {
        return false;
    }
    image->cluster_bits = load_be32(head + 20);
    image->size = load_be64(head + 24);
    image->snapshots = load_be32(head + 60);
    image->table = load_be64(head + 64);
    image->features = load_be64(head + 72);
    if (image->cluster_bits < 9 || image->cluster_bits > 21) {
        return bad(errp, "clusters of %u bits", image->cluster_bits);
    }
    if (image->snapshots > SNAPSHOTS_MAX) {
        return bad(errp, "%u snapshots", image->snapshots);
    }
    if (image->features & FEATURE_CORRUPT) {
        input_warn(input, g_strdup("the qcow2 image is marked as corrupt"));
    }
    return check_features(image, load_be32(head + 32), errp);
}

/* Snapshots */

/* A name is any bytes. */
static bool read_text(const Qcow2 *image, uint64_t at, size_t size,
                      char **text, GError **errp)
{
    *text = g_malloc0(size + 1);
    return read_at(image, at, *text, size, errp);
}

/* The entry at *at, which is moved behind it.  To be cleared after either
 * outcome. */
static bool read_entry(const Qcow2 *image, uint64_t *at, State *state,
                       GError **errp)
{
    uint8_t head[ENTRY_SIZE], extra[EXTRA_MAX];
    uint32_t extra_size;
    uint16_t id, name;

    *state = (State){ .l1 = 0 };
    if (!read_at(image, *at, head, sizeof(head), errp)) {
        return false;
    }
    extra_size = load_be32(head + 36);
    if (extra_size > EXTRA_MAX) {
        return bad(errp, "%u bytes of extra data of a snapshot", extra_size);
    }
    id = load_be16(head + 12);
    name = load_be16(head + 14);
    *at += ENTRY_SIZE;
    if (!read_at(image, *at, extra, extra_size, errp) ||
        !read_text(image, *at + extra_size, id, &state->shown.id, errp) ||
        !read_text(image, *at + extra_size + id, name, &state->shown.name,
                   errp)) {
        return false;
    }
    *at += extra_size + id + name;
    *at += -*at & 7;
    state->l1 = load_be64(head);
    state->l1_entries = load_be32(head + 8);
    state->disk = extra_size >= 16 ? load_be64(extra + 8) : image->size;
    state->shown.seconds = load_be32(head + 16);
    state->shown.clock = load_be64(head + 24);
    state->shown.size = extra_size >= 8 ? load_be64(extra)
                                        : load_be32(head + 32);
    return true;
}

static bool is_wanted(const State *state, const char *wanted, bool by_id)
{
    return wanted && state->shown.size &&
           !strcmp(by_id ? state->shown.id : state->shown.name, wanted);
}

/* Find the snapshot, by its name rather than by its id, and list all.  found's
 * texts are the list's.  *any: there is one at all. */
static bool read_table(Input *input, const Qcow2 *image, State *found,
                       bool *any, GError **errp)
{
    const char *wanted = input_wanted_snapshot(input);
    bool has_name = false, has_id = false;
    uint64_t at = image->table;

    for (uint32_t i = 0; i < image->snapshots; i++) {
        State state;

        if (!read_entry(image, &at, &state, errp)) {
            g_free(state.shown.id);
            g_free(state.shown.name);
            return false;
        }
        if (is_wanted(&state, wanted, false) && !has_name) {
            *found = state;
            has_name = true;
        } else if (is_wanted(&state, wanted, true) && !has_name && !has_id) {
            *found = state;
            has_id = true;
        }
        input_add_snapshot(input, &state.shown);
    }
    *any = has_name || has_id;
    return true;
}

/* The state */

static bool count_visit(Reading *r, GError **errp)
{
    if (r->visits == 0) {
        return bad(errp, "the snapshot has more clusters than the file");
    }
    r->visits--;
    return true;
}

static bool check_place(const Reading *r, uint64_t offset, const char *what,
                        GError **errp)
{
    return offset % cluster_size(&r->image) == 0 ||
           bad(errp, "%s at byte %" G_GUINT64_FORMAT, what, offset);
}

/* Make l2 the table that maps `at`. */
static bool load_l2(Reading *r, GError **errp)
{
    uint64_t index = r->at >> reach_bits(&r->image), offset;
    uint8_t entry[8] = { 0 };

    if (index == r->l2_index) {
        return true;
    }
    if (index < r->l1_entries &&
        !read_at(&r->image, r->l1 + index * 8, entry, 8, errp)) {
        return false;
    }
    offset = load_be64(entry) & OFFSET_MASK;
    memset(r->l2, 0, cluster_size(&r->image));
    if (offset &&
        (!check_place(r, offset, "an L2 table", errp) ||
         !count_visit(r, errp) ||
         !read_at(&r->image, offset, r->l2, cluster_size(&r->image), errp))) {
        return false;
    }
    r->l2_index = index;
    return true;
}

/* Where the bytes at `at` are, and how many of them; 0: they are zero. */
static bool map(Reading *r, uint64_t *host, uint64_t *size, GError **errp)
{
    bool extended = r->image.features & FEATURE_EXTENDED_L2;
    uint64_t cluster = cluster_size(&r->image), inside = r->at % cluster;
    uint64_t index = (r->at >> r->image.cluster_bits) &
                     ((UINT64_C(1) << l2_bits(&r->image)) - 1);
    const uint8_t *at = r->l2 + index * (extended ? 16 : 8);
    uint64_t entry = load_be64(at);
    bool zero = !extended && entry & L2_ZERO;

    *size = cluster - inside;
    *host = entry & OFFSET_MASK;
    if (entry & L2_COMPRESSED) {
        return unsupported(errp, "whose snapshot has compressed clusters");
    }
    if (*host && !check_place(r, *host, "a cluster", errp)) {
        return false;
    }
    if (extended) {
        uint64_t part = cluster / SUBCLUSTERS;

        *size = part - r->at % part;
        zero = !(load_be64(at + 8) >> (inside / part) & 1);
    }
    *host = zero || !*host ? 0 : *host + inside;
    return true;
}

static bool state_read(void *opaque, void *buf, size_t size, size_t *got,
                       GError **errp)
{
    Reading *r = opaque;
    uint64_t host, there;

    *got = 0;
    if (r->at == r->end) {
        return true;
    }
    if (!load_l2(r, errp) || (!r->in_cluster && !count_visit(r, errp)) ||
        !map(r, &host, &there, errp)) {
        return false;
    }
    size = (size_t)MIN(MIN(size, there), r->end - r->at);
    if (host ? !read_at(&r->image, host, buf, size, errp)
             : !memset(buf, 0, size)) {
        return false;
    }
    r->at += size;
    r->in_cluster = r->at % cluster_size(&r->image) != 0;
    *got = size;
    return true;
}

static void state_free(void *opaque)
{
    Reading *r = opaque;

    g_free(r->l2);
    g_free(r);
}

static const PullOps state_ops = { state_read, state_free };

static IoChannel *open_state(const Qcow2 *image, const State *state,
                             GError **errp)
{
    uint64_t reach = UINT64_C(1) << reach_bits(image);
    uint64_t begin = (state->disk + reach - 1) / reach * reach;
    Reading *r;

    if (state->l1_entries > L1_MAX / 8 ||
        state->disk > INT64_MAX - reach ||
        state->shown.size > INT64_MAX - begin) {
        bad(errp, "a snapshot of %" G_GUINT64_FORMAT " bytes behind %"
            G_GUINT64_FORMAT ", with %u L1 entries", state->shown.size,
            state->disk, state->l1_entries);
        return NULL;
    }
    r = g_new0(Reading, 1);
    r->image = *image;
    r->l1 = state->l1;
    r->l1_entries = state->l1_entries;
    r->at = begin;
    r->end = begin + state->shown.size;
    r->visits = image->file_size / cluster_size(image) + 1;
    r->l2_index = UINT64_MAX;
    r->l2 = g_malloc0(cluster_size(image));
    return pull_channel_new("qcow2", &state_ops, r);
}

/* All together */

static bool no_snapshot(const Input *input, GError **errp)
{
    const char *wanted = input_wanted_snapshot(input);
    g_autofree char *shown = wanted ? g_strescape(wanted, NULL) : NULL;

    if (!input_has_saved_guest(input)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "a qcow2 disk image without an internal snapshot of a "
                    "guest that ran");
        return false;
    }
    if (wanted) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "the image has no snapshot '%s' of a guest that ran",
                    shown);
    }
    return !wanted;
}

bool qcow2_open(Input *input, GError **errp)
{
    Qcow2 image = { .fd = -1 };
    State state = { .l1 = 0 };
    IoChannel *channel;
    bool found;

    if (!input_need_file(input, errp)) {
        return false;
    }
    image.fd = input_file(input, &image.begin);
    image.file_size = input_file_size(input);
    if (!read_header(input, &image, errp) ||
        !read_table(input, &image, &state, &found, errp)) {
        return false;
    }
    if (!found) {
        return no_snapshot(input, errp);
    }
    channel = open_state(&image, &state, errp);
    if (channel) {
        g_autofree char *id = g_strescape(state.shown.id, NULL);
        g_autofree char *name = g_strescape(state.shown.name, NULL);

        input_push(input, "qcow2",
                   g_strdup_printf("snapshot '%s', id '%s'", name, id),
                   channel);
    }
    return channel != NULL;
}
