/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two threads meet here: the CPU's, through the SerialLine calls, and the
 * main thread, through the sources of the main context.  Lock order: the port
 * bus, then the line.
 *
 * A source exists only while it has something to do: out_source while the
 * buffer holds bytes, in_source while the guest's FIFO has room.  The main
 * thread drops in_source with the bus locked, so that the guest cannot make
 * room unnoticed at the same time.
 */
#include "vmm/char-line.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "util/fail.h"

#define BUFFER_SIZE 65536

/* A pipe that polls as writable takes this much without blocking, even when it
 * is in blocking mode, as standard output may be. */
#define WRITE_SIZE 512

struct CharLine {
    PortBus *bus;              /* constant */
    ChardevListener *listener; /* main thread */
    GSocketConnection *client; /* main thread */
    int file;                  /* main thread; to be closed, or -1 */
    bool input_wanted;         /* the bus's lock; the guest runs */
    pthread_mutex_t lock;      /* all that follows: the CPU's and main thread */
    int in_fd, out_fd;         /* -1: nobody there; main thread sets */
    GSource *in_source, *out_source; /* either sets, main thread clears */
    size_t first, count; /* the used part of the buffer, which is a ring */
    uint8_t buffer[BUFFER_SIZE];
};

static gboolean on_readable(int fd, GIOCondition condition, void *opaque);
static gboolean on_writable(int fd, GIOCondition condition, void *opaque);

static GSource *watch_fd(CharLine *line, int fd, GIOCondition condition,
                         GUnixFDSourceFunc callback)
{
    GSource *source = g_unix_fd_source_new(fd, condition);

    g_source_set_callback(source, G_SOURCE_FUNC(callback), line, NULL);
    g_source_attach(source, NULL);
    return source;
}

static void drop_source(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

/* Calls by the serial port */

static bool line_can_send(void *opaque)
{
    CharLine *line = opaque;
    bool room;

    pthread_mutex_lock(&line->lock);
    room = line->out_fd < 0 || line->count < BUFFER_SIZE;
    pthread_mutex_unlock(&line->lock);
    return room;
}

static void line_send(void *opaque, uint8_t byte)
{
    CharLine *line = opaque;

    pthread_mutex_lock(&line->lock);
    if (line->out_fd >= 0 && line->count < BUFFER_SIZE) {
        line->buffer[(line->first + line->count++) % BUFFER_SIZE] = byte;
        if (!line->out_source) {
            line->out_source =
                watch_fd(line, line->out_fd, G_IO_OUT, on_writable);
        }
    }
    pthread_mutex_unlock(&line->lock);
}

static void line_has_room(void *opaque)
{
    CharLine *line = opaque;

    pthread_mutex_lock(&line->lock);
    if (line->input_wanted && line->in_fd >= 0 && !line->in_source) {
        line->in_source = watch_fd(line, line->in_fd, G_IO_IN, on_readable);
    }
    pthread_mutex_unlock(&line->lock);
}

void char_line_want_input(CharLine *line, bool wanted)
{
    pthread_mutex_lock(&line->bus->lock);
    line->input_wanted = wanted;
    line_has_room(line);
    pthread_mutex_unlock(&line->bus->lock);
}

/* Calls by the main context */

/* The other end is gone: forget it, and let the next client in. */
static void hang_up(CharLine *line)
{
    pthread_mutex_lock(&line->lock);
    drop_source(&line->in_source);
    drop_source(&line->out_source);
    line->in_fd = line->out_fd = -1;
    line->count = 0;
    pthread_mutex_unlock(&line->lock);
    g_clear_object(&line->client);
    if (line->listener) {
        chardev_listener_set_open(line->listener, true);
    }
}

/* Standard input may end while standard output goes on. */
static void end_input(CharLine *line)
{
    if (line->client) {
        hang_up(line);
        return;
    }
    pthread_mutex_lock(&line->lock);
    drop_source(&line->in_source);
    line->in_fd = -1;
    pthread_mutex_unlock(&line->lock);
}

/*
 * Read as much as the guest can take, and give it to the guest, all under the
 * bus's lock.  So a guest that has been stopped gets nothing more, and no byte
 * that was read is lost.  False when nothing is to be read now.
 */
static bool read_for_guest_locked(CharLine *line, int fd, ssize_t *n)
{
    uint8_t data[SERIAL_FIFO_SIZE];
    unsigned room = serial_room(line->bus->serial);

    if (!line->input_wanted || room == 0) {
        return false;
    }
    do {
        *n = read(fd, data, MIN(room, sizeof(data)));
    } while (*n < 0 && errno == EINTR);
    for (ssize_t i = 0; i < *n; i++) {
        serial_receive(line->bus->serial, data[i]);
    }
    return true;
}

static gboolean on_readable(int fd, GIOCondition condition, void *opaque)
{
    CharLine *line = opaque;
    bool more, ended;
    ssize_t n = 0;

    pthread_mutex_lock(&line->bus->lock);
    more = read_for_guest_locked(line, fd, &n);
    ended = more && (n == 0 || (n < 0 && errno != EAGAIN));
    if (!more) {
        pthread_mutex_lock(&line->lock);
        drop_source(&line->in_source);
        pthread_mutex_unlock(&line->lock);
    }
    pthread_mutex_unlock(&line->bus->lock);
    if (ended) {
        end_input(line);
    }
    return more && !ended ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static bool can_write(int fd)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

    return poll(&poll_fd, 1, 0) == 1;
}

/* Write out as much as possible at once.  False when nobody is there. */
static bool drain_locked(CharLine *line)
{
    while (line->count > 0 && can_write(line->out_fd)) {
        size_t size = MIN(MIN(line->count, WRITE_SIZE),
                          BUFFER_SIZE - line->first);
        ssize_t n = write(line->out_fd, line->buffer + line->first, size);

        if (n < 0) {
            return errno == EINTR || errno == EAGAIN;
        }
        line->first = (line->first + n) % BUFFER_SIZE;
        line->count -= n;
    }
    return true;
}

void char_line_flush(CharLine *line)
{
    pthread_mutex_lock(&line->lock);
    drain_locked(line); /* the main thread will see that a client is gone */
    pthread_mutex_unlock(&line->lock);
}

static gboolean on_writable(int fd, GIOCondition condition, void *opaque)
{
    CharLine *line = opaque;
    bool more = true, there;

    pthread_mutex_lock(&line->lock);
    there = drain_locked(line);
    if (there && line->count == 0) {
        drop_source(&line->out_source);
        more = false;
    }
    pthread_mutex_unlock(&line->lock);
    if (!there) {
        hang_up(line);
    }
    return there && more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void set_fds(CharLine *line, int in_fd, int out_fd)
{
    pthread_mutex_lock(&line->lock);
    line->in_fd = in_fd;
    line->out_fd = out_fd;
    pthread_mutex_unlock(&line->lock);
}

static void on_connected(void *opaque, GSocketConnection *connection)
{
    CharLine *line = opaque;
    int fd = g_socket_get_fd(g_socket_connection_get_socket(connection));

    chardev_listener_set_open(line->listener, false);
    line->client = g_object_ref(connection);
    set_fds(line, fd, fd);
    pthread_mutex_lock(&line->bus->lock);
    line_has_room(line);
    pthread_mutex_unlock(&line->bus->lock);
}

static bool open_chardev(CharLine *line, const Chardev *chardev, GError **errp)
{
    switch (chardev->kind) {
    case CHARDEV_NULL:
        return true;
    case CHARDEV_STDIO:
        set_fds(line, STDIN_FILENO, STDOUT_FILENO);
        return true;
    case CHARDEV_FILE:
        line->file = open(chardev->path,
                          O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (line->file < 0) {
            return fail_errno(errp, "cannot open '%s'", chardev->path);
        }
        set_fds(line, -1, line->file);
        return true;
    case CHARDEV_UNIX:
    case CHARDEV_TCP:
        line->listener = chardev_listen(chardev, on_connected, line, errp);
        return line->listener != NULL;
    }
    g_assert_not_reached();
}

CharLine *char_line_new(const Chardev *chardev, PortBus *bus, GError **errp)
{
    CharLine *line = g_new0(CharLine, 1);
    const SerialLine serial_line = {
        .opaque = line, .can_send = line_can_send, .send = line_send,
        .has_room = line_has_room,
    };

    line->bus = bus;
    line->file = line->in_fd = line->out_fd = -1;
    pthread_mutex_init(&line->lock, NULL);
    if (!open_chardev(line, chardev, errp)) {
        char_line_free(line);
        return NULL;
    }
    serial_init(bus->serial, &serial_line);
    return line;
}

void char_line_free(CharLine *line)
{
    if (!line) {
        return;
    }
    char_line_flush(line);
    drop_source(&line->in_source);
    drop_source(&line->out_source);
    chardev_listener_free(line->listener);
    g_clear_object(&line->client);
    if (line->file >= 0) {
        close(line->file);
    }
    pthread_mutex_destroy(&line->lock);
    g_free(line);
}
