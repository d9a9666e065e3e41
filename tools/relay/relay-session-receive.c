/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session at the receiver: link to QEMU. */
#include "tools/relay/relay-session-role.h"

#include "tools/relay/relay-pack.h"
#include "tools/relay/relay-receive.h"
#include "tools/relay/relay-routes.h"
#include "tools/relay/relay-session-far.h"
#include "util/text.h"
#include "util/thread.h"

static bool reverse(Session *s, GError **errp)
{
    const ReverseWatch watch = { &s->stats, &s->watch };

    return reverse_to_link(s->far, &s->link, 0, NULL, &watch, errp);
}

static bool check_hello(const Hello *hello, GError **errp)
{
    if (hello->reason[0]) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay's HELLO has a refusal in it");
        return false;
    }
    return true;
}

/* A relay that has connected to itself would do so again and again, until it
 * could serve no more. */
static bool check_who(Session *s, const Hello *hello, GError **errp)
{
    bool is_me = hello->nonce == s->args->nonce;

    s->refused = is_me || s->resumes_only;
    if (is_me) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "this relay has connected to itself: its --connect leads "
                    "to its --listen");
    } else if (s->resumes_only) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_BUSY, RELAY_DRAINS);
    }
    return !s->refused;
}

/* Without a second peer nobody can come back by another connection. */
static unsigned version_of(const RelayArgs *args)
{
    return !args->one_peer &&
                   (args->patience > 0 || relay_args_has_routes(args))
               ? RELAY_VERSION : RELAY_LINE_FROM - 1;
}

/* hello then has what both relays use. */
static Hello agree(Session *s, Hello *hello)
{
    Hello back = { .pages = hello->pages };
    const Codec *codec = codec_find(hello->method);

    hello->version = back.version = MIN(hello->version,
                                         version_of(s->args));
    if (back.version >= RELAY_PACK_FROM) {
        s->window = session_window(s, UINT_MAX);
        back.offer = hello_offer(codec_features(), s->window);
    }
    if (!codec || !codec->available) {
        g_strlcpy(hello->method, codec_zlib.name, sizeof(hello->method));
    }
    g_strlcpy(back.method, hello->method, sizeof(back.method));
    return back;
}

static bool connect_qemu(Session *s, GError **errp)
{
    bool ok = session_connect_far(s, errp);

    if (ok) {
        turns_leave(s->turns, s->number);
    }
    return ok;
}

static bool find_route(Session *s, const SessionHello *session, GError **errp)
{
    if (session->route[0]) {
        s->route = relay_args_route(s->args, session->route);
        if (!s->route && s->args->folder &&
            route_folder_find(s->args->folder, session->route,
                              &s->own_route)) {
            s->route = &s->own_route;
        }
        if (!s->route) {
            g_autofree char *text = text_printable(session->route);

            g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                        "there is no route '%s' here", text);
            return false;
        }
        relay_log(&s->findings, "route %s", s->route->name);
    }
    return true;
}

/* Up to version 3 an ANSWER says whether QEMU could be reached.  From version
 * 4 on that is READY, and the link goes on as a line. */
static bool open_line(Session *s, GError **errp)
{
    g_autofree char *peer = io_channel_tls_peer(s->near);
    LineConfig line = { .patience = 0 };
    SessionHello session;
    GError *err = NULL;

    if (!session_hello_read(s->near_in, &session, errp)) {
        return false;
    }
    if (s->args->patience > 0) {
        session_set_flag(s, &s->may_resume);
    }
    if (!find_route(s, &session, &err) || !connect_qemu(s, &err)) {
        session_ready_write(s->near, err->message, NULL);
        g_propagate_error(errp, err);
        return false;
    }
    if (!session_ready_write(s->near, NULL, errp)) {
        return false;
    }
    if (s->args->patience > 0) {
        line.patience = session.patience_ms * NS_PER_MS;
    }
    if (!session_make_line(s, &s->near, &s->near_in, &line, errp)) {
        return false;
    }
    s->key = session.key;
    lines_add(s->lines, &s->key, s->line, peer);
    return true;
}

static bool answer(Session *s, Hello *hello, GError **errp)
{
    Hello back = agree(s, hello);
    GError *err = NULL;

    if (check_who(s, hello, &err) &&
        (hello->version >= RELAY_LINE_FROM || connect_qemu(s, &err))) {
        return hello_write(s->near, &back, errp) &&
               (hello->version < RELAY_LINE_FROM || open_line(s, errp));
    }
    g_strlcpy(back.reason, err->message, sizeof(back.reason));
    hello_write(s->near, &back, NULL);
    g_propagate_error(errp, err);
    return false;
}

/* The peer goes on with another session, whose line takes this connection. */
static bool resume(Session *s, GError **errp)
{
    g_autofree char *peer = io_channel_tls_peer(s->near);
    IoChannel *line, *connection;
    uint64_t received;
    Resume resume;
    SessionKey key;
    bool ok;

    if (!resume_read(s->near_in, &resume, errp)) {
        return false;
    }
    line = lines_hold(s->lines, resume.id, peer, &key);
    if (!line) {
        resume_refuse(s->near);
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "the peer wants to go on with a migration that this relay "
                    "does not have (any more)");
        return false;
    }
    ok = resume_challenge(s->near, s->near_in, &resume, &key, errp) &&
         line_stop(line, resume.arrived, &received, errp);
    if (ok) {
        ok = resume_grant(s->near, &resume, &key, received, errp);
        pthread_mutex_lock(&s->lock);
        connection = ok ? g_steal_pointer(&s->near) : NULL;
        pthread_mutex_unlock(&s->lock);
        ok = line_go_on(line, connection, resume.arrived, ok ? errp : NULL) &&
             ok;
    }
    lines_release(s->lines, line);
    return ok;
}

static bool receive_stream(Session *s, const Hello *hello, bool *qemu_failed,
                           GError **errp)
{
    RelayReceiveConfig config = {
        .from = s->near_in,
        .to = s->far,
        .sink = s->far_channels ? far_sink(s->far_channels) : NULL,
        .version = hello->version,
        .window = s->window,
        .codec = codec_find(hello->method),
        .pages = hello->pages,
        .threads =
            thread_count(s->args->options.value[MIG_OPT_DECOMPRESS_THREADS]),
        .stats = &s->stats,
        .ending = &s->findings.ending,
    };
    RelayReceive *receive = relay_receive_new(&config, errp);
    bool ok;

    if (!receive) {
        return false;
    }
    ok = relay_receive_run(receive, &s->total, errp);
    *qemu_failed = relay_receive_qemu_failed(receive);
    s->second = (!s->far_channels && relay_receive_is_second(receive)) ||
                (ok && s->total == 0);
    relay_receive_free(receive);
    if (ok && !s->far_channels && !io_channel_finish(s->far, errp)) {
        *qemu_failed = true;
        return false;
    }
    return ok;
}

/* Up to version 3 */

static void receive_ended(Session *s)
{
    GError *err = NULL;

    session_wait_reverse(s, true);
    session_join_reverse(s);
    if (!session_failed(s) && !session_wait_destination(s)) {
        link_write_abort(&s->link, s->error->message);
    }
    if (!session_failed(s) &&
        !link_write_total(&s->link, 0, RELAY_DELIVERED, s->total, &err)) {
        session_fail(s, err);
    }
}

/* Takes err. */
static void receive_failed(Session *s, bool qemu_failed, GError *err)
{
    g_autofree char *text = g_strdup(err->message);
    bool first = session_fail(s, err);

    if (qemu_failed) {
        session_wait_reverse(s, false);
    }
    io_channel_abort(s->far);
    if (!session_wait_reverse(s, false)) {
        io_channel_abort(s->near);
    }
    session_join_reverse(s);
    if (first) {
        link_write_abort(&s->link, text);
    }
}

static void receive_one(Session *s, const Hello *hello)
{
    bool qemu_failed = false;
    GError *err = NULL;

    if (session_start_reverse(s, &err) &&
        receive_stream(s, hello, &qemu_failed, &err)) {
        receive_ended(s);
        return;
    }
    if (qemu_failed) {
        link_blame(&err, "the destination");
    }
    receive_failed(s, qemu_failed, err);
}

/* From version 4 on */

/* Takes err. */
static void link_failed(Session *s, Far *far, GError *err)
{
    g_autofree char *text = g_strdup(err->message);
    bool first = session_fail(s, err);

    /* The sender is to hear of it, but is not waited for long. */
    line_set_patience(s->line, s->args->patience_stopped);
    far_drain(far);
    far_abort(far);
    if (!far_is_quiet(far)) {
        io_channel_abort(s->near);
    } else if (first) {
        link_write_abort(&s->link, text);
    }
}

static void receive_several(Session *s, const Hello *hello)
{
    GError *err = NULL;
    Far *far = far_new(s, &s->link, &err);
    bool unused;

    if (!far) {
        link_write_abort(&s->link, err->message);
        session_fail(s, err);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->far_channels = far;
    pthread_mutex_unlock(&s->lock);
    if (!receive_stream(s, hello, &unused, &err)) {
        link_failed(s, far, err);
    }
    session_set_flag(s, &s->link_ended);
    far_join(far);
    io_channel_finish(s->line, NULL);
}

static bool greet(Session *s, Hello *hello, GError **errp)
{
    bool ok = hello_read(s->near_in, hello, errp) &&
              check_hello(hello, errp) && answer(s, hello, errp);

    s->link.channel = s->near;
    return ok;
}

static void take_migration(Session *s)
{
    GError *err = NULL;
    Hello hello;

    if (!greet(s, &hello, &err)) {
        session_fail(s, err);
    } else if (hello.version >= RELAY_LINE_FROM) {
        receive_several(s, &hello);
    } else {
        receive_one(s, &hello);
    }
    if (s->line) {
        lines_remove(s->lines, s->line);
    }
    pthread_mutex_lock(&s->lock);
    s->may_resume = false;
    pthread_mutex_unlock(&s->lock);
}

static void abort_far(Session *s)
{
    Far *far;

    pthread_mutex_lock(&s->lock);
    far = s->far_channels;
    pthread_mutex_unlock(&s->lock);
    if (far) {
        far_abort(far);
    }
}

static void free_far(Session *s)
{
    far_free(s->far_channels);
}

static void run(Session *s)
{
    GError *err = NULL;

    if (!s->resumes) {
        take_migration(s);
    } else if (!resume(s, &err)) {
        s->refused = true;
        session_fail(s, err);
    }
}

const SessionRole session_role_receive = {
    .run = run,
    .reverse = reverse,
    .abort = abort_far,
    .free = free_far,
};
