/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams over memory: one that collects what is put, and one that reads given
 * bytes.  Nothing blocks, so a test needs no thread.
 */
#ifndef TESTS_MEM_CHANNEL_H
#define TESTS_MEM_CHANNEL_H

#include <gio/gio.h>

#include "ferry/channel.h"
#include "migration/wire/stream.h"

typedef struct MemWriter {
    GOutputStream *memory;
    IoChannel *channel;
    Stream *stream;
} MemWriter;

MemWriter *mem_writer_new(void);
/* Fails, as a full disk does, with the first byte above max. */
MemWriter *mem_writer_new_bounded(size_t max);
void mem_writer_free(MemWriter *w);

/* What has reached the channel so far. */
GBytes *mem_writer_peek(MemWriter *w);

/* Flush, which succeeds; free the writer; return all bytes. */
GBytes *mem_writer_finish(MemWriter *w);

typedef struct MemReader {
    GBytes *bytes;
    IoChannel *channel;
    Stream *stream;
} MemReader;

/* Takes a reference to bytes. */
MemReader *mem_reader_new(GBytes *bytes);
/* The same, but a read gives at most that many bytes. */
MemReader *mem_reader_new_chunked(GBytes *bytes, size_t chunk);
MemReader *mem_reader_new_static(const void *data, size_t size);
void mem_reader_free(MemReader *r);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemWriter, mem_writer_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemReader, mem_reader_free)

#endif
