/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A channel reads compressed bytes from the stream below it, as they are
 * needed, and gives what they decode to: by a library or, where this build has
 * none for the format, by the format's program, which a pipe comes from.
 *
 * No file is believed to hold more than RATIO times its own size, and ROOM: a
 * few bytes, decoded by one decoder after the other, could give terabytes.
 *
 * Files may be joined: behind the end of one the next one begins.  Other bytes
 * behind an end, such as the zeros of a volume, are not looked at.
 */
#include "tools/inspect/containers/decode.h"

#include <string.h>

#include "ferry/error.h"
#include "tools/inspect/containers/decode-library.h"
#include "tools/inspect/containers/decode-program.h"
#include "tools/inspect/containers/pull-channel.h"

#define ROOM  (UINT64_C(1) << 30)
#define RATIO 16384u /* zstd's highest for a whole file is twice that */

typedef struct Format {
    const char *name;
    const char *magic;
    size_t magic_size;
    const DecodeLibrary *library; /* NULL: this build has none */
    const char *program;
} Format;

#define MAGIC_MAX 9u

static const Format formats[] = {
    { "gzip", "\x1f\x8b\x08", 3, &decode_gzip, "gzip" },
    { "bzip2", "BZh", 3, DECODE_BZIP2, "bzip2" },
    { "xz", "\xfd" "7zXZ\0", 6, DECODE_XZ, "xz" },
    { "zstd", "\x28\xb5\x2f\xfd", 4, DECODE_ZSTD, "zstd" },
    { "zstd", "\x50\x2a\x4d\x18", 4, DECODE_ZSTD, "zstd" }, /* of pzstd */
    { "lzop", "\x89LZO\0\r\n\x1a\n", 9, NULL, "lzop" },
};

/* A file that is being decoded by a library. */
typedef struct Decode {
    const Format *format;
    const Input *input;
    Stream *from;
    void *state;    /* the library's; NULL: at the end */
    uint64_t given; /* bytes */
} Decode;

static const Format *find_format(const uint8_t *head, size_t size)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        const Format *f = &formats[i];

        if (size >= f->magic_size && !memcmp(head, f->magic, f->magic_size)) {
            return f;
        }
    }
    return NULL;
}

bool decode_knows(const uint8_t *head, size_t size)
{
    return find_format(head, size) != NULL;
}

/* A file has ended: is another one behind it? */
static bool end_file(Decode *d, GError **errp)
{
    const Format *next;
    const uint8_t *head;
    size_t size;

    d->format->library->stop(d->state);
    d->state = NULL;
    head = stream_peek_some(d->from, MAGIC_MAX, &size, errp);
    next = head ? find_format(head, size) : NULL;
    if (next && next->library == d->format->library) {
        d->state = next->library->start();
    }
    return head != NULL;
}

static bool run_library(Decode *d, const uint8_t *in, size_t in_size,
                        DecodeOut *out, GError **errp)
{
    DecodeIn from = { in, in_size };
    bool ended = false;
    const char *fault =
        d->format->library->run(d->state, &from, out, &ended);

    if (!stream_skip(d->from, in_size - from.size, errp)) {
        return false;
    }
    if (fault) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "the compressed data is damaged before byte %"
                    G_GUINT64_FORMAT ": %s", stream_position(d->from), fault);
        return false;
    }
    return !ended || end_file(d, errp);
}

static bool check_ratio(const Decode *d, GError **errp)
{
    uint64_t size = input_position(d->input);

    if (d->given / RATIO <= size || d->given - size * RATIO <= ROOM) {
        return true;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "%" G_GUINT64_FORMAT " bytes of the file give more than %"
                G_GUINT64_FORMAT ", which is not believed", size, d->given);
    return false;
}

static bool decode_read(void *opaque, void *buf, size_t size, size_t *got,
                        GError **errp)
{
    Decode *d = opaque;
    DecodeOut out = { buf, size };

    *got = 0;
    while (d->state && out.size == size) {
        size_t in_size;
        const uint8_t *in = stream_peek_some(d->from, 1, &in_size, errp);

        if (!in || !run_library(d, in, in_size, &out, errp)) {
            return false;
        }
        if (in_size == 0 && out.size == size) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                        "the compressed data ends in the middle, at byte %"
                        G_GUINT64_FORMAT " (the file is cut short)",
                        stream_position(d->from));
            return false;
        }
    }
    *got = size - out.size;
    d->given += *got;
    return check_ratio(d, errp);
}

static void decode_free(void *opaque)
{
    Decode *d = opaque;

    if (d->state) {
        d->format->library->stop(d->state);
    }
    g_free(d);
}

static const PullOps decode_ops = { decode_read, decode_free };

static IoChannel *open_library(const Format *format, const Input *input,
                               Stream *from)
{
    Decode *d = g_new0(Decode, 1);

    d->format = format;
    d->input = input;
    d->from = from;
    d->state = format->library->start();
    return pull_channel_new(format->name, &decode_ops, d);
}

bool decode_open(Input *input, GError **errp)
{
    Stream *from = input_stream(input);
    size_t size;
    const uint8_t *head = stream_peek_some(from, 1, &size, errp);
    const Format *format;
    IoChannel *channel;

    if (!head) {
        return false;
    }
    format = find_format(head, size);
    channel = format->library ? open_library(format, input, from)
                              : decode_program(input, format->program, errp);
    if (channel) {
        input_push(input, format->name, g_strdup(""), channel);
    }
    return channel != NULL;
}
