/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/mem-channel.h"

#include "tests/lib/fault-channel.h"

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
    Fault short_reads = { .chunk = chunk };
    g_autoptr(GInputStream) memory =
        g_memory_input_stream_new_from_bytes(bytes);
    g_autoptr(GInputStream) input = fault_input_new(memory, NULL,
                                                    &short_reads);

    r->bytes = g_bytes_ref(bytes);
    r->channel = io_channel_new("memory", input, NULL);
    r->stream = stream_new(r->channel);
    return r;
}

MemReader *mem_reader_new(GBytes *bytes)
{
    return mem_reader_new_chunked(bytes, 0);
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
