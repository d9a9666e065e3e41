/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel is two GIO streams, a GCancellable that aborts whatever waits on
 * them, and whatever has to be kept, closed or waited for along with them: a
 * socket connection or a command.
 *
 * Every operation passes the cancellable.  GIO makes an eventfd for it where
 * a thread must wait, and drops it afterwards, unless somebody holds it: the
 * channel does, from its first day to its last.
 *
 * GIO tries a socket's system call first and polls only when that would
 * block, so a write that fits is one sendmsg() of all vectors (at most 1024,
 * the kernel's limit), a read one recv().  io_fd_writev does the same for
 * pipes and files, and stands in for GUnixOutputStream's writev, which polls
 * before every call and logs a warning whenever it fails or is cancelled.
 */
#include "ferry/channel.h"

#include <gio/gunixoutputstream.h>
#include <glib-unix.h>
#include <string.h>

#include "io/io-internal.h"
#include "io/tcp-queue.h"

struct IoChannel {
    char *name;
    GInputStream *in;              /* or NULL */
    GOutputStream *out;            /* or NULL */
    int out_fd;                    /* out's, while it is open, or -1 */
    IoSync sync;                   /* of out_fd */
    GCancellable *aborted;
    GSocketConnection *connection; /* that in and out belong to, or NULL */
    GTlsConnection *tls;           /* over connection: in and out are its */
    gint heard;                    /* atomic: the peer has sent something */
    TcpQueue queue;                /* of connection's socket */
    uint8_t head[IO_HEAD_MAX];     /* what was unread: head_size bytes, */
    size_t head_from;              /* from here on still to be read */
    size_t head_size;
    GSubprocess *command;          /* that in or out is a pipe to, or NULL */
};

IoChannel *io_channel_new(const char *name, GInputStream *in,
                          GOutputStream *out)
{
    IoChannel *channel = g_new0(IoChannel, 1);

    channel->name = g_strdup(name);
    channel->in = in ? g_object_ref(in) : NULL;
    channel->out = out ? g_object_ref(out) : NULL;
    channel->out_fd = -1;
    tcp_queue_init(&channel->queue, -1);
    if (out && G_IS_UNIX_OUTPUT_STREAM(out)) {
        channel->out_fd =
            g_unix_output_stream_get_fd(G_UNIX_OUTPUT_STREAM(out));
        g_unix_set_fd_nonblocking(channel->out_fd, TRUE, NULL);
    }
    io_sync_init(&channel->sync, channel->out_fd);
    channel->aborted = g_cancellable_new();
    g_cancellable_get_fd(channel->aborted);
    return channel;
}

IoChannel *io_connection_channel(const char *name,
                                 GSocketConnection *connection)
{
    GIOStream *stream = G_IO_STREAM(connection);
    IoChannel *channel = io_channel_new(name,
                                        g_io_stream_get_input_stream(stream),
                                        g_io_stream_get_output_stream(stream));
    GSocket *socket = g_socket_connection_get_socket(connection);

    channel->connection = g_object_ref(connection);
    if (g_socket_get_family(socket) != G_SOCKET_FAMILY_UNIX) {
        tcp_queue_init(&channel->queue, g_socket_get_fd(socket));
    }
    return channel;
}

GSocketConnection *io_connection_of(IoChannel *channel)
{
    return channel->connection;
}

GCancellable *io_abort_of(IoChannel *channel)
{
    return channel->aborted;
}

void io_connection_set_tls(IoChannel *channel, GTlsConnection *tls)
{
    GIOStream *stream = G_IO_STREAM(tls);

    channel->tls = g_object_ref(tls);
    g_set_object(&channel->in, g_io_stream_get_input_stream(stream));
    g_set_object(&channel->out, g_io_stream_get_output_stream(stream));
}

GInputStream *io_input_of(IoChannel *channel)
{
    return channel->in;
}

void io_head_unread(IoChannel *channel, const uint8_t *bytes, size_t count)
{
    g_assert(count <= IO_HEAD_MAX && channel->head_size == 0);
    memcpy(channel->head, bytes, count);
    channel->head_size = count;
}

IoChannel *io_exec_channel(const char *name, GSubprocess *command)
{
    IoChannel *channel = io_channel_new(name,
                                        g_subprocess_get_stdout_pipe(command),
                                        g_subprocess_get_stdin_pipe(command));

    channel->command = g_object_ref(command);
    return channel;
}

const char *io_channel_name(const IoChannel *channel)
{
    return channel->name;
}

bool io_channel_is_file(const IoChannel *channel)
{
    return channel->sync.fd >= 0;
}

bool io_channel_is_two_way(const IoChannel *channel)
{
    return channel->in && channel->out;
}

bool io_channel_is_encrypted(const IoChannel *channel)
{
    return channel->tls;
}

static void prefix_error(IoChannel *channel, GError **errp)
{
    g_prefix_error(errp, "%s: %s", channel->name,
                   channel->tls && !g_atomic_int_get(&channel->heard)
                       ? "nothing came after the TLS handshake, so the peer "
                         "may have refused our certificate: "
                       : "");
}

/* Of what was unread; 0 when there is none (any more). */
static size_t read_head(IoChannel *channel, void *buf, size_t size)
{
    size_t count = MIN(size, channel->head_size - channel->head_from);

    memcpy(buf, channel->head + channel->head_from, count);
    channel->head_from += count;
    return count;
}

bool io_channel_read(IoChannel *channel, void *buf, size_t size,
                     size_t *nread, GError **errp)
{
    gssize got = -1;

    g_assert(size > 0);
    if (!channel->in) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: can only be written to", channel->name);
        return false;
    }
    /* Some streams, GIO's memory stream for one, do not look at it. */
    if (!g_cancellable_set_error_if_cancelled(channel->aborted, errp)) {
        got = (gssize)read_head(channel, buf, size);
        if (got == 0) {
            got = g_input_stream_read(channel->in, buf, MIN(size, G_MAXSSIZE),
                                      channel->aborted, errp);
        }
    }
    if (got < 0) {
        prefix_error(channel, errp);
        return false;
    }
    g_atomic_int_set(&channel->heard, true);
    *nread = got;
    return true;
}

bool io_channel_has_input(IoChannel *channel)
{
    GPollableInputStream *in;

    if (channel->head_from < channel->head_size) {
        return true;
    }
    if (!channel->in || !G_IS_POLLABLE_INPUT_STREAM(channel->in)) {
        return false;
    }
    in = G_POLLABLE_INPUT_STREAM(channel->in);
    return g_pollable_input_stream_can_poll(in) &&
           g_pollable_input_stream_is_readable(in);
}

/* What wakes a wait for input; each has set its flag then. */

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

/* Takes source. */
static void watch(GMainContext *context, GSource *source, GSourceFunc func,
                  bool *flag)
{
    g_source_set_callback(source, func, flag, NULL);
    g_source_attach(source, context);
    g_source_unref(source);
}

/* By its descriptor: GLib's source for it is now and then leaked when another
 * thread cancels.  g_cancellable_release_fd() must follow. */
static void watch_cancellable(GMainContext *context, GCancellable *cancel,
                              bool *flag)
{
    int fd = g_cancellable_get_fd(cancel);

    if (fd >= 0) {
        watch(context, g_unix_fd_source_new(fd, G_IO_IN),
              G_SOURCE_FUNC(on_cancelled), flag);
    }
}

bool io_channel_wait_input(IoChannel *channel, int ms, GCancellable *until)
{
    g_autoptr(GMainContext) context = NULL;
    GPollableInputStream *in;
    bool input = false, over = false;

    if (channel->head_from < channel->head_size || !channel->in ||
        !G_IS_POLLABLE_INPUT_STREAM(channel->in)) {
        return true;
    }
    in = G_POLLABLE_INPUT_STREAM(channel->in);
    if (!g_pollable_input_stream_can_poll(in)) {
        return true;
    }
    context = g_main_context_new();
    watch(context, g_pollable_input_stream_create_source(in, NULL),
          G_SOURCE_FUNC(on_input), &input);
    /* A read fails at once then. */
    watch_cancellable(context, channel->aborted, &input);
    watch_cancellable(context, until, &over);
    if (ms >= 0) {
        watch(context, g_timeout_source_new((guint)ms), on_time, &over);
    }
    while (!input && !over) {
        g_main_context_iteration(context, TRUE);
    }
    g_cancellable_release_fd(channel->aborted);
    g_cancellable_release_fd(until);
    return input;
}

static bool write_fd(IoChannel *channel, GOutputVector *vectors, size_t count,
                     GError **errp)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        bytes += vectors[i].size;
    }
    if (!io_fd_writev(channel->out_fd, vectors, count, channel->aborted,
                      errp)) {
        return false;
    }
    io_sync_wrote(&channel->sync, bytes);
    return true;
}

/* On a thin link: until what was written before has mostly been sent. */
static bool wait_for_queue(IoChannel *channel, GError **errp)
{
    GSocket *socket;

    if (!tcp_queue_is_thin(&channel->queue)) {
        return true;
    }
    socket = g_socket_connection_get_socket(channel->connection);
    return g_socket_condition_wait(socket, G_IO_OUT, channel->aborted, errp);
}

static bool write_vectors(IoChannel *channel, GOutputVector *vectors,
                          size_t count, GError **errp)
{
    /* GIO looks at the cancellable only where there are bytes to write. */
    if (g_cancellable_set_error_if_cancelled(channel->aborted, errp)) {
        return false;
    }
    if (channel->out_fd >= 0) {
        return write_fd(channel, vectors, count, errp);
    }
    return wait_for_queue(channel, errp) &&
           g_output_stream_writev_all(channel->out, vectors, count, NULL,
                                      channel->aborted, errp);
}

static bool shut_down(IoChannel *channel, GError **errp)
{
    GError *err = NULL;

    if (g_socket_shutdown(g_socket_connection_get_socket(channel->connection),
                          FALSE, TRUE, &err)) {
        return true;
    }
    /* Whoever knows from the stream where it ends, as QEMU does, need not wait
     * for the goodbye of TLS. */
    if (channel->tls &&
        g_error_matches(err, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED)) {
        g_error_free(err);
        return true;
    }
    g_propagate_error(errp, err);
    return false;
}

static bool close_output(IoChannel *channel, GError **errp)
{
    if (g_cancellable_set_error_if_cancelled(channel->aborted, errp)) {
        return false;
    }
    if (channel->tls &&
        !g_output_stream_close(channel->out, channel->aborted, errp)) {
        return false;
    }
    if (channel->connection) {
        return shut_down(channel, errp);
    }
    channel->out_fd = -1;
    return g_output_stream_close(channel->out, channel->aborted, errp);
}

uint64_t io_channel_queued(IoChannel *channel)
{
    return tcp_queue_bytes(&channel->queue);
}

int64_t io_channel_round_trip(IoChannel *channel)
{
    return tcp_queue_round_trip(&channel->queue);
}

bool io_channel_writev(IoChannel *channel, GOutputVector *vectors,
                       size_t count, GError **errp)
{
    SigpipeHold hold;
    bool ok;

    if (!channel->out) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: can only be read from", channel->name);
        return false;
    }
    if (channel->connection) {
        ok = write_vectors(channel, vectors, count, errp);
    } else {
        sigpipe_hold(&hold);
        ok = write_vectors(channel, vectors, count, errp);
        sigpipe_release(&hold);
    }
    if (!ok) {
        prefix_error(channel, errp);
        return false;
    }
    tcp_queue_wrote(&channel->queue);
    return true;
}

bool io_channel_sync(IoChannel *channel, GError **errp)
{
    if (!io_sync_data(&channel->sync, errp)) {
        g_prefix_error(errp, "%s: ", channel->name);
        return false;
    }
    return true;
}

bool io_channel_finish(IoChannel *channel, GError **errp)
{
    SigpipeHold hold;
    bool ok;

    if (!channel->out) {
        return true;
    }
    if (!io_channel_sync(channel, errp)) {
        return false;
    }
    /* The stream may be one that writes something as it closes. */
    sigpipe_hold(&hold);
    ok = close_output(channel, errp);
    sigpipe_release(&hold);
    if (!ok) {
        g_prefix_error(errp, "%s: ", channel->name);
        return false;
    }
    return !channel->command || channel->in ||
           io_exec_wait(channel->command, channel->name, channel->aborted,
                        errp);
}

bool io_channel_wait_command(IoChannel *channel, unsigned ms,
                             GCancellable *cancel, GError **errp)
{
    if (!channel->command) {
        return true;
    }
    if (!io_exec_ends_within(channel->command, ms, cancel)) {
        if (g_cancellable_set_error_if_cancelled(cancel, errp)) {
            g_prefix_error(errp, "%s: ", channel->name);
            return false;
        }
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "%s has closed its output and goes on running",
                    channel->name);
        return false;
    }
    return io_exec_wait(channel->command, channel->name, NULL, errp);
}

void io_channel_abort(IoChannel *channel)
{
    g_cancellable_cancel(channel->aborted);
}

/* Errors are dropped: who cares for them has called io_channel_finish. */
static void close_streams(IoChannel *channel)
{
    if (channel->tls) {
        g_io_stream_close(G_IO_STREAM(channel->tls), channel->aborted, NULL);
    }
    if (channel->connection) {
        g_io_stream_close(G_IO_STREAM(channel->connection), channel->aborted,
                          NULL);
        return;
    }
    if (channel->out) {
        g_output_stream_close(channel->out, channel->aborted, NULL);
    }
    if (channel->in) {
        g_input_stream_close(channel->in, channel->aborted, NULL);
    }
}

void io_channel_free(IoChannel *channel)
{
    if (!channel) {
        return;
    }
    /* What is cancelled is closed without waiting. */
    io_channel_abort(channel);
    close_streams(channel);
    if (channel->command) {
        io_exec_kill(channel->command);
    }
    g_cancellable_release_fd(channel->aborted);
    g_clear_object(&channel->in);
    g_clear_object(&channel->out);
    g_clear_object(&channel->tls);
    g_clear_object(&channel->connection);
    g_clear_object(&channel->command);
    g_object_unref(channel->aborted);
    g_free(channel->name);
    g_free(channel);
}
