/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every role needs of a session: the error that counts, the thread that
 * moves bytes back, and the connection to the far end.
 */
#include "tools/relay/relay-session-role.h"

#include "tools/relay/relay-pack.h"
#include "tools/relay/relay-stdio.h"
#include "util/clock.h"
#include "util/thread.h"

/* Errors */

bool session_fail(Session *s, GError *err)
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

bool session_failed(Session *s)
{
    bool failed;

    pthread_mutex_lock(&s->lock);
    failed = s->error != NULL;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

void session_abort_both(Session *s)
{
    const SessionRole *does;

    pthread_mutex_lock(&s->lock);
    does = s->does;
    if (s->line) {
        line_leave(s->line); /* or the other relay would wait for us */
    }
    if (s->near) {
        io_channel_abort(s->near);
    }
    if (s->far) {
        io_channel_abort(s->far);
    }
    pthread_mutex_unlock(&s->lock);
    if (does && does->abort) {
        does->abort(s);
    }
}

void session_will_abort(Session *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->line) {
        line_begin_to_leave(s->line);
    }
    pthread_mutex_unlock(&s->lock);
}

void session_abort(Session *s, const char *reason)
{
    session_fail(s, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                        reason));
    g_cancellable_cancel(s->stopped);
    session_abort_both(s);
}

static bool look_at_flag(Session *s, const bool *flag)
{
    bool set;

    pthread_mutex_lock(&s->lock);
    set = *flag;
    pthread_mutex_unlock(&s->lock);
    return set;
}

bool session_has_begun(Session *s)
{
    return look_at_flag(s, &s->began);
}

bool session_may_resume(Session *s)
{
    return look_at_flag(s, &s->may_resume);
}

void session_close(Session *s, IoChannel **channel)
{
    IoChannel *closed;

    pthread_mutex_lock(&s->lock);
    closed = g_steal_pointer(channel);
    if (s->line && closed == s->line) {
        s->line_counts = line_counts(s->line);
        s->line = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    io_channel_free(closed);
}

/* The reverse thread */

void session_set_flag(Session *s, bool *flag)
{
    pthread_mutex_lock(&s->lock);
    if (!*flag) {
        *flag = true;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
}

bool session_wait_flag(Session *s, const bool *flag, bool forever, int64_t time)
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

static void *reverse_main(void *opaque)
{
    Session *s = opaque;
    GError *err = NULL;

    if (!s->does->reverse(s, &err)) {
        g_autofree char *text = g_strdup(err->message);

        /* An error that is not the first one comes from what the forward
         * thread does about its own. */
        if (session_fail(s, err)) {
            if (s->role == RELAY_ROLE_RECEIVE) {
                link_write_abort(&s->link, text);
            }
            session_abort_both(s);
        }
    }
    session_set_flag(s, &s->answered);
    session_set_flag(s, &s->reverse_ended);
    return NULL;
}

bool session_start_reverse(Session *s, GError **errp)
{
    s->reverse_started = thread_start(&s->reverse, "relay/reverse",
                                      reverse_main, s, errp);
    return s->reverse_started;
}

bool session_wait_reverse(Session *s, bool forever)
{
    return !s->reverse_started ||
           session_wait_flag(s, &s->reverse_ended, forever, RELAY_LINGER_NS);
}

void session_join_reverse(Session *s)
{
    if (s->reverse_started) {
        thread_join(s->reverse);
        s->reverse_started = false;
    }
}

bool session_wait_destination(Session *s)
{
    GError *err = NULL;

    if (!io_channel_wait_command(s->far, RELAY_DESTINATION_MS, s->stopped,
                                 &err)) {
        session_fail(s, err);
        return false;
    }
    return true;
}

/* Connecting */

void session_wait_turn(Session *s)
{
    /* From here on this is a migration, and not just a peer that has
     * connected. */
    session_set_flag(s, &s->began);
    turns_wait(s->turns, s->number);
}

static bool claim(Session *s, GError **errp)
{
    s->claimed = turns_claim(s->turns);
    s->refused = !s->claimed;
    if (s->refused && s->args->one_place) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "there is another migration, and this relay serves one "
                    "only");
    } else if (s->refused) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "this relay serves %u migrations already, and no more at "
                    "once: migrate again when one of them has ended",
                    RELAY_MIGRATIONS_MAX);
    }
    return s->claimed;
}

IoChannel *session_connect_qemu(const Session *s, GCancellable *cancel,
                                GError **errp)
{
    const IoUri *to = s->route && s->role == RELAY_ROLE_RECEIVE
                          ? s->route->uri : s->args->connect;

    if (!to && !s->args->stdio) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "this relay has named routes only, and the other one names "
                    "none");
        return NULL;
    }
    return to ? io_channel_connect_two_way(to, cancel, errp)
              : relay_stdio_channel(errp);
}

bool session_connect_far(Session *s, GError **errp)
{
    IoChannel *far;

    session_set_flag(s, &s->began);
    if (!claim(s, errp)) {
        return false;
    }
    session_wait_turn(s);
    far = session_connect_qemu(s, s->stopped, errp);
    if (!far) {
        return false;
    }
    pthread_mutex_lock(&s->lock);
    s->far = far;
    pthread_mutex_unlock(&s->lock);
    if (session_failed(s)) {
        session_abort_both(s); /* session_abort() came before far was set */
    }
    return true;
}

unsigned session_window(Session *s, unsigned most)
{
    unsigned wanted = relay_pack_window(&s->args->options);

    return budget_promise(s->budget, MIN(wanted, most), PACK_SLOT_BYTES);
}

void session_warn_of_two(const Session *s)
{
    relay_log(&s->findings, "WARNING: the destination may have the whole "
              "guest, and may run it, but its answer is lost.  The source is "
              "kept waiting, with its guest stopped.  If the link does not "
              "come back, look at the destination: if the guest runs there, "
              "end the source's QEMU; if not, end this relay, and the guest "
              "runs on at the source");
}

static void tell_line(void *opaque, bool down, const char *news)
{
    const Session *s = opaque;

    relay_log(&s->findings, "%s", news);
    if (down && atomic_load(&s->handed_over)) {
        session_warn_of_two(s);
    }
}

static int64_t pace_line(void *opaque, size_t bytes)
{
    const Session *s = opaque;

    return budget_pace_later(s->budget, bytes);
}

bool session_make_line(Session *s, IoChannel **channel, Stream **in,
                       const LineConfig *config, GError **errp)
{
    LineConfig full = *config;

    full.tell = tell_line;
    full.opaque = s;
    full.pace = pace_line;
    full.window = budget_promise_line(s->budget, LINE_WINDOW_LEAST,
                                      LINE_WINDOW);
    g_clear_pointer(in, stream_free);
    pthread_mutex_lock(&s->lock);
    full.name = io_channel_name(*channel);
    full.connection = *channel;
    *channel = s->line = line_new(&full, errp);
    pthread_mutex_unlock(&s->lock);
    if (!s->line) {
        return false;
    }
    *in = stream_new(s->line);
    if (session_failed(s)) {
        session_abort_both(s); /* session_abort() came before it was set */
    }
    return true;
}

void session_went_on(Session *s)
{
    turns_leave(s->turns, s->number);
    s->led_on = true;
    s->live = !s->silent;
    if (s->live) {
        turns_begin_live(s->turns);
    }
}
