/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream has one buffer.  A writer collects small puts in it and sends it in
 * front of the next large write, in the same system call.  A reader fills it
 * with as much as one read gives; large reads go straight to their destination.
 */
#include "migration/wire/stream.h"

#include <stdarg.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "util/endian.h"

#define STREAM_BUFFER  (256u << 10)
#define STREAM_VECTORS 512u

struct Stream {
    IoChannel *channel;
    StreamPacer *pacer;
    void *pacer_opaque;
    StreamWatch *watch;
    void *watch_opaque;
    const StreamTap *tap; /* or NULL */
    void *tap_opaque;
    StreamLeap *leap;
    void *leap_opaque;
    XXH3_state_t *sum; /* NULL: nobody has asked for one */
    bool sum_held;     /* nothing is added to it */
    GError *error;     /* writer: the first error, until it is reported */
    bool failed;       /* writer: after an error nothing more goes out */
    uint64_t position; /* bytes got or put */
    size_t ahead;      /* reader: most bytes to read at once */
    size_t start;      /* reader: first byte of the buffer not given out yet */
    size_t end;        /* bytes in the buffer */
    uint8_t buffer[STREAM_BUFFER];
};

Stream *stream_new(IoChannel *channel)
{
    Stream *s = g_new(Stream, 1);

    memset(s, 0, offsetof(Stream, buffer));
    s->channel = channel;
    s->ahead = STREAM_BUFFER;
    return s;
}

void stream_free(Stream *s)
{
    if (s) {
        g_clear_error(&s->error);
        XXH3_freeState(s->sum);
        g_free(s);
    }
}

uint64_t stream_position(const Stream *s)
{
    return s->position;
}

void stream_sum_begin(Stream *s)
{
    g_assert(!s->sum);
    s->sum = XXH3_createState();
    g_assert(s->sum);
    XXH3_64bits_reset(s->sum);
}

bool stream_has_sum(const Stream *s)
{
    return s->sum != NULL;
}

uint64_t stream_sum(const Stream *s)
{
    return s->sum ? XXH3_64bits_digest(s->sum) : 0;
}

void stream_sum_hold(Stream *s)
{
    s->sum_held = true;
}

void stream_sum_add(Stream *s, const void *buf, size_t size)
{
    g_assert(s->sum && s->sum_held);
    XXH3_64bits_update(s->sum, buf, size);
}

/* These bytes are the next ones. */
static void advance(Stream *s, const void *buf, size_t size)
{
    s->position += size;
    if (s->sum && !s->sum_held) {
        XXH3_64bits_update(s->sum, buf, size);
    }
}

void stream_set_pacer(Stream *s, StreamPacer *pacer, void *opaque)
{
    s->pacer = pacer;
    s->pacer_opaque = opaque;
}

void stream_set_watch(Stream *s, StreamWatch *watch, void *opaque)
{
    s->watch = watch;
    s->watch_opaque = opaque;
}

void stream_set_ahead(Stream *s, size_t bytes)
{
    g_assert(bytes > 0);
    s->ahead = MIN(bytes, STREAM_BUFFER);
}

void stream_set_tap(Stream *s, const StreamTap *tap, void *opaque)
{
    s->tap = tap;
    s->tap_opaque = opaque;
}

void stream_set_leap(Stream *s, StreamLeap *leap, void *opaque)
{
    s->leap = leap;
    s->leap_opaque = opaque;
}

/* Turn GIO's errors into the library's. */
static void take_error(GError *err, GError **errp)
{
    MigErrorCode code = MIG_ERROR_IO;

    if (err->domain == MIG_ERROR) {
        code = err->code;
    } else if (g_error_matches(err, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        code = MIG_ERROR_CANCELLED;
    }
    g_set_error_literal(errp, MIG_ERROR, code, err->message);
    g_error_free(err);
}

/* Writing */

static bool write_watched(Stream *s, GOutputVector *vectors, unsigned count)
{
    bool ok;

    if (s->watch) {
        s->watch(s->watch_opaque, true);
    }
    ok = io_channel_writev(s->channel, vectors, count, &s->error);
    if (s->watch) {
        s->watch(s->watch_opaque, false);
    }
    return ok;
}

/* Send vectors, and use their array as scratch space. */
static bool send_vectors(Stream *s, GOutputVector *vectors, unsigned count,
                         size_t bytes)
{
    if (s->failed) {
        return false;
    }
    s->failed = (s->pacer && !s->pacer(s->pacer_opaque, bytes, &s->error)) ||
                !write_watched(s, vectors, count);
    return !s->failed;
}

static bool report(Stream *s, GError **errp)
{
    if (!s->failed) {
        return true;
    }
    if (s->error) {
        take_error(g_steal_pointer(&s->error), errp);
    } else {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_IO,
                    "the channel had failed before");
    }
    return false;
}

static void flush_buffer(Stream *s)
{
    GOutputVector vector = { s->buffer, s->end };

    if (s->end) {
        send_vectors(s, &vector, 1, s->end);
        s->end = 0;
    }
}

void stream_put_bytes(Stream *s, const void *buf, size_t size)
{
    const uint8_t *from = buf;

    advance(s, buf, size);
    while (size) {
        size_t part = MIN(size, STREAM_BUFFER - s->end);

        memcpy(s->buffer + s->end, from, part);
        s->end += part;
        from += part;
        size -= part;
        if (s->end == STREAM_BUFFER) {
            flush_buffer(s);
        }
    }
}

void stream_put_u8(Stream *s, uint8_t v)
{
    stream_put_bytes(s, &v, sizeof(v));
}

void stream_put_be16(Stream *s, uint16_t v)
{
    uint8_t buf[sizeof(v)];

    store_be16(buf, v);
    stream_put_bytes(s, buf, sizeof(buf));
}

void stream_put_be32(Stream *s, uint32_t v)
{
    uint8_t buf[sizeof(v)];

    store_be32(buf, v);
    stream_put_bytes(s, buf, sizeof(buf));
}

void stream_put_be64(Stream *s, uint64_t v)
{
    uint8_t buf[sizeof(v)];

    store_be64(buf, v);
    stream_put_bytes(s, buf, sizeof(buf));
}

void stream_put_name(Stream *s, const char *name)
{
    size_t length = strlen(name);

    g_assert(length > 0 && length <= 255);
    stream_put_u8(s, (uint8_t)length);
    stream_put_bytes(s, name, length);
}

bool stream_flush(Stream *s, GError **errp)
{
    flush_buffer(s);
    return report(s, errp);
}

bool stream_writev(Stream *s, const GOutputVector *vectors, unsigned count,
                   GError **errp)
{
    GOutputVector all[1 + STREAM_VECTORS];
    size_t bytes = s->end;

    g_assert(count <= STREAM_VECTORS);
    all[0] = (GOutputVector){ s->buffer, s->end };
    for (unsigned i = 0; i < count; i++) {
        all[1 + i] = vectors[i];
        bytes += vectors[i].size;
        advance(s, vectors[i].buffer, vectors[i].size);
    }
    if (s->end) {
        send_vectors(s, all, 1 + count, bytes);
    } else {
        send_vectors(s, all + 1, count, bytes);
    }
    s->end = 0;
    return report(s, errp);
}

/* Reading */

static bool set_idle(Stream *s, bool waits, GError **errp)
{
    return s->tap->idle(s->tap_opaque, waits, errp);
}

bool stream_has_input(const Stream *s)
{
    return io_channel_has_input(s->channel);
}

static bool read_some(Stream *s, void *buf, size_t size, size_t *nread,
                      GError **errp)
{
    bool waits = s->tap && s->tap->idle && !stream_has_input(s);
    GError *err = NULL;

    if (waits && !set_idle(s, true, errp)) {
        return false;
    }
    if (!io_channel_read(s->channel, buf, size, nread, &err)) {
        take_error(err, errp);
        return false;
    }
    return !waits || set_idle(s, false, errp);
}

/* Account for bytes that were copied to their destination, or are skipped. */
static bool give(Stream *s, const void *buf, size_t size, GError **errp)
{
    advance(s, buf, size);
    return !size || !s->tap || !s->tap->given ||
           s->tap->given(s->tap_opaque, buf, size, errp);
}

static bool end_of_file(const Stream *s, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                "the channel ended at byte %" G_GUINT64_FORMAT
                " of the stream, in the middle of it (the other end went "
                "away, or the file is cut short)", s->position);
    return false;
}

/* Read once into the buffer, which is empty.  It stays empty at the end. */
static bool refill(Stream *s, GError **errp)
{
    s->start = s->end = 0;
    return read_some(s, s->buffer, s->ahead, &s->end, errp);
}

static bool fill_buffer(Stream *s, GError **errp)
{
    return refill(s, errp) && (s->end > 0 || end_of_file(s, errp));
}

bool stream_get_bytes(Stream *s, void *buf, size_t size, GError **errp)
{
    uint8_t *to = buf;

    while (size) {
        size_t part = MIN(size, s->end - s->start);

        memcpy(to, s->buffer + s->start, part);
        s->start += part;
        if (part == 0 && size >= STREAM_BUFFER) {
            if (!read_some(s, to, size, &part, errp)) {
                return false;
            }
            if (part == 0) {
                return end_of_file(s, errp);
            }
        } else if (part == 0 && !fill_buffer(s, errp)) {
            return false;
        }
        if (!give(s, to, part, errp)) {
            return false;
        }
        to += part;
        size -= part;
    }
    return true;
}

bool stream_get_some(Stream *s, void *buf, size_t size, size_t *got,
                     GError **errp)
{
    if (s->start == s->end && !refill(s, errp)) {
        return false;
    }
    *got = MIN(size, s->end - s->start);
    memcpy(buf, s->buffer + s->start, *got);
    s->start += *got;
    return give(s, buf, *got, errp);
}

/* Is there nobody who wants to see the bytes that are passed over? */
static bool may_leap(const Stream *s)
{
    return !s->tap && (!s->sum || s->sum_held);
}

/* Where many bytes are to be passed over, and the channel need not read them
 * for that. */
static bool leap(Stream *s, uint64_t size, uint64_t *leapt, GError **errp)
{
    GError *err = NULL;

    *leapt = 0;
    if (!s->leap || size < STREAM_BUFFER || !may_leap(s)) {
        return true;
    }
    if (!s->leap(s->leap_opaque, size, leapt, &err)) {
        take_error(err, errp);
        return false;
    }
    s->position += *leapt;
    return true;
}

bool stream_skip(Stream *s, uint64_t size, GError **errp)
{
    while (size) {
        size_t part = MIN(size, s->end - s->start);
        uint64_t leapt = 0;

        if (part == 0 && !leap(s, size, &leapt, errp)) {
            return false;
        }
        size -= leapt;
        if (leapt) {
            continue;
        }
        if (part == 0 && !fill_buffer(s, errp)) {
            return false;
        }
        s->start += part;
        if (!give(s, s->buffer + s->start - part, part, errp)) {
            return false;
        }
        size -= part;
    }
    return true;
}

bool stream_get_u8(Stream *s, uint8_t *v, GError **errp)
{
    return stream_get_bytes(s, v, sizeof(*v), errp);
}

bool stream_get_be16(Stream *s, uint16_t *v, GError **errp)
{
    if (!stream_get_bytes(s, v, sizeof(*v), errp)) {
        return false;
    }
    *v = load_be16(v);
    return true;
}

bool stream_get_be32(Stream *s, uint32_t *v, GError **errp)
{
    if (!stream_get_bytes(s, v, sizeof(*v), errp)) {
        return false;
    }
    *v = load_be32(v);
    return true;
}

bool stream_get_be64(Stream *s, uint64_t *v, GError **errp)
{
    if (!stream_get_bytes(s, v, sizeof(*v), errp)) {
        return false;
    }
    *v = load_be64(v);
    return true;
}

bool stream_peek_u8(Stream *s, uint8_t *v, GError **errp)
{
    if (s->start == s->end && !fill_buffer(s, errp)) {
        return false;
    }
    *v = s->buffer[s->start];
    return true;
}

/* Make room for size bytes from start on. */
static void make_room(Stream *s, size_t size)
{
    g_assert(size <= STREAM_BUFFER);
    if (s->start == s->end || s->start + size > STREAM_BUFFER) {
        memmove(s->buffer, s->buffer + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
    }
}

const uint8_t *stream_peek_some(Stream *s, size_t size, size_t *got,
                                GError **errp)
{
    size_t part = 1;

    make_room(s, size);
    while (part && s->end - s->start < size) {
        size_t lacking = size - (s->end - s->start);
        size_t room = MIN(s->ahead, STREAM_BUFFER - s->end);

        if (!read_some(s, s->buffer + s->end, MAX(room, lacking), &part,
                       errp)) {
            return NULL;
        }
        s->end += part;
    }
    *got = s->end - s->start;
    return s->buffer + s->start;
}

const uint8_t *stream_peek(Stream *s, size_t size, GError **errp)
{
    size_t got;
    const uint8_t *bytes = stream_peek_some(s, size, &got, errp);

    if (bytes && got < size) {
        end_of_file(s, errp);
        return NULL;
    }
    return bytes;
}

void stream_restart(Stream *s)
{
    s->position = 0;
}

bool stream_get_name(Stream *s, char name[256], GError **errp)
{
    uint8_t length;

    if (!stream_get_u8(s, &length, errp)) {
        return false;
    }
    if (length == 0) {
        stream_bad(s, errp, "an empty name");
        return false;
    }
    if (!stream_get_bytes(s, name, length, errp)) {
        return false;
    }
    name[length] = '\0';
    if (strlen(name) != length) {
        stream_bad(s, errp, "a name with a NUL byte in it");
        return false;
    }
    return true;
}

bool stream_drain(Stream *s, size_t max, GError **errp)
{
    size_t nread = s->end - s->start;

    do {
        s->position += nread;
        if (nread > max) {
            stream_bad(s, errp, "bytes after the end");
            return false;
        }
        max -= nread;
        s->start = s->end = 0;
        if (!read_some(s, s->buffer, STREAM_BUFFER, &nread, errp)) {
            return false;
        }
    } while (nread > 0);
    return true;
}

void stream_bad(const Stream *s, GError **errp, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "%s, before byte %" G_GUINT64_FORMAT " of the stream", text,
                s->position);
}
