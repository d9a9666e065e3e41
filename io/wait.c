/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting for input, or for something else that may come first: a loop over a
 * GMainContext of its own.  Each source sets its flag.
 */
#include <gio/gfiledescriptorbased.h>
#include <glib-unix.h>
#include <poll.h>

#include "io/channel-kind.h"
#include "io/io-internal.h"

GSource *io_cancel_source(GCancellable *cancel)
{
    int fd = g_cancellable_get_fd(cancel);

    return fd >= 0 ? g_unix_fd_source_new(fd, G_IO_IN) : NULL;
}

static gboolean on_input(GObject *stream, void *opaque)
{
    *(bool *)opaque = true;
    return G_SOURCE_REMOVE;
}

static gboolean on_time(void *opaque)
{
    *(bool *)opaque = true;
    return G_SOURCE_REMOVE;
}

static gboolean on_cancelled(int fd, GIOCondition condition, void *opaque)
{
    *(bool *)opaque = true;
    return G_SOURCE_REMOVE;
}

void io_watch(GMainContext *context, GSource *source, GSourceFunc func,
              void *opaque)
{
    if (source) {
        g_source_set_callback(source, func, opaque, NULL);
        g_source_attach(source, context);
        g_source_unref(source);
    }
}

/* The stream, or NULL where it cannot be polled. */
static GPollableInputStream *pollable_of(IoChannel *channel)
{
    GPollableInputStream *in;

    if (!channel->in || !G_IS_POLLABLE_INPUT_STREAM(channel->in)) {
        return NULL;
    }
    in = G_POLLABLE_INPUT_STREAM(channel->in);
    return g_pollable_input_stream_can_poll(in) ? in : NULL;
}

bool io_channel_has_input(IoChannel *channel)
{
    GPollableInputStream *in = pollable_of(channel);

    if (channel->ops->has_input) {
        return channel->ops->has_input(channel);
    }
    return channel->head_from < channel->head_size ||
           (in && g_pollable_input_stream_is_readable(in));
}

bool io_kind_has_hung_up(const IoChannel *channel)
{
    struct pollfd look = { .fd = -1, .events = POLLRDHUP };

    if (channel->in && G_IS_FILE_DESCRIPTOR_BASED(channel->in)) {
        look.fd = g_file_descriptor_based_get_fd(
            G_FILE_DESCRIPTOR_BASED(channel->in));
    }
    return look.fd >= 0 && poll(&look, 1, 0) > 0;
}

bool io_channel_wait_input(IoChannel *channel, int ms, GCancellable *until)
{
    GPollableInputStream *in = pollable_of(channel);
    g_autoptr(GMainContext) context = NULL;
    bool input = false, over = false;

    if (channel->head_from < channel->head_size || !in) {
        return true;
    }
    context = g_main_context_new();
    io_watch(context, g_pollable_input_stream_create_source(in, NULL),
             G_SOURCE_FUNC(on_input), &input);
    /* On an aborted channel a read fails at once. */
    io_watch(context, io_cancel_source(channel->aborted),
             G_SOURCE_FUNC(on_cancelled), &input);
    io_watch(context, io_cancel_source(until), G_SOURCE_FUNC(on_cancelled),
             &over);
    if (ms >= 0) {
        io_watch(context, g_timeout_source_new((guint)ms), on_time, &over);
    }
    while (!input && !over) {
        g_main_context_iteration(context, TRUE);
    }
    g_cancellable_release_fd(channel->aborted);
    g_cancellable_release_fd(until);
    return input;
}
