/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds, among all peers that connect, the one that is waited for.
 *
 * Anybody can connect: a probe, a port scanner, a browser, a peer that fails
 * its TLS handshake, a peer that says nothing.  None of them may end the wait,
 * or hold up another.  So every peer is a visitor at first.  A visitor is shown
 * in when it has said the first bytes that it is asked for, after the TLS
 * handshake if there is one.  It is turned away when it says something else,
 * leaves, or takes too long.  The first visitor that is shown in ends the wait,
 * and all others are turned away.
 *
 * All of this is one loop in the caller's thread, over a GMainContext of its
 * own.  Nothing in it blocks, so there are no other threads and no locks.  GIO
 * makes TLS handshakes in threads of its own pool.  A handshake begins when the
 * visitor's first byte is there, so that a silent visitor uses no thread.
 *
 * A visitor is busy, and must not be freed, until GIO has called back.  To
 * abort its channel makes GIO call back soon.
 *
 * There are never many visitors: when one too many comes, the oldest has to
 * leave.  A real peer has said its first bytes long before that, so strangers
 * that only hold their connections keep nobody out.
 */
#include "io/channel-kind.h"
#include "io/io-internal.h"

#define MOST_VISITORS 32u
#define REST_MS       1000u /* after accept() failed: no descriptors, say */

typedef struct Admission {
    IoListener *listener;
    const IoAdmit *wanted;
    GCancellable *cancel; /* or NULL */
    GMainContext *context;
    GPtrArray *door;   /* of GSources that accept; empty: the door is closed */
    GSource *rest;     /* fires when the door may open again, or NULL */
    GQueue visitors;   /* of Visitors, the oldest first */
    /* One of these ends the loop. */
    IoChannel *channel;
    GError *error;
} Admission;

typedef struct Visitor {
    Admission *admission;
    IoChannel *channel;
    char *who;
    GSource *first_byte; /* waits for the first byte, or NULL */
    GSource *deadline;
    bool busy;           /* GIO will call back */
    bool leaves;         /* is freed as soon as it is not busy */
    size_t size;         /* of head */
    uint8_t head[IO_HEAD_MAX];
} Visitor;

static GSource *start_source(Admission *a, GSource *source, GSourceFunc run,
                             void *opaque)
{
    g_source_set_callback(source, run, opaque, NULL);
    g_source_attach(source, a->context);
    return source;
}

static void end_source(void *opaque)
{
    GSource *source = opaque;

    g_source_destroy(source);
    g_source_unref(source);
}

static bool is_decided(const Admission *a)
{
    return a->channel || a->error;
}

/* The door */

static gboolean on_caller(GSocket *socket, GIOCondition condition,
                          gpointer opaque);

static void open_door(Admission *a)
{
    const GPtrArray *sockets = io_sockets_of(a->listener);

    for (unsigned i = 0; i < sockets->len; i++) {
        g_ptr_array_add(a->door, start_source(
            a, g_socket_create_source(sockets->pdata[i], G_IO_IN, NULL),
            G_SOURCE_FUNC(on_caller), a));
    }
}

/* Open or close the door, as things are now. */
static void tend_door(Admission *a)
{
    bool open = a->visitors.length <= MOST_VISITORS && !a->rest &&
                !is_decided(a);

    if (!open) {
        g_ptr_array_set_size(a->door, 0);
    } else if (a->door->len == 0) {
        open_door(a);
    }
}

static gboolean on_rested(gpointer opaque)
{
    Admission *a = opaque;

    g_clear_pointer(&a->rest, end_source);
    tend_door(a);
    return G_SOURCE_REMOVE;
}

/* Visitors */

static void visitor_free(Visitor *v)
{
    Admission *a = v->admission;

    g_queue_remove(&a->visitors, v);
    g_clear_pointer(&v->first_byte, end_source);
    g_clear_pointer(&v->deadline, end_source);
    io_channel_free(v->channel);
    g_free(v->who);
    g_free(v);
    tend_door(a);
}

/* Free the visitor, at once or when GIO has called back. */
static void dismiss(Visitor *v)
{
    v->leaves = true;
    g_clear_pointer(&v->first_byte, end_source);
    g_clear_pointer(&v->deadline, end_source);
    if (v->busy) {
        io_channel_abort(v->channel);
    } else {
        visitor_free(v);
    }
}

static void turn_away(Visitor *v, const char *why)
{
    if (!v->leaves) {
        g_warning("%s was turned away: %s: %s", v->who,
                  io_listener_address(v->admission->listener), why);
        dismiss(v);
    }
}

/* Takes err. */
static void turn_away_for(Visitor *v, GError *err)
{
    turn_away(v, err->message);
    g_error_free(err);
}

/* GIO has called back.  False: the visitor was to leave, and is freed now. */
static bool visitor_resume(Visitor *v)
{
    v->busy = false;
    if (v->leaves) {
        visitor_free(v);
        return false;
    }
    return true;
}

static void show_in(Visitor *v)
{
    Admission *a = v->admission;

    if (is_decided(a)) {
        turn_away(v, "another one was first");
        return;
    }
    a->channel = g_steal_pointer(&v->channel);
    io_kind_unread(a->channel, v->head, v->size);
    visitor_free(v);
}

static void on_read(GObject *in, GAsyncResult *result, gpointer opaque);

static void read_head(Visitor *v)
{
    v->busy = true;
    g_input_stream_read_async(v->channel->in, v->head + v->size,
                              v->admission->wanted->head_size - v->size,
                              G_PRIORITY_DEFAULT, v->channel->aborted,
                              on_read, v);
}

static void judge_head(Visitor *v)
{
    const IoAdmit *wanted = v->admission->wanted;
    GError *err = NULL;

    if (!wanted->knows(v->head, v->size, &err)) {
        turn_away_for(v, err);
    } else if (v->size == wanted->head_size) {
        show_in(v);
    } else {
        read_head(v);
    }
}

static void on_read(GObject *in, GAsyncResult *result, gpointer opaque)
{
    Visitor *v = opaque;
    GError *err = NULL;
    gssize got = g_input_stream_read_finish(G_INPUT_STREAM(in), result, &err);

    if (!visitor_resume(v)) {
        g_clear_error(&err);
    } else if (got < 0) {
        turn_away_for(v, err);
    } else if (got == 0) {
        turn_away(v, v->size ? "it left before it had said who it is"
                             : "it left without a word");
    } else {
        v->size += (size_t)got;
        judge_head(v);
    }
}

static void on_encrypted(void *opaque, GError *err)
{
    Visitor *v = opaque;

    if (!visitor_resume(v)) {
        g_clear_error(&err);
    } else if (err) {
        turn_away_for(v, err);
    } else {
        read_head(v);
    }
}

static gboolean on_first_byte(GSocket *socket, GIOCondition condition,
                              gpointer opaque)
{
    Visitor *v = opaque;
    const IoAdmit *wanted = v->admission->wanted;
    g_autofree char *creds = NULL;

    g_clear_pointer(&v->first_byte, end_source);
    if (wanted->tls_creds) {
        creds = wanted->tls_creds(wanted->opaque);
    }
    if (creds && creds[0]) {
        v->busy = true;
        tls_accept_begin(v->channel, creds, on_encrypted, v);
    } else {
        read_head(v);
    }
    return G_SOURCE_REMOVE;
}

static gboolean on_deadline(gpointer opaque)
{
    Visitor *v = opaque;
    g_autofree char *why = g_strdup_printf(
        "it has not said within %g seconds who it is",
        v->admission->wanted->patience_ms / 1e3);

    turn_away(v, why);
    return G_SOURCE_REMOVE;
}

/* "192.0.2.7:50210"; for a unix socket, the peer's process and user. */
static char *name_of(GSocketConnection *connection)
{
    GSocket *socket = g_socket_connection_get_socket(connection);
    g_autoptr(GSocketAddress) address = NULL;
    g_autoptr(GCredentials) peer = NULL;

    if (g_socket_get_family(socket) == G_SOCKET_FAMILY_UNIX) {
        peer = g_socket_get_credentials(socket, NULL);
        return peer ? g_strdup_printf(
                          "process %ld of user %ld",
                          (long)g_credentials_get_unix_pid(peer, NULL),
                          (long)g_credentials_get_unix_user(peer, NULL))
                    : g_strdup("a process");
    }
    address = g_socket_connection_get_remote_address(connection, NULL);
    return address ? g_socket_connectable_to_string(
                         G_SOCKET_CONNECTABLE(address))
                   : g_strdup("somebody");
}

static void visitor_new(Admission *a, GSocket *socket)
{
    g_autoptr(GSocketConnection) connection =
        g_socket_connection_factory_create_connection(socket);
    Visitor *v = g_new0(Visitor, 1);

    v->admission = a;
    v->channel = io_socket_channel(io_listener_address(a->listener),
                                   connection);
    io_socket_writes_little(v->channel); /* a destination */
    v->who = name_of(connection);
    v->first_byte = start_source(
        a, g_socket_create_source(socket, G_IO_IN, NULL),
        G_SOURCE_FUNC(on_first_byte), v);
    v->deadline = start_source(
        a, g_timeout_source_new(a->wanted->patience_ms), on_deadline, v);
    g_queue_push_tail(&a->visitors, v);
}

static void make_room(Admission *a)
{
    GList *oldest = a->visitors.head;

    while (oldest && ((Visitor *)oldest->data)->leaves) {
        oldest = oldest->next;
    }
    if (a->visitors.length > MOST_VISITORS && oldest) {
        turn_away(oldest->data, "it has not said yet who it is, and many "
                                "others have come since");
    }
}

static gboolean on_caller(GSocket *socket, GIOCondition condition,
                          gpointer opaque)
{
    Admission *a = opaque;
    g_autoptr(GSocket) caller = NULL;
    g_autoptr(GError) err = NULL;

    if (is_decided(a)) {
        return G_SOURCE_CONTINUE;
    }
    caller = g_socket_accept(socket, NULL, &err);
    if (caller) {
        visitor_new(a, caller);
        make_room(a);
    } else if (!g_error_matches(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
        g_warning("%s: cannot accept a connection, and will try again: %s",
                  io_listener_address(a->listener), err->message);
        a->rest = start_source(a, g_timeout_source_new(REST_MS), on_rested, a);
    }
    tend_door(a);
    return G_SOURCE_CONTINUE;
}

/* The whole */

static gboolean on_cancelled(gint fd, GIOCondition condition, gpointer opaque)
{
    Admission *a = opaque;

    if (!is_decided(a) &&
        g_cancellable_set_error_if_cancelled(a->cancel, &a->error)) {
        g_prefix_error(&a->error, "%s: ", io_listener_address(a->listener));
    }
    return G_SOURCE_CONTINUE;
}

static GSource *watch_cancel(Admission *a)
{
    GSource *source = io_cancel_source(a->cancel);

    return source ? start_source(a, source, G_SOURCE_FUNC(on_cancelled), a)
                  : NULL;
}

static void send_all_away(Admission *a)
{
    g_autoptr(GList) all = g_list_copy(a->visitors.head);

    for (GList *l = all; l; l = l->next) {
        if (a->channel) {
            turn_away(l->data, "another one was first");
        } else if (!((Visitor *)l->data)->leaves) {
            dismiss(l->data);
        }
    }
}

static void run(Admission *a)
{
    GSource *cancelled = watch_cancel(a);

    tend_door(a);
    while (!is_decided(a)) {
        g_main_context_iteration(a->context, TRUE);
    }
    tend_door(a);
    if (cancelled) {
        end_source(cancelled);
        g_cancellable_release_fd(a->cancel);
    }
    send_all_away(a);
    while (a->visitors.length > 0) {
        g_main_context_iteration(a->context, TRUE);
    }
    g_clear_pointer(&a->rest, end_source);
}

IoChannel *io_listener_admit(IoListener *listener, const IoAdmit *wanted,
                             GCancellable *cancel, GError **errp)
{
    Admission a = {
        .listener = listener, .wanted = wanted, .cancel = cancel,
    };

    g_assert(wanted->head_size > 0 && wanted->head_size <= IO_HEAD_MAX);
    if (!io_sockets_of(listener)) {
        return io_listener_accept(listener, cancel, errp);
    }
    a.context = g_main_context_new();
    a.door = g_ptr_array_new_with_free_func(end_source);
    g_queue_init(&a.visitors);
    g_main_context_push_thread_default(a.context);
    run(&a);
    g_main_context_pop_thread_default(a.context);
    g_main_context_unref(a.context);
    g_ptr_array_unref(a.door);
    if (a.error) {
        g_propagate_error(errp, a.error);
    }
    return a.channel;
}
