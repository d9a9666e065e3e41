/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Typed, buffered reading or writing of one direction of a channel.
 *
 * One thread owns a Stream.  A stream either reads or writes; the two
 * directions of a two-way channel are two streams.
 *
 * Errors: MIG_ERROR_EOF (with the offset), MIG_ERROR_IO, MIG_ERROR_CANCELLED.
 */
#ifndef MIGRATION_WIRE_STREAM_H
#define MIGRATION_WIRE_STREAM_H

#include <gio/gio.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "ferry/error.h"

typedef struct Stream Stream;

/* The channel is borrowed and must outlive the stream. */
Stream *stream_new(IoChannel *channel);
void stream_free(Stream *s);

/* Bytes read, or put, since the start. */
uint64_t stream_position(const Stream *s);

/* A checksum (XXH3, 64 bits) over all bytes that are put, or given out, from
 * now on; has it begun?  And what it is so far.  Not yet begun: 0. */
void stream_sum_begin(Stream *s);
bool stream_has_sum(const Stream *s);
uint64_t stream_sum(const Stream *s);
/* For a reader that learns only later which bytes are in the sum: nothing is
 * added to it any more, but what the reader adds itself. */
void stream_sum_hold(Stream *s);
void stream_sum_add(Stream *s, const void *buf, size_t size);

/*
 * Called before bytes go to the channel.  May block to keep a rate.  May fail.
 */
typedef bool StreamPacer(void *opaque, size_t bytes, GError **errp);
void stream_set_pacer(Stream *s, StreamPacer *pacer, void *opaque);

/* Called before each write to the channel, with true, and after it, with
 * false. */
typedef void StreamWatch(void *opaque, bool writes);
void stream_set_watch(Stream *s, StreamWatch *watch, void *opaque);

/*
 * Writing.  Puts are buffered and do not fail.  The channel's first error is
 * kept, and reported by the next stream_writev() or stream_flush().
 */
void stream_put_u8(Stream *s, uint8_t v);
void stream_put_be16(Stream *s, uint16_t v);
void stream_put_be32(Stream *s, uint32_t v);
void stream_put_be64(Stream *s, uint64_t v);
void stream_put_bytes(Stream *s, const void *buf, size_t size);
void stream_put_name(Stream *s, const char *name); /* u8 length, bytes */

/* Write the buffer and then these vectors, without copying them. */
bool stream_writev(Stream *s, const GOutputVector *vectors, unsigned count,
                   GError **errp);
bool stream_flush(Stream *s, GError **errp);

/*
 * An observer of a stream that is read.  Either function may be NULL.  Either
 * may fail, and then the read fails.
 */
typedef struct StreamTap {
    /* Gets all bytes that are given out, in order.  Gets also the bytes before
     * the end or an error, which the reader itself does not get. */
    bool (*given)(void *opaque, const void *buf, size_t size, GError **errp);
    /* waits true: the channel has nothing now, and the stream will wait for
     * it.  False: the wait is over. */
    bool (*idle)(void *opaque, bool waits, GError **errp);
} StreamTap;

/* How many bytes, at least one, a reader may take from the channel before they
 * are asked for.  At first it may take as many as it has room for. */
void stream_set_ahead(Stream *s, size_t bytes);

/* tap is borrowed. */
void stream_set_tap(Stream *s, const StreamTap *tap, void *opaque);

/*
 * Called when many bytes are to be skipped, and nobody wants to see them.
 * Passes over at most size bytes of the channel without reading them, and says
 * how many; 0 where only reading leads on.
 */
typedef bool StreamLeap(void *opaque, uint64_t size, uint64_t *leapt,
                        GError **errp);
void stream_set_leap(Stream *s, StreamLeap *leap, void *opaque);

/* Reading.  Each call is all or nothing, except get_some. */
bool stream_get_u8(Stream *s, uint8_t *v, GError **errp);
bool stream_get_be16(Stream *s, uint16_t *v, GError **errp);
bool stream_get_be32(Stream *s, uint32_t *v, GError **errp);
bool stream_get_be64(Stream *s, uint64_t *v, GError **errp);
bool stream_get_bytes(Stream *s, void *buf, size_t size, GError **errp);
bool stream_skip(Stream *s, uint64_t size, GError **errp);
/* Read what is there, 1..size bytes; 0 when the channel has ended. */
bool stream_get_some(Stream *s, void *buf, size_t size, size_t *got,
                     GError **errp);
/* Would a get that needs more than the buffer has return at once, with bytes,
 * the end, or an error?  False also where the channel cannot tell. */
bool stream_has_input(const Stream *s);
bool stream_peek_u8(Stream *s, uint8_t *v, GError **errp);
/* The next bytes, at least size of them, valid until the next call.  NULL when
 * not that many come; those that came can still be read. */
const uint8_t *stream_peek(Stream *s, size_t size, GError **errp);

/* The same, but fewer than size where the channel ends before; *got says how
 * many there are. */
const uint8_t *stream_peek_some(Stream *s, size_t size, size_t *got,
                                GError **errp);

/* What was read so far was something that stood before the stream: it begins
 * here, at position 0. */
void stream_restart(Stream *s);

/* u8 length, and that many bytes: at least one, none of them NUL. */
bool stream_get_name(Stream *s, char name[256], GError **errp);

/* Read and drop bytes until the peer has closed.  False on more than max. */
bool stream_drain(Stream *s, size_t max, GError **errp);

/* Set MIG_ERROR_STREAM, with the stream's position appended. */
void stream_bad(const Stream *s, GError **errp, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

#endif
