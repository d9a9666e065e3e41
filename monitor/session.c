/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions.
 *
 * Input is read when the stream is readable, at most one buffer at a time, and
 * handed on byte by byte until the front end pauses.  The rest waits in the
 * buffer, and nothing more is read meanwhile.  Output is queued and sent when
 * the stream is writable.  A client that asks and does not read is cut off when
 * its queue is full.
 *
 * A session may be found dead (end of stream, failure, full queue) in the
 * middle of a call: of its own front end, or for an event that another session
 * caused.  So it is only marked then, and a source of its own frees it.
 *
 * Sources and non-blocking calls are used instead of GIO's asynchronous calls,
 * so that nothing is left behind when a session is freed.  Streams that cannot
 * be polled (files, /dev/null) never block, and are served when idle.
 */
#include "monitor/session.h"

#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_SIZE 4096

/* A pipe that polls as writable has room for this much.  More could block if
 * the descriptor is a blocking one, as standard output is. */
#define OUTPUT_CHUNK 4096

struct Session {
    GPtrArray *home;
    GMainContext *context;
    GIOStream *stream;
    MonMachine machine; /* with descriptors of this session's own */
    const SessionFront *front;
    void *front_state;

    GSource *in_source;  /* while there is room for input */
    GSource *out_source; /* while there is output */
    GSource *end_source; /* when dead */
    bool paused;
    bool ended; /* the client sends no more */

    char in[INPUT_SIZE];
    size_t in_pos, in_size;
    GString *out;
    size_t out_pos; /* bytes of out that are sent */
};

static void drop_source(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static GSource *attach(Session *session, GSource *source, GSourceFunc func)
{
    g_source_set_callback(source, func, session, NULL);
    g_source_attach(source, session->context);
    return source;
}

static gboolean on_end(gpointer opaque)
{
    Session *session = opaque;

    g_ptr_array_remove(session->home, session); /* frees the session */
    return G_SOURCE_REMOVE;
}

static void session_end(Session *session)
{
    drop_source(&session->in_source);
    drop_source(&session->out_source);
    if (!session->end_source) {
        session->end_source = attach(session, g_idle_source_new(), on_end);
    }
}

static bool is_dead(const Session *session)
{
    return session->end_source != NULL;
}

bool session_is_behind(const Session *session)
{
    return session->out_pos < session->out->len;
}

static GPollableOutputStream *pollable_output(GOutputStream *out)
{
    return G_IS_POLLABLE_OUTPUT_STREAM(out) &&
                   g_pollable_output_stream_can_poll(
                       G_POLLABLE_OUTPUT_STREAM(out))
               ? G_POLLABLE_OUTPUT_STREAM(out)
               : NULL;
}

static GPollableInputStream *pollable_input(GInputStream *in)
{
    return G_IS_POLLABLE_INPUT_STREAM(in) &&
                   g_pollable_input_stream_can_poll(G_POLLABLE_INPUT_STREAM(in))
               ? G_POLLABLE_INPUT_STREAM(in)
               : NULL;
}

/* Send one chunk. */
static bool send_some(Session *session, GError **errp)
{
    GOutputStream *out = g_io_stream_get_output_stream(session->stream);
    GPollableOutputStream *pollable = pollable_output(out);
    const char *data = session->out->str + session->out_pos;
    size_t size = MIN(session->out->len - session->out_pos, OUTPUT_CHUNK);
    gssize n = pollable ? g_pollable_output_stream_write_nonblocking(
                              pollable, data, size, NULL, errp)
                        : g_output_stream_write(out, data, size, NULL, errp);

    if (n < 0) {
        return false;
    }
    session->out_pos += (size_t)n;
    if (session->out_pos > session->out->len / 2) {
        g_string_erase(session->out, 0, (gssize)session->out_pos);
        session->out_pos = 0;
    }
    return true;
}

static gboolean on_writable(gpointer opaque)
{
    Session *session = opaque;
    g_autoptr(GError) err = NULL;

    if (!send_some(session, &err) &&
        !g_error_matches(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
        session_end(session);
    } else if (!session_is_behind(session)) {
        drop_source(&session->out_source);
        if (session->ended) {
            session_end(session);
        }
    }
    return G_SOURCE_CONTINUE; /* harmless where the source was destroyed */
}

static gboolean on_pollable_writable(GObject *stream, gpointer opaque)
{
    return on_writable(opaque);
}

static void wait_for_output(Session *session)
{
    GPollableOutputStream *pollable =
        pollable_output(g_io_stream_get_output_stream(session->stream));

    if (session->out_source) {
        return;
    }
    session->out_source =
        pollable
            ? attach(session,
                     g_pollable_output_stream_create_source(pollable, NULL),
                     G_SOURCE_FUNC(on_pollable_writable))
            : attach(session, g_idle_source_new(), on_writable);
}

void session_write(Session *session, const char *text, size_t size)
{
    if (is_dead(session)) {
        return;
    }
    if (session->out->len - session->out_pos + size > SESSION_OUTPUT_MAX) {
        session_end(session);
        return;
    }
    g_string_append_len(session->out, text, (gssize)size);
    wait_for_output(session);
}

/* After "quit", in any session, input is dropped. */
static void process_input(Session *session)
{
    while (session->in_pos < session->in_size && !session->paused &&
           !is_dead(session) && !*session->machine.over) {
        session->front->byte(session->front_state,
                             session->in[session->in_pos++]);
    }
}

/* The stream's descriptor, if it is a socket that can pass descriptors, or
 * -1. */
static int passing_socket(const Session *session)
{
    GSocket *socket;

    if (!G_IS_SOCKET_CONNECTION(session->stream)) {
        return -1;
    }
    socket = g_socket_connection_get_socket(
        G_SOCKET_CONNECTION(session->stream));
    return g_socket_get_family(socket) == G_SOCKET_FAMILY_UNIX
               ? g_socket_get_fd(socket)
               : -1;
}

/* receive() from a socket that may pass descriptors. */
static gssize receive_message(Session *session, int fd, GError **errp)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(PASSED_FDS_MAX * sizeof(int))];
    } control;
    struct iovec vector = { session->in, INPUT_SIZE };
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1,
        .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n;

    do {
        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        g_set_error(errp, G_IO_ERROR, g_io_error_from_errno(errno), "%s",
                    g_strerror(errno));
        return -1;
    }
    passed_fds_arrive(session->machine.fds, &message);
    return n;
}

/* Fill the buffer anew.  Returns the bytes in it; 0 at the end of the
 * stream. */
static gssize receive(Session *session, GError **errp)
{
    int socket = passing_socket(session);
    GInputStream *in = g_io_stream_get_input_stream(session->stream);
    GPollableInputStream *pollable = pollable_input(in);

    if (socket >= 0) {
        return receive_message(session, socket, errp);
    }
    return pollable
               ? g_pollable_input_stream_read_nonblocking(
                     pollable, session->in, INPUT_SIZE, NULL, errp)
               : g_input_stream_read(in, session->in, INPUT_SIZE, NULL, errp);
}

/* The client may have closed only its own direction, so it still gets all
 * answers. */
static void end_of_input(Session *session)
{
    session->ended = true;
    drop_source(&session->in_source);
    if (!session_is_behind(session)) {
        session_end(session);
    }
}

static gboolean on_readable(gpointer opaque)
{
    Session *session = opaque;
    g_autoptr(GError) err = NULL;
    gssize n = receive(session, &err);

    if (n < 0) {
        if (!g_error_matches(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
            session_end(session);
        }
        return G_SOURCE_CONTINUE;
    }
    if (n == 0) {
        end_of_input(session);
        return G_SOURCE_CONTINUE;
    }
    session->in_pos = 0;
    session->in_size = (size_t)n;
    process_input(session);
    return G_SOURCE_CONTINUE;
}

static gboolean on_pollable_readable(GObject *stream, gpointer opaque)
{
    return on_readable(opaque);
}

static void wait_for_input(Session *session)
{
    GPollableInputStream *pollable =
        pollable_input(g_io_stream_get_input_stream(session->stream));

    session->in_source =
        pollable ? attach(session,
                          g_pollable_input_stream_create_source(pollable, NULL),
                          G_SOURCE_FUNC(on_pollable_readable))
                 : attach(session, g_idle_source_new(), on_readable);
}

void session_pause(Session *session)
{
    session->paused = true;
    drop_source(&session->in_source);
}

void session_resume(Session *session)
{
    session->paused = false;
    process_input(session);
    if (!session->paused && !is_dead(session)) {
        wait_for_input(session);
    }
}

void session_event(Session *session, const char *line)
{
    if (session->front->event) {
        session->front->event(session->front_state, line);
    }
}

bool session_interrupt(Session *session)
{
    return session->front->interrupt &&
           session->front->interrupt(session->front_state);
}

bool session_get_terminal(Session *session, int *in, int *out)
{
    GInputStream *from = g_io_stream_get_input_stream(session->stream);
    GOutputStream *to = g_io_stream_get_output_stream(session->stream);

    if (!G_IS_UNIX_INPUT_STREAM(from) || !G_IS_UNIX_OUTPUT_STREAM(to)) {
        return false;
    }
    *in = g_unix_input_stream_get_fd(G_UNIX_INPUT_STREAM(from));
    *out = g_unix_output_stream_get_fd(G_UNIX_OUTPUT_STREAM(to));
    return isatty(*in) && isatty(*out);
}

GMainContext *session_context(Session *session)
{
    return session->context;
}

void session_new(GPtrArray *home, GMainContext *context,
                 const SessionFront *front, const MonMachine *machine,
                 GIOStream *stream)
{
    Session *session = g_new0(Session, 1);

    session->home = home;
    session->context = g_main_context_ref(context);
    session->stream = g_object_ref(stream);
    session->out = g_string_new(NULL);
    session->machine = *machine;
    session->machine.fds = passed_fds_new();
    session->front = front;
    session->front_state = front->open(session, &session->machine);
    g_ptr_array_add(home, session);
    wait_for_input(session);
}

void session_free(Session *session)
{
    session->front->close(session->front_state);
    while (!is_dead(session) && session_is_behind(session) &&
           send_some(session, NULL)) {
        /* until there is no more, or no more room */
    }
    drop_source(&session->in_source);
    drop_source(&session->out_source);
    drop_source(&session->end_source);
    g_io_stream_close(session->stream, NULL, NULL);
    g_object_unref(session->stream);
    passed_fds_free(session->machine.fds);
    g_string_free(session->out, TRUE);
    g_main_context_unref(session->context);
    g_free(session);
}
