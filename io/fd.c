/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that the process already has: opened by whoever started it, or
 * handed over by a program that embeds us.  A socket is good for both
 * directions; anything else for the one it is asked for, if it was opened so.
 *
 * What is written to is made non-blocking, or a large write to a pipe would
 * sit in the kernel where no cancellable can reach it.  That is a property of
 * the pipe's end, not of the descriptor: whoever else has inherited the same
 * end sees it too.  Reading needs no such thing, since GIO polls first.
 */
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "io/io-internal.h"
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

IoChannel *io_fd_channel(const char *name, int fd, IoDirection direction)
{
    g_autoptr(GInputStream) in = NULL;
    g_autoptr(GOutputStream) out = NULL;

    if (direction == IO_TO_READ) {
        in = g_unix_input_stream_new(fd, TRUE);
    } else {
        out = g_unix_output_stream_new(fd, TRUE);
    }
    return io_channel_new(name, in, out);
}

IoChannel *io_fd_open(int fd, const char *name, IoDirection direction,
                      GError **errp)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
        return io_socket_take(name, fd, errp);
    }
    return io_fd_channel(name, fd, direction);
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

/* Leave what is still to be written after size bytes have been. */
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

bool io_fd_writev(int fd, GOutputVector *vectors, size_t count,
                  GCancellable *cancel, GError **errp)
{
    /* The same thing on every Unix; GIO relies on it too. */
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
