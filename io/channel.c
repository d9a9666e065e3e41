/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel is two GIO streams, a GCancellable that aborts whatever waits on
 * them, and a table of operations: channel-kind.h.
 *
 * Every operation passes the cancellable.  GIO makes an eventfd for a
 * cancellable where a thread must wait, and drops it afterwards unless somebody
 * holds it.  The channel holds it for its whole life.
 */
#include "io/channel-kind.h"

#include <string.h>
#include <unistd.h>

#include "util/fail.h"

void io_kind_init(IoChannel *channel, const IoChannelOps *ops,
                  const char *name, GInputStream *in, GOutputStream *out)
{
    channel->ops = ops;
    channel->name = g_strdup(name);
    channel->in = in ? g_object_ref(in) : NULL;
    channel->out = out ? g_object_ref(out) : NULL;
    channel->reads = in != NULL;
    channel->writes = out != NULL;
    channel->in_file = -1;
    channel->aborted = g_cancellable_new();
    g_cancellable_get_fd(channel->aborted);
}

void io_channel_free(IoChannel *channel)
{
    if (!channel) {
        return;
    }
    /* GIO closes without waiting what is cancelled. */
    io_channel_abort(channel);
    channel->ops->close(channel);
    g_cancellable_release_fd(channel->aborted);
    g_clear_object(&channel->in);
    g_clear_object(&channel->out);
    g_object_unref(channel->aborted);
    g_free(channel->name);
    g_free(channel);
}

void io_channel_abort(IoChannel *channel)
{
    g_cancellable_cancel(channel->aborted);
}

const char *io_channel_name(const IoChannel *channel)
{
    return channel->name;
}

bool io_channel_is_file(const IoChannel *channel)
{
    return channel->is_file;
}

bool io_channel_is_two_way(const IoChannel *channel)
{
    return channel->reads && channel->writes;
}

bool io_kind_named(const IoChannel *channel, bool ok, GError **errp)
{
    if (!ok) {
        g_prefix_error(errp, "%s: ", channel->name);
    }
    return ok;
}

/* Some streams, such as GIO's memory streams, never look at the cancellable;
 * others do so only where there are bytes to move. */
static bool may_go_on(IoChannel *channel, GError **errp)
{
    return !g_cancellable_set_error_if_cancelled(channel->aborted, errp);
}

/* Reading */

void io_kind_unread(IoChannel *channel, const uint8_t *bytes, size_t count)
{
    g_assert(count <= IO_HEAD_MAX && channel->head_size == 0);
    memcpy(channel->head, bytes, count);
    channel->head_size = count;
}

/* Read from the bytes that were unread; 0 when there are none (any more). */
static size_t read_head(IoChannel *channel, void *buf, size_t size)
{
    size_t count = MIN(size, channel->head_size - channel->head_from);

    memcpy(buf, channel->head + channel->head_from, count);
    channel->head_from += count;
    return count;
}

static bool read_some(IoChannel *channel, void *buf, size_t size,
                      size_t *nread, GError **errp)
{
    if (!may_go_on(channel, errp)) {
        return false;
    }
    *nread = read_head(channel, buf, size);
    return *nread > 0 || channel->ops->read(channel, buf, size, nread, errp);
}

bool io_channel_read(IoChannel *channel, void *buf, size_t size,
                     size_t *nread, GError **errp)
{
    g_assert(size > 0);
    if (!channel->reads) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: can only be written to", channel->name);
        return false;
    }
    return io_kind_named(channel,
                         read_some(channel, buf, size, nread, errp), errp);
}

bool io_kind_read(IoChannel *channel, void *buf, size_t size,
                  size_t *nread, GError **errp)
{
    gssize got = g_input_stream_read(channel->in, buf, MIN(size, G_MAXSSIZE),
                                     channel->aborted, errp);

    if (got < 0) {
        return false;
    }
    *nread = (size_t)got;
    return true;
}

int io_kind_input_fd(const IoChannel *channel)
{
    return channel->in_file;
}

bool io_kind_skip(IoChannel *channel, uint64_t size, uint64_t *skipped,
                  GError **errp)
{
    off_t at, end;

    *skipped = 0;
    if (channel->in_file < 0 || channel->head_from < channel->head_size) {
        return true;
    }
    at = lseek(channel->in_file, 0, SEEK_CUR);
    end = lseek(channel->in_file, 0, SEEK_END);
    if (at >= 0 && end > at) {
        *skipped = MIN(size, (uint64_t)(end - at));
    }
    if (at < 0 || end < 0 ||
        lseek(channel->in_file, at + (off_t)*skipped, SEEK_SET) < 0) {
        return io_kind_named(channel,
                             fail_errno(errp, "cannot seek in the file"),
                             errp);
    }
    return true;
}

/* Writing */

bool io_channel_writev(IoChannel *channel, GOutputVector *vectors,
                       size_t count, GError **errp)
{
    bool ok;

    if (!channel->writes) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: can only be read from", channel->name);
        return false;
    }
    ok = may_go_on(channel, errp) &&
         channel->ops->writev(channel, vectors, count, errp);
    return io_kind_named(channel, ok, errp);
}

uint64_t io_channel_queued(IoChannel *channel)
{
    return channel->ops->queued ? channel->ops->queued(channel) : 0;
}

int64_t io_channel_round_trip(IoChannel *channel)
{
    return channel->ops->round_trip ? channel->ops->round_trip(channel) : 0;
}

/* Ending */

bool io_channel_sync(IoChannel *channel, GError **errp)
{
    bool ok = !channel->ops->sync || channel->ops->sync(channel, errp);

    return io_kind_named(channel, ok, errp);
}

bool io_channel_finish(IoChannel *channel, GError **errp)
{
    if (!channel->writes) {
        return true;
    }
    if (!may_go_on(channel, errp)) {
        return io_kind_named(channel, false, errp);
    }
    return channel->ops->finish(channel, errp);
}

bool io_channel_wait_command(IoChannel *channel, unsigned ms,
                             GCancellable *cancel, GError **errp)
{
    return !channel->ops->wait_command ||
           channel->ops->wait_command(channel, ms, cancel, errp);
}

void io_kind_close(IoChannel *channel)
{
    if (channel->out) {
        g_output_stream_close(channel->out, channel->aborted, NULL);
    }
    if (channel->in) {
        g_input_stream_close(channel->in, channel->aborted, NULL);
    }
}
