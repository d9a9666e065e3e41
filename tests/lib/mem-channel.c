/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/mem-channel.h"

/* A GInputStream that gives its bytes in pieces of bounded size. */

#define CHUNK_TYPE_INPUT (chunk_input_get_type())
G_DECLARE_FINAL_TYPE(ChunkInput, chunk_input, CHUNK, INPUT, GInputStream)

struct _ChunkInput {
    GInputStream parent;
    GBytes *bytes;
    size_t position;
    size_t chunk;
};

G_DEFINE_TYPE(ChunkInput, chunk_input, G_TYPE_INPUT_STREAM)

static gssize chunk_input_read(GInputStream *stream, void *buf, gsize size,
                               GCancellable *cancel, GError **errp)
{
    ChunkInput *input = CHUNK_INPUT(stream);
    size_t total;
    const uint8_t *data = g_bytes_get_data(input->bytes, &total);
    size_t part = MIN(MIN(size, input->chunk), total - input->position);

    if (g_cancellable_set_error_if_cancelled(cancel, errp)) {
        return -1;
    }
    if (part) {
        memcpy(buf, data + input->position, part);
        input->position += part;
    }
    return (gssize)part;
}

static void chunk_input_finalize(GObject *object)
{
    g_bytes_unref(CHUNK_INPUT(object)->bytes);
    G_OBJECT_CLASS(chunk_input_parent_class)->finalize(object);
}

static void chunk_input_class_init(ChunkInputClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = chunk_input_finalize;
    G_INPUT_STREAM_CLASS(klass)->read_fn = chunk_input_read;
}

static void chunk_input_init(ChunkInput *input)
{
}

/* Writing */

static MemWriter *writer_over(GOutputStream *memory)
{
    MemWriter *w = g_new0(MemWriter, 1);

    w->memory = memory;
    w->channel = io_channel_new("memory", NULL, memory);
    w->stream = stream_new(w->channel);
    return w;
}

MemWriter *mem_writer_new(void)
{
    return writer_over(g_memory_output_stream_new_resizable());
}

MemWriter *mem_writer_new_bounded(size_t max)
{
    return writer_over(
        g_memory_output_stream_new(g_malloc(max), max, NULL, g_free));
}

void mem_writer_free(MemWriter *w)
{
    stream_free(w->stream);
    io_channel_free(w->channel);
    g_object_unref(w->memory);
    g_free(w);
}

GBytes *mem_writer_peek(MemWriter *w)
{
    GMemoryOutputStream *memory = G_MEMORY_OUTPUT_STREAM(w->memory);

    return g_bytes_new(g_memory_output_stream_get_data(memory),
                       g_memory_output_stream_get_data_size(memory));
}

GBytes *mem_writer_finish(MemWriter *w)
{
    g_autoptr(GError) err = NULL;
    GBytes *bytes;

    stream_flush(w->stream, &err);
    g_assert_no_error(err);
    bytes = mem_writer_peek(w);
    mem_writer_free(w);
    return bytes;
}

/* Reading */

MemReader *mem_reader_new_chunked(GBytes *bytes, size_t chunk)
{
    MemReader *r = g_new0(MemReader, 1);
    g_autoptr(ChunkInput) input = g_object_new(CHUNK_TYPE_INPUT, NULL);

    input->bytes = g_bytes_ref(bytes);
    input->chunk = chunk;
    r->bytes = g_bytes_ref(bytes);
    r->channel = io_channel_new("memory", G_INPUT_STREAM(input), NULL);
    r->stream = stream_new(r->channel);
    return r;
}

MemReader *mem_reader_new(GBytes *bytes)
{
    return mem_reader_new_chunked(bytes, G_MAXSSIZE);
}

MemReader *mem_reader_new_static(const void *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);

    return mem_reader_new(bytes);
}

void mem_reader_free(MemReader *r)
{
    stream_free(r->stream);
    io_channel_free(r->channel);
    g_bytes_unref(r->bytes);
    g_free(r);
}
