/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that the process already has: its parent opened them, or the
 * program that embeds this library hands them over.  A socket serves both
 * directions.  Anything else serves the one that is asked for, if it was opened
 * for that.
 *
 * A descriptor to write to is made non-blocking, or a large write to a pipe
 * would sit in the kernel where no cancellable can reach it.  That is a
 * property of the pipe's end, not of the descriptor: other processes that have
 * inherited the same end see it, too.  Reading does not need it, because GIO
 * polls first.
 *
 * GIO tries a socket's system call first and polls only when that would block.
 * write_all() does the same here, and stands in for GUnixOutputStream's writev,
 * which polls before every call and logs a warning whenever it fails or is
 * cancelled.
 */
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <glib-unix.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "io/fd.h"
#include "util/fail.h"

bool io_fd_prepare(int fd, IoDirection direction, GError **errp)
{
    int flags = fcntl(fd, F_GETFL);
    int useless = direction == IO_TO_READ ? O_WRONLY : O_RDONLY;

    if (flags < 0) {
        g_set_error(errp, G_IO_ERROR, g_io_error_from_errno(errno),
                    "descriptor %d is not open", fd);
        return false;
    }
    if ((flags & O_ACCMODE) == useless) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "descriptor %d is not open for %s", fd,
                    direction == IO_TO_READ ? "reading" : "writing");
        return false;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return true;
}

static void wait_writable(int fd, GCancellable *cancel)
{
    GPollFD fds[2] = { { .fd = fd, .events = G_IO_OUT } };
    bool has_cancel = g_cancellable_make_pollfd(cancel, &fds[1]);

    g_poll(fds, has_cancel ? 2 : 1, -1);
    if (has_cancel) {
        g_cancellable_release_fd(cancel);
    }
}

/* Advance the vectors past the size bytes that were written. */
static void skip_written(GOutputVector **vectors, size_t *count, size_t size)
{
    while (*count > 0 && size >= (*vectors)->size) {
        size -= (*vectors)->size;
        (*vectors)++;
        (*count)--;
    }
    if (size > 0) {
        (*vectors)->buffer = (const char *)(*vectors)->buffer + size;
        (*vectors)->size -= size;
    }
}

/* Write all, to a non-blocking descriptor. */
static bool write_all(int fd, GOutputVector *vectors, size_t count,
                      GCancellable *cancel, GError **errp)
{
    /* The two are the same on every Unix; GIO relies on that, too. */
    G_STATIC_ASSERT(sizeof(GOutputVector) == sizeof(struct iovec));

    while (count > 0) {
        ssize_t written;

        if (g_cancellable_set_error_if_cancelled(cancel, errp)) {
            return false;
        }
        written = writev(fd, (const struct iovec *)vectors,
                         MIN(count, IOV_MAX));
        if (written >= 0) {
            skip_written(&vectors, &count, written);
        } else if (errno == EAGAIN) {
            wait_writable(fd, cancel);
        } else if (errno != EINTR) {
            return fail_errno(errp, "cannot write");
        }
    }
    return true;
}

static FdChannel *fd_of(IoChannel *channel)
{
    return (FdChannel *)channel;
}

bool io_fd_writev(IoChannel *channel, GOutputVector *vectors, size_t count,
                  GError **errp)
{
    FdChannel *fd = fd_of(channel);
    size_t bytes = 0;
    SigpipeHold hold;
    bool ok;

    if (fd->out_fd < 0) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_CLOSED,
                    "nothing can be written after the end");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        bytes += vectors[i].size;
    }
    sigpipe_hold(&hold);
    ok = write_all(fd->out_fd, vectors, count, channel->aborted, errp);
    sigpipe_release(&hold);
    if (ok) {
        io_sync_wrote(&fd->sync, bytes);
    }
    return ok;
}

static bool fd_sync(IoChannel *channel, GError **errp)
{
    return io_sync_data(&fd_of(channel)->sync, errp);
}

bool io_fd_finish(IoChannel *channel, GError **errp)
{
    bool ok = fd_sync(channel, errp);

    if (ok) {
        fd_of(channel)->out_fd = -1;
        ok = g_output_stream_close(channel->out, channel->aborted, errp);
    }
    return io_kind_named(channel, ok, errp);
}

static const IoChannelOps fd_ops = {
    .read = io_kind_read,
    .writev = io_fd_writev,
    .finish = io_fd_finish,
    .sync = fd_sync,
    .close = io_kind_close,
};

/* The descriptor, if it is of a file or disk; otherwise -1. */
static int seekable(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
               ? fd : -1;
}

void io_fd_channel_init(FdChannel *fd, const IoChannelOps *ops,
                        const char *name, GInputStream *in, GOutputStream *out)
{
    io_kind_init(&fd->base, ops, name, in, out);
    fd->out_fd = -1;
    if (out) {
        fd->out_fd = g_unix_output_stream_get_fd(G_UNIX_OUTPUT_STREAM(out));
        g_unix_set_fd_nonblocking(fd->out_fd, TRUE, NULL);
    }
    if (in && G_IS_UNIX_INPUT_STREAM(in)) {
        fd->base.in_file = seekable(
            g_unix_input_stream_get_fd(G_UNIX_INPUT_STREAM(in)));
    }
    io_sync_init(&fd->sync, fd->out_fd);
    fd->base.is_file = fd->sync.fd >= 0;
}

IoChannel *io_fd_channel(const char *name, GInputStream *in,
                         GOutputStream *out)
{
    FdChannel *fd = g_new0(FdChannel, 1);

    io_fd_channel_init(fd, &fd_ops, name, in, out);
    return &fd->base;
}

IoChannel *io_fd_take(const char *name, int fd, IoDirection direction)
{
    g_autoptr(GInputStream) in = NULL;
    g_autoptr(GOutputStream) out = NULL;

    if (direction == IO_TO_READ) {
        in = g_unix_input_stream_new(fd, TRUE);
    } else {
        out = g_unix_output_stream_new(fd, TRUE);
    }
    return io_fd_channel(name, in, out);
}

IoChannel *io_fd_open(int fd, const char *name, IoDirection direction,
                      GError **errp)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
        return io_socket_take(name, fd, errp);
    }
    return io_fd_take(name, fd, direction);
}
