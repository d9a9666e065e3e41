/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session at the sender: QEMU to link.
 *
 * The first of a migration's sessions makes the link and leads.  From version 4
 * on the others join it (relay-session-share.h).  An older receiver knows one
 * connection for each link, and each session has its own.
 */
#include "tools/relay/relay-session-role.h"

#include "io/channel-kind.h"
#include "tools/relay/relay-reverse.h"
#include "tools/relay/relay-send.h"
#include "tools/relay/relay-session-share.h"
#include "util/clock.h"
#include "util/text.h"
#include "util/thread.h"

/* The reverse thread */

/* The far end has not yet shown that it is a relay.  A peer that closes with
 * bytes unread, as a QEMU may, resets the connection. */
static void blame_who_is_there(Session *s, GError **errp)
{
    bool is_end = g_error_matches(*errp, MIG_ERROR, MIG_ERROR_EOF);

    if (is_end || g_error_matches(*errp, MIG_ERROR, MIG_ERROR_IO) ||
        g_error_matches(*errp, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE)) {
        g_autofree char *how = g_strdup((*errp)->message);

        g_clear_error(errp);
        g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                    "%s closed the connection instead of answering: it is "
                    "no ferry-relay (a QEMU, perhaps, which needs one "
                    "beside it), or its log says why%s%s",
                    io_channel_name(s->far), is_end ? "" : "; ",
                    is_end ? "" : how);
    } else {
        link_blame(errp, "the other relay");
    }
}

/* Without --connect this relay cannot come back by another connection. */
static unsigned version_of(const Session *s)
{
    return s->route || (s->args->connect && s->args->patience > 0)
               ? RELAY_VERSION : RELAY_LINE_FROM - 1;
}

/* Send HELLO, and read ANSWER. */
static bool exchange_hello(Session *s, GError **errp)
{
    Hello hello = {
        .version = version_of(s),
        .pages = RELAY_PAGES,
        .nonce = s->args->nonce,
    };

    g_strlcpy(hello.method, s->args->codec->name, sizeof(hello.method));
    if (!hello_write(s->far, &hello, errp) ||
        !hello_read(s->far_in, &s->answer, errp)) {
        blame_who_is_there(s, errp);
        return false;
    }
    if (s->answer.reason[0]) {
        g_autofree char *text = text_printable(s->answer.reason);

        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the other relay refuses: %s", text);
        return false;
    }
    if (s->answer.version > version_of(s) ||
        s->answer.pages != RELAY_PAGES) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay's answer asks for what was not offered");
        return false;
    }
    if (s->route && s->answer.version < RELAY_LINE_FROM) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "the other relay knows no routes");
        return false;
    }
    return true;
}

static bool encrypt_sending(const Session *s, IoChannel *link, GError **errp)
{
    return !s->args->tls_creds[0] ||
           io_channel_tls_connect(link, s->args->tls_creds,
                                  s->args->tls_peer, errp);
}

/* The line */

/* GLib calls it under a lock, which g_cancellable_connect() and _disconnect()
 * take, too. */
static void abort_dialed(GCancellable *cancel, void *channel)
{
    io_channel_abort(channel);
}

/* The line's dialer. */
static IoChannel *dial(void *opaque, uint64_t received, uint64_t *arrived,
                       GCancellable *cancel, GError **errp)
{
    const Session *s = opaque;
    IoChannel *link = io_channel_connect_two_way(s->args->connect, cancel,
                                                 errp);
    gulong handler;
    bool ok;

    if (!link) {
        return NULL;
    }
    handler = g_cancellable_connect(cancel, G_CALLBACK(abort_dialed), link,
                                    NULL);
    ok = encrypt_sending(s, link, errp) &&
         resume_ask(link, &s->key, received, arrived, errp);
    g_cancellable_disconnect(cancel, handler);
    if (!ok) {
        io_channel_free(link);
        return NULL;
    }
    return link;
}

/* A source that waits for an answer has closed: it has given up, and its guest
 * runs on.  Nobody is kept waiting for it. */
static void source_went(Session *s, IoChannel *line)
{
    session_set_flag(s, &s->source_gone);
    line_set_patience(line, MIN(s->args->patience, s->args->patience_stopped));
}

/* While the line is down nobody reads from the source.  By a thread of the
 * line's, which therefore stays. */
static void look_for_source(void *opaque)
{
    Session *s = opaque;
    IoChannel *line;
    bool gone;

    pthread_mutex_lock(&s->lock);
    line = s->line;
    gone = line && s->near && !s->source_gone &&
           s->findings.return_path && io_kind_has_hung_up(s->near);
    pthread_mutex_unlock(&s->lock);
    if (gone) {
        relay_log(&s->findings, "the source has closed its connection");
        source_went(s, line);
    }
}

static void note_handed_over(void *opaque)
{
    Session *s = opaque;

    atomic_store(&s->handed_over, true);
}

/* From version 4 on. */
static bool open_line(Session *s, GError **errp)
{
    SessionHello hello = {
        .patience_ms = (uint32_t)(s->args->patience / NS_PER_MS),
    };
    const LineConfig line = {
        .patience = s->args->patience,
        .dial = dial,
        .waits = look_for_source,
        .held = note_handed_over,
    };

    if (!session_key_make(&hello.key, errp)) {
        return false;
    }
    if (s->route) {
        g_strlcpy(hello.route, s->route->name, sizeof(hello.route));
        relay_log(&s->findings, "route %s", s->route->name);
    }
    s->key = hello.key;
    if (!session_hello_write(s->far, &hello, errp) ||
        !session_ready_read(s->far, errp)) {
        link_blame(errp, "the other relay");
        return false;
    }
    return session_make_line(s, &s->far, &s->far_in, &line, errp);
}

/* The link is over, and the destination may have all: the source would let its
 * guest run if its connection ended now.  Only an ABORT says that the guest is
 * not there.  Wait until the source goes, or until a person ends this relay. */
static void hold_source(Session *s, const GError *err)
{
    if (!s->line || !atomic_load(&s->handed_over) ||
        !s->findings.return_path || /* set before handed_over */
        g_error_matches(err, G_IO_ERROR, G_IO_ERROR_FAILED)) {
        return;
    }
    relay_log(&s->findings, "the link has ended (%s)", err->message);
    session_warn_of_two(s);
    while (!session_failed(s) &&
           !session_wait_flag(s, &s->source_gone, false, NS_PER_S / 10)) {
        continue;
    }
}

static bool read_link(Session *s, GError **errp)
{
    const ReverseWatch watch = { &s->stats, &s->watch };
    LinkReader link = { .stream = s->far_in };

    return s->answer.version >= RELAY_LINE_FROM
               ? share_read_link(s->share, s->far_in, errp)
               : reverse_from_link(&link, s->near, &watch, &s->delivered, errp);
}

/* This thread shakes hands as well, so that the forward thread can give up
 * waiting. */
static bool reverse(Session *s, GError **errp)
{
    GError *err = NULL;

    if (!encrypt_sending(s, s->far, errp) || !exchange_hello(s, errp) ||
        (s->answer.version >= RELAY_LINE_FROM && !open_line(s, errp))) {
        return false;
    }
    session_set_flag(s, &s->answered);
    session_wait_flag(s, &s->prepared, true, 0);
    if (!session_failed(s) && !read_link(s, &err)) {
        hold_source(s, err);
        g_propagate_error(errp, err);
        return false;
    }
    return true;
}

/* The forward thread */

static bool get_answer(Session *s, GError **errp)
{
    if (!session_wait_flag(s, &s->answered, false, RELAY_ANSWER_NS)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "%s does not answer; is it a ferry-relay?",
                    io_channel_name(s->far));
        return false;
    }
    if (session_failed(s)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED, "no answer");
        return false;
    }
    return true;
}

/* The codec that the answer names, or NULL. */
static const Codec *agreed_codec(Session *s, GError **errp)
{
    const Codec *codec = codec_find(s->answer.method);

    if (!codec || !codec->available) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay wants a method that this one lacks");
        return NULL;
    }
    if (codec != s->args->codec) {
        relay_log(&s->findings, "the other relay has no %s; using %s",
                  s->args->codec->name, codec->name);
    }
    return codec;
}

static bool greet(Session *s, GError **errp)
{
    s->far_in = stream_new(s->far);
    return session_start_reverse(s, errp) && get_answer(s, errp);
}

/* Takes err.  The reverse thread is given time to say something better. */
static void link_failed(Session *s, GError *err)
{
    link_blame(&err, "the other relay");
    session_wait_reverse(s, false);
    session_fail(s, err);
    session_abort_both(s);
    session_join_reverse(s);
}

/* Takes err.  Notes it before telling the other relay, because that one repeats
 * what it is told. */
static void source_failed(Session *s, RelaySend *send, GError *err)
{
    g_autofree char *text = g_strdup(err->message);

    if (session_fail(s, err)) {
        relay_send_abort(send, text);
    }
    session_wait_reverse(s, false);
    session_abort_both(s);
    session_join_reverse(s);
}

static void check_delivered(Session *s, uint64_t sent, uint64_t delivered)
{
    if (delivered != sent) {
        session_fail(s, g_error_new(G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                                    "%" G_GUINT64_FORMAT " bytes were sent "
                                    "and %" G_GUINT64_FORMAT " delivered",
                                    sent, delivered));
    }
}

/* All is delivered.  The receiver says goodbye, too, if it still can. */
static void finish_link(Session *s)
{
    if (!session_failed(s)) {
        io_channel_finish(s->far, NULL);
    }
    if (!session_wait_reverse(s, false)) {
        session_abort_both(s);
    }
    session_join_reverse(s);
}

/* The link's only connection. */
static void send_ended_alone(Session *s)
{
    session_wait_reverse(s, true);
    session_join_reverse(s);
    if (!session_failed(s)) {
        check_delivered(s, s->total, s->delivered);
    }
}

static void send_ended(Session *s, ShareChannel *c)
{
    if (!c) {
        send_ended_alone(s);
        return;
    }
    if (share_wait_over(c)) {
        check_delivered(s, s->total, c->delivered);
    }
    if (session_failed(s)) {
        session_abort_both(s);
    }
    /* QEMU is to see the end now, whatever its other connections do. */
    share_leave(s->share, s);
    session_close(s, &s->near);
    share_wait_alone(s->share);
    finish_link(s);
}

/* What packs may be encoded by. */
static Ladder ladder_for(const Session *s, const TrunkConfig *config)
{
    Ladder all = ladder_of_all(offer_features(s->answer.offer));
    bool chooses =
        s->args->options.value[MIG_OPT_COMPRESS_METHOD] == MIG_METHOD_AUTO;

    return chooses && all.rungs > 1
               ? all : ladder_of_one(config->codec, config->level);
}

/* While the guest runs at the source, patience costs nothing. */
static void reached(void *opaque, SendPlace place)
{
    Session *s = opaque;

    if (!s->line) {
        return;
    }
    switch (place) {
    case SEND_RUNS:
        line_set_patience(s->line, s->args->patience);
        break;
    case SEND_GONE:
        source_went(s, s->line);
        break;
    case SEND_STANDS_STILL:
    case SEND_LOST:
        line_set_patience(s->line, MIN(s->args->patience,
                                       s->args->patience_stopped));
        break;
    case SEND_HANDED_OVER:
        /* To give up would let the guest run here, while it may run there, as
         * soon as the last bytes have been sent. */
        line_hold(s->line);
        break;
    }
}

static Trunk *new_trunk(Session *s, GError **errp)
{
    TrunkConfig config = {
        .link = &s->link,
        .codec = agreed_codec(s, errp),
        .version = s->answer.version,
        .window = session_window(s, offer_window(s->answer.offer)),
        .budget = s->budget,
        .level = (unsigned)s->args->options.value[MIG_OPT_COMPRESS_LEVEL],
        .threads =
            thread_count(s->args->options.value[MIG_OPT_COMPRESS_THREADS]),
        .stats = &s->stats,
    };

    if (!config.codec) {
        return NULL;
    }
    config.ladder = ladder_for(s, &config);
    s->link.channel = s->far;
    return trunk_new(&config, errp);
}

static void send_stream(Session *s, Trunk *trunk, ShareChannel *c)
{
    const RelaySendConfig config = {
        .from = s->near_in,
        .trunk = trunk,
        .credit = c ? &c->credit : NULL,
        .findings = &s->findings,
        .back = &s->watch,
        .is_main = &s->is_main,
        .reached = reached,
        .opaque = s,
    };
    RelaySend *send = relay_send_new(&config);
    GError *err = NULL;
    bool ok = relay_send_run(send, &err);

    s->total = stream_position(s->near_in);
    share_close(s->share);
    if (ok) {
        send_ended(s, c);
    } else if (relay_send_link_failed(send)) {
        link_failed(s, err);
    } else {
        source_failed(s, send, err);
    }
    relay_send_free(send);
}

/* What the link and its sessions share is there. */
static bool open_share(Session *s, Trunk *trunk, ShareChannel **c,
                       GError **errp)
{
    *c = NULL;
    if (s->answer.version < RELAY_LINE_FROM) {
        share_close(s->share);
        return true;
    }
    *c = share_open(s->share, &s->link, trunk, errp);
    return *c != NULL;
}

static void run_leader(Session *s)
{
    ShareChannel *c = NULL;
    Trunk *trunk = NULL;
    GError *err = NULL;

    if (session_connect_far(s, &err) && greet(s, &err)) {
        trunk = new_trunk(s, &err);
    }
    if (trunk && open_share(s, trunk, &c, &err)) {
        session_set_flag(s, &s->prepared);
        session_went_on(s);
        send_stream(s, trunk, c);
    } else {
        share_close(s->share);
        session_fail(s, err);
        session_set_flag(s, &s->prepared);
        session_abort_both(s);
        session_join_reverse(s);
    }
    share_wait_alone(s->share);
    share_leave(s->share, s);
    trunk_free(trunk);
}

/* One more connection of a migration's */

/* Takes err.  Where the link has failed, its reader sees that, too. */
static void joined_failed(Session *s, RelaySend *send, ShareChannel *c,
                          GError *err)
{
    g_autofree char *text = g_strdup(err->message);

    if (!relay_send_link_failed(send) && share_give_up(c)) {
        relay_log(&s->findings, "%s", text);
        relay_send_abort(send, text);
    }
    session_fail(s, err);
}

static void send_joined(Session *s, ShareChannel *c)
{
    Session *leader = share_leader(s->share);
    const RelaySendConfig config = {
        .from = s->near_in,
        .trunk = share_trunk(s->share),
        .channel = c->number,
        .credit = &c->credit,
        .may_be_urgent = atomic_load(&leader->is_main),
        .spoke = &s->spoke,
        .findings = &s->findings,
        .back = &s->watch,
    };
    RelaySend *send = relay_send_new(&config);
    GError *err = NULL;

    if (!relay_send_run(send, &err)) {
        joined_failed(s, send, c, err);
    } else if (share_wait_over(c)) {
        check_delivered(leader, stream_position(s->near_in), c->delivered);
        if (session_failed(leader)) {
            session_abort_both(leader);
        }
    }
    relay_send_free(send);
}

static void run_joined(Session *s)
{
    Session *leader = share_leader(s->share);
    ShareChannel *c;
    GError *err = NULL;

    s->findings.number = leader->findings.number;
    c = share_join(s->share, s, &err);
    turns_leave(s->turns, s->number);
    if (c) {
        s->findings.channel = c->number;
        send_joined(s, c);
    } else {
        relay_log(&s->findings, "one more connection: %s", err->message);
        session_fail(s, err);
    }
    share_leave(s->share, s);
}

static void run(Session *s)
{
    GError *err = NULL;
    Share *share;

    turns_begin(s->turns, s->number, s->route);
    session_wait_turn(s);
    share = share_find(s, &err);
    if (!share) {
        s->refused = true;
        session_fail(s, err);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->joined = share_leader(share) != s;
    s->share = share;
    pthread_mutex_unlock(&s->lock);
    if (s->joined) {
        run_joined(s);
    } else {
        run_leader(s);
    }
}

static void abort_share(Session *s)
{
    Share *share;

    pthread_mutex_lock(&s->lock);
    share = s->joined ? NULL : s->share;
    pthread_mutex_unlock(&s->lock);
    if (share) {
        share_break(share);
    }
}

static void free_share(Session *s)
{
    if (!s->joined) {
        share_free(s->share);
    }
}

const SessionRole session_role_send = {
    .run = run,
    .reverse = reverse,
    .abort = abort_share,
    .free = free_share,
};
