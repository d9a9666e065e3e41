/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two GIO streams, each over another one.  Both let the bytes before the fault
 * through, in pieces if asked to, and from then on do what the fault says.
 */
#include "tests/lib/fault-channel.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SILENCE (20 * G_TIME_SPAN_MILLISECOND)

/* What the two have in common. */
typedef struct FaultPoint {
    Fault fault;
    GSocketConnection *connection; /* or NULL */
    uint64_t position;             /* bytes that came through */
} FaultPoint;

static void point_init(FaultPoint *point, GSocketConnection *connection,
                       const Fault *fault)
{
    point->fault = *fault;
    point->connection = connection ? g_object_ref(connection) : NULL;
}

static bool is_due(const FaultPoint *point)
{
    return point->fault.kind != FAULT_NONE &&
           point->position >= point->fault.at;
}

/* How much of size may move now, which does not reach over the fault. */
static size_t bounded(const FaultPoint *point, size_t size)
{
    if (point->fault.chunk) {
        size = MIN(size, point->fault.chunk);
    }
    if (point->fault.kind != FAULT_NONE && !is_due(point)) {
        size = (size_t)MIN(size, point->fault.at - point->position);
    }
    return size;
}

static void move_on(FaultPoint *point, const void *buf, gssize size)
{
    if (size > 0) {
        point->position += (uint64_t)size;
        if (point->fault.copy) {
            g_byte_array_append(point->fault.copy, buf, (guint)size);
        }
    }
}

static gssize break_now(FaultPoint *point, GError **errp)
{
    if (point->connection) {
        g_socket_shutdown(g_socket_connection_get_socket(point->connection),
                          TRUE, TRUE, NULL);
    }
    g_set_error(errp, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, FAULT_TEXT);
    return -1;
}

static gssize stall(FaultPoint *point, GCancellable *cancel, GError **errp)
{
    GPollFD fd;

    if (point->fault.stalled) {
        gate_reach(point->fault.stalled);
    }
    g_assert_true(g_cancellable_make_pollfd(cancel, &fd));
    while (!g_cancellable_is_cancelled(cancel)) {
        g_poll(&fd, 1, -1);
    }
    g_cancellable_release_fd(cancel);
    g_cancellable_set_error_if_cancelled(cancel, errp);
    return -1;
}

/* Reading */

#define FAULT_TYPE_INPUT (fault_input_get_type())
G_DECLARE_FINAL_TYPE(FaultInput, fault_input, FAULT, INPUT,
                     GFilterInputStream)

struct _FaultInput {
    GFilterInputStream parent;
    FaultPoint point;
};

G_DEFINE_TYPE(FaultInput, fault_input, G_TYPE_FILTER_INPUT_STREAM)

/* 'S' for one that waits: proc(5). */
static char thread_state(const char *id)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%s/stat", id);
    g_autofree char *text = NULL;
    const char *name_end;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return 'X'; /* it has just ended */
    }
    name_end = strrchr(text, ')');
    return name_end[2];
}

static bool others_wait(void)
{
    g_autoptr(GDir) tasks = g_dir_open("/proc/self/task", 0, NULL);
    g_autofree char *self = g_strdup_printf("%d", gettid());
    const char *id;

    g_assert_nonnull(tasks);
    while ((id = g_dir_read_name(tasks))) {
        if (strcmp(id, self) && thread_state(id) != 'S') {
            return false;
        }
    }
    return true;
}

/* Nothing comes, and nobody is about to send anything: a machine that is busy
 * with other things can be silent for long. */
static bool is_silent(const FaultPoint *point, GCancellable *cancel)
{
    GSocket *socket;

    if (!point->connection) {
        return false;
    }
    socket = g_socket_connection_get_socket(point->connection);
    while (!g_socket_condition_timed_wait(socket, G_IO_IN, SILENCE, cancel,
                                          NULL)) {
        if (g_cancellable_is_cancelled(cancel)) {
            return false;
        }
        if (others_wait() && !g_socket_condition_check(socket, G_IO_IN)) {
            return true;
        }
    }
    return false;
}

static gssize read_flipped(FaultInput *input, uint8_t *buf, gsize size,
                           GCancellable *cancel, GError **errp)
{
    FaultPoint *point = &input->point;
    bool passed = point->position > point->fault.at;
    gssize got;

    if (passed && is_silent(point, cancel)) {
        return 0;
    }
    got = g_input_stream_read(input->parent.base_stream, buf, size, cancel,
                              errp);
    if (got > 0 && !passed) {
        buf[0] ^= point->fault.flip;
    }
    return got;
}

static gssize fault_input_read(GInputStream *stream, void *buf, gsize size,
                               GCancellable *cancel, GError **errp)
{
    FaultInput *input = FAULT_INPUT(stream);
    FaultPoint *point = &input->point;
    FaultKind kind = is_due(point) ? point->fault.kind : FAULT_NONE;
    gssize got;

    switch (kind) {
    case FAULT_EOF:
        return 0;
    case FAULT_ERROR:
        return break_now(point, errp);
    case FAULT_STALL:
        return stall(point, cancel, errp);
    case FAULT_FLIP:
        got = read_flipped(input, buf, bounded(point, size), cancel, errp);
        break;
    default:
        got = g_input_stream_read(input->parent.base_stream, buf,
                                  bounded(point, size), cancel, errp);
    }
    move_on(point, buf, got);
    return got;
}

static void fault_input_finalize(GObject *object)
{
    g_clear_object(&FAULT_INPUT(object)->point.connection);
    G_OBJECT_CLASS(fault_input_parent_class)->finalize(object);
}

static void fault_input_class_init(FaultInputClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = fault_input_finalize;
    G_INPUT_STREAM_CLASS(klass)->read_fn = fault_input_read;
}

static void fault_input_init(FaultInput *input)
{
}

GInputStream *fault_input_new(GInputStream *base, GSocketConnection *breaks,
                              const Fault *fault)
{
    FaultInput *input = g_object_new(FAULT_TYPE_INPUT, "base-stream", base,
                                     NULL);

    point_init(&input->point, breaks, fault);
    return G_INPUT_STREAM(input);
}

/* Writing */

#define FAULT_TYPE_OUTPUT (fault_output_get_type())
G_DECLARE_FINAL_TYPE(FaultOutput, fault_output, FAULT, OUTPUT,
                     GFilterOutputStream)

struct _FaultOutput {
    GFilterOutputStream parent;
    FaultPoint point;
};

G_DEFINE_TYPE(FaultOutput, fault_output, G_TYPE_FILTER_OUTPUT_STREAM)

static gssize fault_output_write(GOutputStream *stream, const void *buf,
                                 gsize size, GCancellable *cancel,
                                 GError **errp)
{
    FaultOutput *output = FAULT_OUTPUT(stream);
    FaultPoint *point = &output->point;
    gssize put;

    if (is_due(point)) {
        return point->fault.kind == FAULT_STALL ? stall(point, cancel, errp)
                                                : break_now(point, errp);
    }
    put = g_output_stream_write(output->parent.base_stream, buf,
                                bounded(point, size), cancel, errp);
    move_on(point, buf, put);
    return put;
}

static void fault_output_finalize(GObject *object)
{
    g_clear_object(&FAULT_OUTPUT(object)->point.connection);
    G_OBJECT_CLASS(fault_output_parent_class)->finalize(object);
}

static void fault_output_class_init(FaultOutputClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = fault_output_finalize;
    G_OUTPUT_STREAM_CLASS(klass)->write_fn = fault_output_write;
}

static void fault_output_init(FaultOutput *output)
{
}

GOutputStream *fault_output_new(GOutputStream *base, GSocketConnection *breaks,
                                const Fault *fault)
{
    FaultOutput *output = g_object_new(FAULT_TYPE_OUTPUT, "base-stream", base,
                                       NULL);

    g_assert(fault->kind != FAULT_EOF && fault->kind != FAULT_FLIP);
    point_init(&output->point, breaks, fault);
    return G_OUTPUT_STREAM(output);
}

/* Both */

static IoChannel *end_new(int fd, const FaultPlan *plan)
{
    g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, NULL);
    g_autoptr(GSocketConnection) connection =
        g_socket_connection_factory_create_connection(socket);
    GIOStream *stream = G_IO_STREAM(connection);
    g_autoptr(GInputStream) in = fault_input_new(
        g_io_stream_get_input_stream(stream), connection, &plan->read);
    g_autoptr(GOutputStream) out = fault_output_new(
        g_io_stream_get_output_stream(stream), connection, &plan->write);

    return io_channel_new("faulty", in, out);
}

void fault_channel_pair(IoChannel *ends[2], const FaultPlan plan[2])
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                    ==, 0);
    ends[0] = end_new(fds[0], &plan[0]);
    ends[1] = end_new(fds[1], &plan[1]);
}
