/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The handle owns what several threads look at: the state, the error, the
 * times, and the channel's address.  The work itself is done by one thread,
 * source_main() or dest_main(), with data of its own.
 *
 * A cancel marks the handle and then makes everything that the thread could
 * be blocked in fail: connect and accept, the channel, the rate limit.  The
 * thread notices by an error, cleans up as after any failure, and the mark
 * says that the end is called cancelled rather than failed.
 */
#include "ferry/migration.h"

#include <unistd.h>

#include "migration/internal.h"
#include "migration/pack/codec.h"
#include "migration/state.h"
#include "util/thread.h"

Migration *migration_new(const MigHost *host, void *opaque,
                         const MigOptions *options, const Clock *clock)
{
    Migration *m = g_new0(Migration, 1);

    m->host = host;
    m->opaque = opaque;
    m->clock = clock;
    m->options = *options;
    m->limit = ratelimit_new(clock, options->value[MIG_OPT_MAX_BANDWIDTH]);
    /* What a peer takes is real time, also in tests. */
    m->stall = stall_new(&clock_monotonic,
                         options->value[MIG_OPT_STALL_TIMEOUT]);
    m->stats = stats_new(clock);
    m->connecting = g_cancellable_new();
    m->downtime_limit_ms = options->value[MIG_OPT_DOWNTIME_LIMIT];
    thread_mutex_init_recursive(&m->event_lock);
    pthread_mutex_init(&m->lock, NULL);
    thread_cond_init(&m->changed);
    return m;
}

Migration *mig_new(const MigHost *host, void *opaque,
                   const MigOptions *options)
{
    return migration_new(host, opaque, options, &clock_monotonic);
}

static void peer_clear(Peer *peer)
{
    io_channel_free(peer->channel);
    io_listener_free(peer->listener);
    io_uri_free(peer->uri);
    *peer = (Peer){ 0 };
}

/* Everything that would end the migration by aborting its channel asks here.
 * False when it comes too late. */
static bool abort_locked(Migration *m)
{
    if (m->committed) {
        return false;
    }
    m->aborted = true;
    pthread_cond_broadcast(&m->changed);
    if (m->peer.channel) {
        io_channel_abort(m->peer.channel);
    }
    return true;
}

/*
 * A migration that cannot be cancelled any more may still wait: a source for
 * SHUT or for a command to end, a destination for GO or for the end of the
 * channel.  To wait no longer undoes nothing, and the source knows that: where
 * it has no answer the guest stays stopped.
 */
static void stop_waiting(Migration *m)
{
    pthread_mutex_lock(&m->lock);
    if (m->committed && m->peer.channel) {
        io_channel_abort(m->peer.channel);
    }
    pthread_mutex_unlock(&m->lock);
    ratelimit_cancel(m->limit);
}

void mig_free(Migration *m)
{
    if (!m) {
        return;
    }
    mig_cancel(m, NULL);
    stop_waiting(m);
    mig_wait(m, NULL);
    peer_clear(&m->peer);
    g_clear_error(&m->error);
    g_object_unref(m->connecting);
    stats_free(m->stats);
    stall_free(m->stall);
    ratelimit_free(m->limit);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->event_lock);
    g_free(m);
}

/* State */

static void tell_state(Migration *m, MigState state)
{
    MigEvent event = { .type = MIG_EVENT_STATE, .state = state };

    if (m->host->event) {
        m->host->event(m->opaque, &event);
    }
}

/* Both locks held; drops lock. */
static void change_state_locked(Migration *m, MigState state)
{
    g_assert(state_may_follow(m->state, state));
    m->state = state;
    if (state == MIG_STATE_ACTIVE) {
        m->active_time = clock_now(m->clock);
    }
    pthread_mutex_unlock(&m->lock);
    tell_state(m, state);
}

void migration_set_state(Migration *m, MigState state)
{
    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_lock(&m->lock);
    if (m->cancelled) {
        pthread_mutex_unlock(&m->lock);
    } else {
        change_state_locked(m, state);
    }
    pthread_mutex_unlock(&m->event_lock);
}

/* Who is in the middle of it holds the lock. */
void migration_await_event(Migration *m)
{
    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_unlock(&m->event_lock);
}

/* Starting */

/* What GIO and the threads report, in the library's own domain. */
static GError *own_error(GError *err)
{
    GError *own;

    if (!err || err->domain == MIG_ERROR) {
        return err;
    }
    own = g_error_new_literal(MIG_ERROR, MIG_ERROR_IO, err->message);
    g_error_free(err);
    return own;
}

static bool start_locked(Migration *m, const Peer *peer, GError **errp)
{
    GError *err = NULL;

    if (m->started) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STATE,
                    "this migration was already started");
        return false;
    }
    m->peer = *peer;
    m->start_time = clock_now(m->clock);
    m->started = thread_start(&m->thread, peer->incoming ? "mig/dst"
                                                         : "mig/src",
                              peer->incoming ? dest_main : source_main, m,
                              &err);
    if (!m->started) {
        m->peer = (Peer){ 0 };
        g_propagate_error(errp, own_error(err));
    }
    return m->started;
}

static bool migration_start(Migration *m, Peer peer, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_lock(&m->lock);
    ok = start_locked(m, &peer, errp);
    if (ok) {
        change_state_locked(m, MIG_STATE_SETUP);
    } else {
        pthread_mutex_unlock(&m->lock);
        peer_clear(&peer);
    }
    pthread_mutex_unlock(&m->event_lock);
    return ok;
}

bool mig_send(Migration *m, IoChannel *channel, GError **errp)
{
    return migration_start(m, (Peer){ .channel = channel }, errp);
}

bool mig_send_to(Migration *m, const IoUri *uri, GError **errp)
{
    return migration_start(m, (Peer){ .uri = io_uri_copy(uri) }, errp);
}

bool mig_receive(Migration *m, IoChannel *channel, GError **errp)
{
    return migration_start(m, (Peer){ .incoming = true, .channel = channel },
                           errp);
}

bool mig_receive_from(Migration *m, IoListener *listener, GError **errp)
{
    return migration_start(m,
                           (Peer){ .incoming = true, .listener = listener },
                           errp);
}

static void cancelled_error(GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_CANCELLED,
                "the migration was cancelled");
}

/* The name that the destination's certificate must have, or NULL. */
static const char *destination_name(const Migration *m)
{
    const char *name = mig_options_string(&m->options, MIG_OPT_TLS_HOSTNAME);
    const IoUri *uri = m->peer.uri;

    if (name[0]) {
        return name;
    }
    if (!uri || uri->kind != IO_URI_TCP) {
        return NULL;
    }
    return uri->host[0] ? uri->host : "localhost";
}

static const char *tls_creds(const Migration *m)
{
    return mig_options_string(&m->options, MIG_OPT_TLS_CREDS);
}

static char *copy_tls_creds(void *opaque)
{
    return g_strdup(tls_creds(opaque));
}

/* Where the channel comes from is no socket. */
static bool is_one_way(const Migration *m)
{
    const IoUri *uri = m->peer.listener ? io_listener_uri(m->peer.listener)
                                        : m->peer.uri;

    return uri && (uri->kind == IO_URI_EXEC || uri->kind == IO_URI_FILE);
}

/* What is missing here must not cost the peer anything, who may be waiting for
 * one connection: it is found before there is one. */
static bool can_encrypt(Migration *m, GError **errp)
{
    if (!tls_creds(m)[0]) {
        return true;
    }
    if (!io_channel_tls_check(tls_creds(m), m->peer.incoming, errp)) {
        return false;
    }
    if (is_one_way(m)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "tls-creds is set, and only sockets can be encrypted");
        return false;
    }
    if (!m->peer.incoming && !destination_name(m)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "tls-creds is set, and nothing says whom the "
                    "destination's certificate must be for: set tls-hostname");
        return false;
    }
    return true;
}

static bool encrypt(Migration *m, IoChannel *channel, GError **errp)
{
    if (!tls_creds(m)[0] || io_channel_is_encrypted(channel)) {
        return true;
    }
    return m->peer.incoming
               ? io_channel_tls_accept(channel, tls_creds(m), errp)
               : io_channel_tls_connect(channel, tls_creds(m),
                                        destination_name(m), errp);
}

static IoChannel *reach_peer(Migration *m, GError **errp)
{
    Peer *peer = &m->peer;
    IoChannel *channel = peer->channel;

    if (!can_encrypt(m, errp)) {
        return NULL;
    }
    if (peer->listener) {
        channel = mig_accept(peer->listener, copy_tls_creds, m, m->connecting,
                             errp);
        /* The next one must not be left waiting for us. */
        io_listener_free(g_steal_pointer(&peer->listener));
    } else if (peer->uri) {
        channel = io_channel_connect(peer->uri, m->connecting, errp);
        if (channel) {
            peer->uri->fd = -1; /* an fd: URI's is the channel's */
        }
    }
    return channel;
}

IoChannel *migration_open_channel(Migration *m, GError **errp)
{
    GError *err = NULL;
    IoChannel *channel = reach_peer(m, &err);
    bool cancelled;

    if (!channel) {
        g_propagate_error(errp, own_error(err));
        return NULL;
    }
    pthread_mutex_lock(&m->lock);
    m->peer.channel = channel;
    cancelled = m->cancelled;
    pthread_mutex_unlock(&m->lock);

    if (cancelled) {
        cancelled_error(errp);
        return NULL;
    }
    if (!encrypt(m, channel, &err)) {
        g_propagate_error(errp, own_error(err));
        return NULL;
    }
    return channel;
}

/* Cancelling, and when it is too late */

static bool too_late(const Migration *m, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STATE,
                m->peer.incoming
                    ? "Too late to cancel: everything has come, the source "
                      "may have given the guest up"
                    : "Too late to cancel: the end is being sent or was, and "
                      "the destination may run the guest");
    return false;
}

bool mig_cancel(Migration *m, GError **errp)
{
    bool running, ok = true;

    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_lock(&m->lock);
    running = m->started && !mig_state_is_final(m->state);
    if (!running || m->committed || m->cancelled) {
        ok = !running || !m->committed || too_late(m, errp);
        pthread_mutex_unlock(&m->lock);
        pthread_mutex_unlock(&m->event_lock);
        return ok;
    }
    m->cancelled = abort_locked(m);
    pthread_cond_broadcast(&m->changed);
    change_state_locked(m, MIG_STATE_CANCELLING);
    pthread_mutex_unlock(&m->event_lock);

    g_cancellable_cancel(m->connecting);
    ratelimit_cancel(m->limit);
    return ok;
}

/* Waiting before the switch-over */

bool mig_continue(Migration *m, MigState state, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    ok = m->state == state && state == MIG_STATE_PRE_SWITCHOVER;
    if (ok) {
        m->continued = true;
        pthread_cond_broadcast(&m->changed);
    } else {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STATE,
                    "Migration not in expected state: %s",
                    mig_state_name(m->state));
    }
    pthread_mutex_unlock(&m->lock);
    return ok;
}

bool migration_sleep(Migration *m, int64_t until, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    while (!m->aborted && clock_now(m->clock) < until) {
        m->clock->wait(m->clock, &m->changed, &m->lock, until);
    }
    ok = !m->aborted;
    pthread_mutex_unlock(&m->lock);
    if (!ok) {
        cancelled_error(errp);
    }
    return ok;
}

bool migration_wait_continue(Migration *m, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    while (!m->continued && !m->cancelled && !m->peer_failed) {
        pthread_cond_wait(&m->changed, &m->lock);
    }
    ok = m->continued;
    pthread_mutex_unlock(&m->lock);
    if (!ok) {
        cancelled_error(errp);
    }
    return ok;
}

void migration_peer_failed(void *opaque)
{
    Migration *m = opaque;

    pthread_mutex_lock(&m->lock);
    m->peer_failed = true;
    m->aborted = true;
    /* Also past the commit point: no more will be heard, and what is still
     * being written helps nobody. */
    io_channel_abort(m->peer.channel);
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    ratelimit_cancel(m->limit);
}

void migration_peer_alive(void *opaque)
{
    const Migration *m = opaque;

    stall_put_off(m->stall);
}

bool migration_stalled(void *opaque)
{
    Migration *m = opaque;
    bool ok;

    pthread_mutex_lock(&m->lock);
    ok = abort_locked(m);
    pthread_mutex_unlock(&m->lock);
    if (ok) {
        g_cancellable_cancel(m->connecting);
    }
    return ok;
}

bool migration_is_cancelled(Migration *m)
{
    bool cancelled;

    pthread_mutex_lock(&m->lock);
    cancelled = m->cancelled;
    pthread_mutex_unlock(&m->lock);
    return cancelled;
}

bool migration_commit(Migration *m, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    ok = !m->aborted;
    m->committed = ok;
    pthread_mutex_unlock(&m->lock);
    if (!ok) {
        cancelled_error(errp);
    }
    return ok;
}

/* Ending */

static MigState final_state(const Migration *m)
{
    return m->cancelled ? MIG_STATE_CANCELLED
           : m->error   ? MIG_STATE_FAILED
                        : MIG_STATE_COMPLETED;
}

void migration_conclude(Migration *m, GError *err)
{
    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_lock(&m->lock);
    g_assert(!(m->cancelled && !err));
    if (m->cancelled) {
        g_clear_error(&err);
        cancelled_error(&err);
    }
    m->end_time = clock_now(m->clock);
    m->error = own_error(err);
    change_state_locked(m, final_state(m));
    pthread_mutex_unlock(&m->event_lock);
}

/* The descriptor of an fd: URI that no channel was made of.  Whoever has the
 * other end may be waiting for us. */
static void close_unused_fd(IoUri *uri)
{
    if (uri && uri->kind == IO_URI_FD && uri->fd > STDERR_FILENO) {
        close(uri->fd);
        uri->fd = -1;
    }
}

void migration_finish(Migration *m)
{
    IoChannel *channel;

    pthread_mutex_lock(&m->lock);
    channel = g_steal_pointer(&m->peer.channel);
    pthread_mutex_unlock(&m->lock);
    io_channel_free(channel);
    close_unused_fd(m->peer.uri);

    pthread_mutex_lock(&m->lock);
    m->ended = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

bool mig_wait(Migration *m, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    while (m->started && !m->ended) {
        pthread_cond_wait(&m->changed, &m->lock);
    }
    /* The thread takes no lock after it has set ended. */
    if (m->ended && !m->joined) {
        thread_join(m->thread);
        m->joined = true;
    }
    ok = m->state == MIG_STATE_COMPLETED;
    if (m->error && errp) {
        *errp = g_error_copy(m->error);
    } else if (!ok) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STATE,
                    "this migration was not started");
    }
    pthread_mutex_unlock(&m->lock);
    return ok;
}

/* Live options */

bool mig_set_live(Migration *m, MigOptionId id, uint64_t value, GError **errp)
{
    const MigOption *option = mig_option(id);
    MigOptions checked;

    mig_options_init(&checked);
    if (!mig_options_set(&checked, option, value, errp)) {
        return false;
    }
    switch (id) {
    case MIG_OPT_MAX_BANDWIDTH:
        ratelimit_set(m->limit, value);
        return true;
    case MIG_OPT_DOWNTIME_LIMIT:
        pthread_mutex_lock(&m->lock);
        m->downtime_limit_ms = value;
        pthread_mutex_unlock(&m->lock);
        return true;
    case MIG_OPT_STALL_TIMEOUT:
        stall_set(m->stall, value);
        return true;
    default:
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "'%s' cannot change while a migration runs",
                    option->name);
        return false;
    }
}

uint64_t migration_downtime_limit_ms(Migration *m)
{
    uint64_t ms;

    pthread_mutex_lock(&m->lock);
    ms = m->downtime_limit_ms;
    pthread_mutex_unlock(&m->lock);
    return ms;
}

/* Facts for queries */

void migration_set_total(Migration *m, uint64_t bytes)
{
    pthread_mutex_lock(&m->lock);
    m->total_bytes = bytes;
    pthread_mutex_unlock(&m->lock);
}

void migration_set_throttle(Migration *m, unsigned percent)
{
    pthread_mutex_lock(&m->lock);
    m->throttle = percent;
    pthread_mutex_unlock(&m->lock);
}

void migration_mark_stopped(Migration *m)
{
    pthread_mutex_lock(&m->lock);
    m->stop_time = clock_now(m->clock);
    pthread_mutex_unlock(&m->lock);
}

void migration_mark_handed_over(Migration *m)
{
    pthread_mutex_lock(&m->lock);
    m->handover_time = clock_now(m->clock);
    m->committed = true;
    m->cancelled = false;
    pthread_mutex_unlock(&m->lock);
}

const char *mig_encoder(const MigOptions *options)
{
    const Codec *codec =
        codec_by_method(options->value[MIG_OPT_COMPRESS_METHOD]);

    return codec->available
               ? codec->encoder_name(
                     (unsigned)options->value[MIG_OPT_COMPRESS_LEVEL])
               : NULL;
}

const char *mig_version(void)
{
    return FERRY_VERSION;
}
