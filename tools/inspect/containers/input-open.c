/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Containers are found by their first bytes.  A few of them may be inside of
 * each other: libvirt's image has a compressed stream, and people compress
 * files as a whole.  Their depth is limited, because a file can be made that
 * decompresses to itself.
 *
 * Some kinds of stream are not read from front to back (mapped-ram).  If such a
 * stream is in no file, because it is compressed or comes from a pipe, it is
 * first copied to one.
 */
#include "tools/inspect/containers/input.h"

#include <string.h>

#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tools/inspect/containers/decode.h"
#include "tools/inspect/containers/libvirt.h"
#include "tools/inspect/containers/qcow2.h"

typedef struct Kind {
    const char *magic;
    size_t size;
    bool (*open)(Input *input, GError **errp);
} Kind;

#define MAGIC_MAX 16u

static const Kind kinds[] = {
    { LIBVIRT_SAVED, LIBVIRT_MAGIC_SIZE, libvirt_open },
    { LIBVIRT_PARTIAL, LIBVIRT_MAGIC_SIZE, libvirt_open },
    { QCOW2_MAGIC, QCOW2_MAGIC_SIZE, qcow2_open },
};

/* Which kind begins with these bytes? */
static const Kind *find_kind(const uint8_t *head, size_t size)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (size >= kinds[i].size &&
            !memcmp(head, kinds[i].magic, kinds[i].size)) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* Open the outermost container that is left.  *found says whether there was
 * one. */
static bool open_next(Input *input, bool *found, GError **errp)
{
    Stream *stream = input_stream(input);
    const uint8_t *head;
    const Kind *kind;
    size_t size;

    *found = false;
    /* A source that runs may have sent no more than that. */
    head = stream_peek_some(stream, sizeof(uint32_t), &size, errp);
    if (!head || size < sizeof(uint32_t) ||
        section_check_header(head, sizeof(uint32_t), NULL)) {
        return head != NULL;
    }
    head = stream_peek_some(stream, MAGIC_MAX, &size, errp);
    if (!head) {
        return false;
    }
    kind = find_kind(head, size);
    *found = kind || decode_knows(head, size);
    if (*found && !input_has_room(input)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "more than %u files inside of each other", INPUT_DEPTH_MAX);
        return false;
    }
    return !*found || (kind ? kind->open(input, errp)
                            : decode_open(input, errp));
}

typedef enum {
    HEAD_CUT, /* these bytes are not all of it */
    HEAD_MAPPED,
    HEAD_OTHER,
} HeadKind;

/* Does a stream begin with these bytes whose pages are not in it, but all over
 * its file (mapped-ram)? */
static HeadKind head_kind(const uint8_t *head, size_t size)
{
    g_autoptr(GInputStream) in =
        g_memory_input_stream_new_from_data(head, (gssize)size, NULL);
    g_autofree Preamble *preamble = g_new(Preamble, 1);
    g_autoptr(GError) err = NULL;
    IoChannel *channel = io_channel_new("head", in, NULL);
    Stream *stream = stream_new(channel);
    HeadKind kind = HEAD_OTHER;

    if (!section_get_preamble(stream, preamble, &err)) {
        kind = g_error_matches(err, MIG_ERROR, MIG_ERROR_EOF) ? HEAD_CUT
                                                              : HEAD_OTHER;
    } else if (section_has_capability(preamble, WIRE_CAP_MAPPED_RAM)) {
        kind = HEAD_MAPPED;
    }
    stream_free(stream);
    io_channel_free(channel);
    return kind;
}

/* Look at no more bytes than are needed: a source may be at the other end of a
 * pipe. */
static bool open_stream(Input *input, GError **errp)
{
    HeadKind kind = HEAD_CUT;
    size_t size = 0, wanted;
    const uint8_t *head;
    uint64_t offset;

    if (input_file(input, &offset) >= 0 ||
        io_channel_is_two_way(input_channel(input))) {
        return true;
    }
    do {
        wanted = size + 1;
        head = stream_peek_some(input_stream(input), wanted, &size, errp);
        if (!head) {
            return false;
        }
        kind = head_kind(head, size);
    } while (kind == HEAD_CUT && size >= wanted && size < WIRE_PREAMBLE_MAX);
    return kind != HEAD_MAPPED || input_need_file(input, errp);
}

bool input_open(Input *input, GError **errp)
{
    unsigned before;
    bool found;

    do {
        before = input_containers(input)->len;
        if (!open_next(input, &found, errp)) {
            return false;
        }
        if (found && input_containers(input)->len == before) {
            return true; /* it was listed, and not opened */
        }
    } while (found);
    if (input_wanted_snapshot(input) && !input_snapshots(input)->len) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "this is no image with snapshots");
        return false;
    }
    input_found_stream(input);
    return open_stream(input, errp);
}
