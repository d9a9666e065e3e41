/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Two threads: the one that calls session_run() moves bytes forward, from
 * `near`, who connected to us, to `far`, whom we connect to; another moves them
 * back.  Each direction ends by itself.  At a clean end the forward thread
 * waits for the other one as long as that takes: the connection of a QEMU
 * stays open until its peer is done, as it would without us.
 *
 * When something fails, what can still arrive should: the last words of a
 * destination say why it gave up.  So
 *
 *   - where a read fails there is nothing more to come: everything that would
 *     wait for that peer is aborted at once;
 *   - where a write fails the peer is gone, but what it wrote before it went
 *     may still be on its way: the reverse direction is given RELAY_LINGER_NS
 *     to end by itself, and only then aborted.
 *
 * The first error is the one that is reported, except that a broken pipe at the
 * sender waits for what the other relay has to say.
 */
#include "tools/relay/relay-session.h"

#include <string.h>

#include "tools/relay/relay-convert.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-log.h"
#include "tools/relay/relay-receive.h"
#include "tools/relay/relay-report.h"
#include "tools/relay/relay-reverse.h"
#include "tools/relay/relay-send.h"
#include "tools/relay/relay-stdio.h"
#include "util/clock.h"
#include "util/text.h"
#include "util/thread.h"

struct Session {
    const RelayArgs *args;
    Turns *turns;
    RelayRole role;      /* settled before the reverse thread starts */
    RelayFindings findings;
    RelayStats stats;
    IoChannel *near;     /* set and cleared under lock, by the forward thread */
    Stream *near_in;
    IoChannel *far;      /* the same */
    Stream *far_in;      /* send: the link, read by the reverse thread */
    LinkWriter back;     /* receive: the reverse thread's, then ours */
    pthread_t reverse;
    bool reverse_started;
    bool refused;        /* there was no place for it */
    int64_t started, ended;
    uint64_t total;      /* bytes of QEMU's stream */

    GCancellable *connecting;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool settled;        /* lock; error will not change any more */
    GError *error;       /* lock, until settled; the first one */
    bool began;          /* lock; the peer has said what it wants */
    bool answered;       /* lock; send: then answer may be read */
    Hello answer;        /* set before answered */
    bool reverse_ended;  /* lock */
    uint64_t delivered;  /* set before reverse_ended */
};

/* Errors */

/* Takes err.  False when there was one before, or when it is too late. */
static bool session_fail(Session *s, GError *err)
{
    bool first;

    pthread_mutex_lock(&s->lock);
    first = !s->error && !s->settled;
    if (first) {
        s->error = err;
    } else {
        g_error_free(err);
    }
    pthread_mutex_unlock(&s->lock);
    return first;
}

static bool session_failed(Session *s)
{
    bool failed;

    pthread_mutex_lock(&s->lock);
    failed = s->error != NULL;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

static void abort_both(Session *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->near) {
        io_channel_abort(s->near);
    }
    if (s->far) {
        io_channel_abort(s->far);
    }
    pthread_mutex_unlock(&s->lock);
}

void session_abort(Session *s, const char *reason)
{
    session_fail(s, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                        reason));
    g_cancellable_cancel(s->connecting);
    abort_both(s);
}

bool session_has_begun(Session *s)
{
    bool began;

    pthread_mutex_lock(&s->lock);
    began = s->began;
    pthread_mutex_unlock(&s->lock);
    return began;
}

/* The reverse thread */

static void set_flag(Session *s, bool *flag)
{
    pthread_mutex_lock(&s->lock);
    if (!*flag) {
        *flag = true;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
}

/* With forever, or until the time is over; was it set? */
static bool wait_flag(Session *s, const bool *flag, bool forever, int64_t time)
{
    int64_t deadline = clock_now(&clock_monotonic) + time;
    bool set;

    pthread_mutex_lock(&s->lock);
    while (!*flag && (forever || clock_now(&clock_monotonic) < deadline)) {
        if (forever) {
            pthread_cond_wait(&s->changed, &s->lock);
        } else {
            clock_monotonic.wait(&clock_monotonic, &s->changed, &s->lock,
                                 deadline);
        }
    }
    set = *flag;
    pthread_mutex_unlock(&s->lock);
    return set;
}

/* HELLO, and what the other relay says to it. */
static bool exchange_hello(Session *s, GError **errp)
{
    Hello hello = { .version = RELAY_VERSION, .pages = RELAY_PAGES };

    g_strlcpy(hello.method, s->args->codec->name, sizeof(hello.method));
    if (!hello_write(s->far, &hello, errp) ||
        !hello_read(s->far_in, &s->answer, errp)) {
        return false;
    }
    if (s->answer.reason[0]) {
        g_autofree char *text = text_printable(s->answer.reason);

        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the other relay refuses: %s", text);
        return false;
    }
    if (s->answer.version != RELAY_VERSION || s->answer.pages != RELAY_PAGES) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay wants what it was not offered");
        return false;
    }
    return true;
}

static bool encrypt_sending(Session *s, GError **errp)
{
    return !s->args->tls_creds[0] ||
           io_channel_tls_connect(s->far, s->args->tls_creds,
                                  s->args->tls_peer, errp);
}

/* Shakes hands as well, so that the forward thread can lose patience. */
static bool reverse_send(Session *s, GError **errp)
{
    LinkReader link = { .stream = s->far_in };

    if (!encrypt_sending(s, errp) || !exchange_hello(s, errp)) {
        return false;
    }
    set_flag(s, &s->answered);
    return reverse_from_link(&link, s->near, &s->stats, &s->delivered, errp);
}

static bool reverse_by_role(Session *s, GError **errp)
{
    switch (s->role) {
    case RELAY_ROLE_SEND:
        return reverse_send(s, errp);
    case RELAY_ROLE_RECEIVE:
        return reverse_to_link(s->far, &s->back, &s->stats, errp);
    default:
        return reverse_copy(s->far, s->near, &s->stats, errp);
    }
}

static void *reverse_main(void *opaque)
{
    Session *s = opaque;
    GError *err = NULL;

    if (!reverse_by_role(s, &err)) {
        g_autofree char *text = g_strdup(err->message);

        /* If it was not first, it is an echo of what the forward thread does
         * about an error of its own. */
        if (session_fail(s, err)) {
            if (s->role == RELAY_ROLE_RECEIVE) {
                link_write_abort(&s->back, text);
            }
            abort_both(s);
        }
    }
    set_flag(s, &s->answered);
    set_flag(s, &s->reverse_ended);
    return NULL;
}

static bool start_reverse(Session *s, GError **errp)
{
    s->reverse_started = thread_start(&s->reverse, "relay/reverse",
                                      reverse_main, s, errp);
    return s->reverse_started;
}

static bool wait_reverse(Session *s, bool forever)
{
    return !s->reverse_started ||
           wait_flag(s, &s->reverse_ended, forever, RELAY_LINGER_NS);
}

static void join_reverse(Session *s)
{
    if (s->reverse_started) {
        thread_join(s->reverse);
        s->reverse_started = false;
    }
}

/* Connecting */

/* From here on it is a migration, and not just somebody who has connected. */
static bool begin(Session *s, GError **errp)
{
    set_flag(s, &s->began);
    s->refused = !turns_claim(s->turns);
    if (s->refused) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "there is another migration, and this relay serves one "
                    "only");
        return false;
    }
    return true;
}

static bool connect_far(Session *s, GError **errp)
{
    IoChannel *far;

    if (!begin(s, errp)) {
        return false;
    }
    turns_wait(s->turns, s->findings.number);
    if (s->args->connect) {
        far = io_channel_connect(s->args->connect, s->connecting, errp);
    } else {
        far = relay_stdio_channel(errp);
    }
    if (!far) {
        return false;
    }
    pthread_mutex_lock(&s->lock);
    s->far = far;
    pthread_mutex_unlock(&s->lock);
    if (session_failed(s)) {
        abort_both(s); /* session_abort() has come too early for it */
    }
    return true;
}

static bool encrypt_receiving(Session *s, GError **errp)
{
    return !s->args->tls_creds[0] || s->args->role != RELAY_ROLE_RECEIVE ||
           io_channel_tls_accept(s->near, s->args->tls_creds, errp);
}

static bool choose_role(Session *s, GError **errp)
{
    uint8_t first;

    s->role = s->args->role;
    if (!encrypt_receiving(s, errp) ||
        !stream_peek_u8(s->near_in, &first, errp)) {
        return false;
    }
    if (s->role == RELAY_ROLE_AUTO) {
        s->role = first == RELAY_FIRST_BYTE ? RELAY_ROLE_RECEIVE
                                            : RELAY_ROLE_SEND;
    }
    return true;
}

/* Send: QEMU to link */

static bool get_answer(Session *s, GError **errp)
{
    if (!wait_flag(s, &s->answered, false, RELAY_ANSWER_NS)) {
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

/* What is to pack the pages: what the answer says, or NULL. */
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
    if (!start_reverse(s, errp) || !get_answer(s, errp)) {
        return false;
    }
    turns_leave(s->turns, s->findings.number);
    return true;
}

/* Takes err.  The reverse thread is given time to say something better. */
static void send_failed(Session *s, bool link_failed, GError *err)
{
    if (link_failed) {
        wait_reverse(s, false);
        session_fail(s, err);
    } else {
        session_fail(s, err);
        wait_reverse(s, false);
    }
    abort_both(s);
    join_reverse(s);
}

/* A source that gives up closes its connection as one that is done does. */
static void check_stream_ended(Session *s)
{
    if (!s->findings.past_ram) {
        session_fail(s, g_error_new(G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                                    "the source has closed before the end of "
                                    "RAM"));
    }
}

static void send_ended(Session *s)
{
    wait_reverse(s, true);
    join_reverse(s);
    check_stream_ended(s);
    if (!session_failed(s) && s->delivered != s->total) {
        session_fail(s, g_error_new(G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                                    "%" G_GUINT64_FORMAT " bytes were sent "
                                    "and %" G_GUINT64_FORMAT " delivered",
                                    s->total, s->delivered));
    }
}

static bool send_stream(Session *s, bool *link_failed, GError **errp)
{
    RelaySendConfig config = {
        .from = s->near_in,
        .to = s->far,
        .level = (unsigned)s->args->options.value[MIG_OPT_COMPRESS_LEVEL],
        .threads = (unsigned)s->args->options.value[MIG_OPT_COMPRESS_THREADS],
        .stats = &s->stats,
        .findings = &s->findings,
    };
    RelaySend *send;
    bool ok;

    config.codec = agreed_codec(s, errp);
    send = config.codec ? relay_send_new(&config, errp) : NULL;
    if (!send) {
        return false;
    }
    ok = relay_send_run(send, errp);
    *link_failed = relay_send_link_failed(send);
    relay_send_free(send);
    s->total = stream_position(s->near_in);
    return ok;
}

static void run_send(Session *s)
{
    bool link_failed = false;
    GError *err = NULL;

    if (!connect_far(s, &err) || !greet(s, &err)) {
        session_fail(s, err);
        abort_both(s);
        join_reverse(s);
    } else if (send_stream(s, &link_failed, &err)) {
        send_ended(s);
    } else {
        send_failed(s, link_failed, err);
    }
}

/* Receive: link to QEMU */

static bool check_hello(const Hello *hello, GError **errp)
{
    if (hello->reason[0]) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "a greeting with a refusal in it");
        return false;
    }
    return true;
}

/* Connect to QEMU, and say whether that worked. */
static bool answer(Session *s, Hello *hello, GError **errp)
{
    Hello back = { .version = MIN(hello->version, RELAY_VERSION),
                   .pages = hello->pages };
    const Codec *codec = codec_find(hello->method);
    GError *err = NULL;

    if (!codec || !codec->available) {
        g_strlcpy(hello->method, codec_zlib.name, sizeof(hello->method));
    }
    g_strlcpy(back.method, hello->method, sizeof(back.method));
    if (connect_far(s, &err)) {
        turns_leave(s->turns, s->findings.number);
        return hello_write(s->near, &back, errp);
    }
    g_strlcpy(back.reason, err->message, sizeof(back.reason));
    hello_write(s->near, &back, NULL);
    g_propagate_error(errp, err);
    return false;
}

static bool receive_stream(Session *s, const Hello *hello, bool *qemu_failed,
                           GError **errp)
{
    RelayReceiveConfig config = {
        .from = s->near_in,
        .to = s->far,
        .codec = codec_find(hello->method),
        .pages = hello->pages,
        .threads =
            (unsigned)s->args->options.value[MIG_OPT_DECOMPRESS_THREADS],
        .stats = &s->stats,
    };
    RelayReceive *receive = relay_receive_new(&config, errp);
    bool ok;

    if (!receive) {
        return false;
    }
    ok = relay_receive_run(receive, &s->total, errp);
    *qemu_failed = relay_receive_qemu_failed(receive);
    relay_receive_free(receive);
    if (ok && !io_channel_finish(s->far, errp)) {
        *qemu_failed = true;
        return false;
    }
    return ok;
}

static void receive_ended(Session *s)
{
    GError *err = NULL;

    wait_reverse(s, true);
    join_reverse(s);
    if (!session_failed(s) &&
        !link_write_total(&s->back, RELAY_DELIVERED, s->total, &err)) {
        session_fail(s, err);
    }
}

/* Takes err. */
static void receive_failed(Session *s, bool qemu_failed, GError *err)
{
    g_autofree char *text = g_strdup(err->message);
    bool first = session_fail(s, err);

    if (qemu_failed) {
        wait_reverse(s, false);
    }
    io_channel_abort(s->far);
    if (!wait_reverse(s, false)) {
        io_channel_abort(s->near);
    }
    join_reverse(s);
    if (first) {
        link_write_abort(&s->back, text);
    }
}

static void run_receive(Session *s)
{
    bool qemu_failed = false;
    GError *err = NULL;
    Hello hello;

    s->back.channel = s->near;
    if (!hello_read(s->near_in, &hello, &err) ||
        !check_hello(&hello, &err) || !answer(s, &hello, &err)) {
        session_fail(s, err);
    } else if (start_reverse(s, &err) &&
               receive_stream(s, &hello, &qemu_failed, &err)) {
        receive_ended(s);
    } else {
        receive_failed(s, qemu_failed, err);
    }
}

/* Convert: QEMU to QEMU */

static bool convert_stream(Session *s, bool *write_failed, GError **errp)
{
    const uint64_t *value = s->args->options.value;
    bool expand = s->role == RELAY_ROLE_FROM_QEMU;
    RelayConvertConfig config = {
        .from = s->near_in,
        .to = s->far,
        .expand = expand,
        .level = (unsigned)value[MIG_OPT_COMPRESS_LEVEL],
        .threads = (unsigned)value[expand ? MIG_OPT_DECOMPRESS_THREADS
                                          : MIG_OPT_COMPRESS_THREADS],
        .stats = &s->stats,
        .findings = &s->findings,
    };
    RelayConvert *convert = relay_convert_new(&config, errp);
    bool ok;

    if (!convert) {
        return false;
    }
    ok = relay_convert_run(convert, errp);
    *write_failed = relay_convert_write_failed(convert);
    relay_convert_free(convert);
    s->total = stream_position(s->near_in);
    if (ok && !io_channel_finish(s->far, errp)) {
        *write_failed = true;
        return false;
    }
    return ok;
}

static void run_convert(Session *s)
{
    bool write_failed = false;
    GError *err = NULL;

    if (connect_far(s, &err) && start_reverse(s, &err)) {
        turns_leave(s->turns, s->findings.number);
        convert_stream(s, &write_failed, &err);
    }
    if (!err) {
        wait_reverse(s, true);
        check_stream_ended(s);
    } else {
        session_fail(s, err);
        if (write_failed) {
            wait_reverse(s, false);
        }
        abort_both(s);
    }
    join_reverse(s);
}

/* The whole */

Session *session_new(const RelayArgs *args, Turns *turns, unsigned number,
                     IoChannel *near)
{
    Session *s = g_new0(Session, 1);

    s->args = args;
    s->turns = turns;
    turns_enter(turns, number);
    s->findings.number = number;
    s->near = near;
    s->near_in = stream_new(near);
    s->connecting = g_cancellable_new();
    pthread_mutex_init(&s->lock, NULL);
    thread_cond_init(&s->changed);
    return s;
}

void session_free(Session *s)
{
    if (!s) {
        return;
    }
    stream_free(s->near_in);
    stream_free(s->far_in);
    io_channel_free(s->near);
    io_channel_free(s->far);
    relay_findings_clear(&s->findings);
    g_clear_error(&s->error);
    g_object_unref(s->connecting);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    g_free(s);
}

static void run_by_role(Session *s)
{
    switch (s->role) {
    case RELAY_ROLE_SEND:
        run_send(s);
        break;
    case RELAY_ROLE_RECEIVE:
        run_receive(s);
        break;
    default:
        run_convert(s);
    }
}

/* QEMU is to see the end now, not when somebody comes to free us. */
static void close_channels(Session *s)
{
    pthread_mutex_lock(&s->lock);
    g_clear_pointer(&s->near, io_channel_free);
    g_clear_pointer(&s->far, io_channel_free);
    pthread_mutex_unlock(&s->lock);
}

/* It came, said nothing, and went. */
static bool has_just_left(const Session *s)
{
    return !s->began && stream_position(s->near_in) == 0 &&
           g_error_matches(s->error, MIG_ERROR, MIG_ERROR_EOF);
}

/* From here on an abort comes too late. */
static bool settle(Session *s)
{
    bool succeeded;

    pthread_mutex_lock(&s->lock);
    s->settled = true;
    succeeded = !s->error;
    pthread_mutex_unlock(&s->lock);
    return succeeded;
}

bool session_run(Session *s)
{
    bool succeeded;
    GError *err = NULL;

    s->started = clock_now(&clock_monotonic);
    if (choose_role(s, &err)) {
        run_by_role(s);
    } else {
        session_fail(s, err);
    }
    turns_leave(s->turns, s->findings.number);
    close_channels(s);
    s->ended = clock_now(&clock_monotonic);
    succeeded = settle(s);
    if (!succeeded && !has_just_left(s)) {
        relay_log(&s->findings, "failed: %s", s->error->message);
    }
    return succeeded;
}

bool session_was_migration(const Session *s)
{
    bool silent = !s->began &&
                  (has_just_left(s) || g_error_matches(s->error, G_IO_ERROR,
                                                       G_IO_ERROR_CANCELLED));

    return !silent && !s->refused;
}

RelayStats *session_stats(Session *s)
{
    return &s->stats;
}

char *session_report(Session *s)
{
    const RelayReport report = {
        .role = s->role,
        .error = s->error ? s->error->message : NULL,
        .time = s->ended - s->started,
        .stats = &s->stats,
        .findings = &s->findings,
    };

    return relay_report(&report);
}
