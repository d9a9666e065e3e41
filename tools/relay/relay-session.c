/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Two threads: the forward thread, which calls session_run(), moves bytes from
 * `near`, the peer that connected to us, to `far`, the one that we connect to.
 * The reverse thread moves bytes back.  Each direction ends by itself.  At a
 * clean end the forward thread waits for the reverse thread as long as it
 * takes: a QEMU's connection stays open until its peer is done, as it would
 * without a relay.
 *
 * When something fails, what can still arrive should: the last words of a
 * destination say why it gave up.  So
 *
 *   - where a read fails nothing more will come: everything that would wait for
 *     that peer is aborted at once;
 *   - where a write fails the peer is gone, but what it wrote before may still
 *     be on its way: the reverse direction is given RELAY_LINGER_NS to end by
 *     itself, and is aborted only then.
 *
 * The first error is the one that is reported, with one exception: where
 * writing to the link fails, the sender first waits for what the other relay
 * says.
 */
#include "tools/relay/relay-session-role.h"

#include "tools/relay/relay-report.h"
#include "util/clock.h"
#include "util/thread.h"

static const SessionRole *const roles[] = {
    [RELAY_ROLE_SEND] = &session_role_send,
    [RELAY_ROLE_RECEIVE] = &session_role_receive,
    [RELAY_ROLE_TO_QEMU] = &session_role_convert,
    [RELAY_ROLE_FROM_QEMU] = &session_role_convert,
};

Session *session_new(const SessionShared *shared, unsigned number,
                     IoChannel *near, const RelayRoute *route)
{
    Session *s = g_new0(Session, 1);

    s->args = shared->args;
    s->turns = shared->turns;
    s->lines = shared->lines;
    s->shares = shared->shares;
    s->budget = budget_join(shared->budget);
    s->route = route;
    turns_enter(s->turns, number);
    s->number = number;
    s->connections = 1;
    s->findings.number = number;
    s->near = near;
    link_writer_init(&s->link, NULL);
    s->near_in = stream_new(near);
    s->stopped = g_cancellable_new();
    pthread_mutex_init(&s->lock, NULL);
    thread_cond_init(&s->changed);
    return s;
}

void session_take_resumes_only(Session *s)
{
    s->resumes_only = true;
}

void session_free(Session *s)
{
    if (!s) {
        return;
    }
    if (s->does && s->does->free) {
        s->does->free(s);
    }
    link_writer_destroy(&s->link);
    stream_free(s->near_in);
    stream_free(s->far_in);
    io_channel_free(s->near);
    io_channel_free(s->far);
    budget_leave(s->budget);
    io_uri_free(s->own_route.uri);
    relay_findings_clear(&s->findings);
    return_watch_clear(&s->watch);
    g_free(s->why);
    g_free(s->command);
    g_clear_error(&s->error);
    g_object_unref(s->stopped);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    g_free(s);
}

/* QEMU is to see the end now, not when the session is freed.  A command that
 * does not end in time is killed. */
static void end_channels(Session *s)
{
    GError *err = NULL;

    session_close(s, &s->near);
    if (s->far) {
        io_channel_finish(s->far, NULL);
        if (!io_channel_wait_command(s->far, RELAY_COMMAND_MS, s->stopped,
                                     &err) &&
            !g_error_matches(err, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
            s->command = g_strdup(err->message);
        }
        g_clear_error(&err);
    }
    session_close(s, &s->far);
}

/* The peer came, said nothing, and went. */
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

/* Was it a source's second connection?  A source that was slow to begin, or
 * that the far end did not take, is a first one. */
static bool was_second(const Session *s)
{
    return s->second ||
           (s->silent && s->led_on && !s->findings.has_ram &&
            (s->findings.passed_on || s->total == 0));
}

bool session_was_unused(const Session *s)
{
    return was_second(s) && s->total == 0;
}

static void judge(Session *s)
{
    if (!settle(s)) {
        s->outcome = was_second(s) ? RELAY_UNKNOWN : RELAY_FAILED;
        s->why = s->command ? g_strdup_printf("%s (%s)", s->error->message,
                                              s->command)
                            : g_strdup(s->error->message);
    } else {
        s->outcome = relay_judge(&s->findings.ending, &s->watch, &s->why);
    }
}

/* Every outcome is logged, also without --json. */
static void log_outcome(Session *s)
{
    bool told = s->outcome == RELAY_FAILED;
    uint64_t in = relay_stats_get(&s->stats.bytes_in);
    uint64_t out = relay_stats_get(&s->stats.bytes_out);

    if (s->command && !told) {
        relay_log(&s->findings, "%s, after the migration", s->command);
    }
    switch (s->outcome) {
    case RELAY_COMPLETED:
        relay_log(&s->findings, "completed: %.1f MiB in, %.1f MiB out, "
                  "%.1f seconds%s", (double)in / 1048576,
                  (double)out / 1048576,
                  ns_to_seconds(s->ended - s->started),
                  s->watch.has_shut ? "; the destination has the guest" : "");
        break;
    case RELAY_FAILED:
        relay_log(&s->findings, "%s: %s", s->refused ? "refused" : "failed",
                  s->why);
        break;
    case RELAY_UNKNOWN:
        relay_log(&s->findings, "ended, and its outcome is unknown: %s",
                  s->why);
        break;
    }
}

RelayOutcome session_run(Session *s)
{
    GError *err = NULL;

    s->started = clock_now(&clock_monotonic);
    if (session_choose_role(s, &err)) {
        pthread_mutex_lock(&s->lock);
        s->does = roles[s->role];
        pthread_mutex_unlock(&s->lock);
        s->does->run(s);
    } else {
        /* A stranger has touched the port. */
        s->refused = !s->args->one_peer;
        session_fail(s, err);
    }
    turns_leave(s->turns, s->number);
    if (s->live) {
        turns_end_live(s->turns);
    }
    end_channels(s);
    if (s->claimed) {
        turns_give_back(s->turns);
    }
    s->ended = clock_now(&clock_monotonic);
    judge(s);
    if (!has_just_left(s) && !s->joined &&
        (!s->resumes || s->outcome == RELAY_FAILED)) {
        log_outcome(s);
    }
    return s->outcome;
}

bool session_was_migration(const Session *s)
{
    bool silent = !s->began &&
                  (has_just_left(s) || g_error_matches(s->error, G_IO_ERROR,
                                                       G_IO_ERROR_CANCELLED));

    return !silent && !s->refused && !s->resumes && !s->joined;
}

/* Counters of the role and of the link are known once `began` is set. */
/* Not, or not yet: one more connection of another session's. */
static bool is_migration(Session *s)
{
    bool ok;

    pthread_mutex_lock(&s->lock);
    ok = s->does != &session_role_send || (s->share && !s->joined);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

bool session_has_joined(Session *s)
{
    bool joined;

    pthread_mutex_lock(&s->lock);
    joined = s->joined;
    pthread_mutex_unlock(&s->lock);
    return joined;
}

bool session_sample(Session *s, RelaySample *sample)
{
    LineCounts line;

    if (!session_has_begun(s) || !is_migration(s)) {
        return false;
    }
    pthread_mutex_lock(&s->lock);
    line = s->line ? line_counts(s->line) : s->line_counts;
    pthread_mutex_unlock(&s->lock);
    *sample = (RelaySample){
        .number = s->findings.number,
        .role = s->role,
        .route = s->route ? s->route->name : NULL,
        .time = clock_now(&clock_monotonic),
        .line = line,
    };
    sample_take(sample, &s->stats);
    return true;
}

char *session_report(Session *s)
{
    const RelayReport report = {
        .role = s->role,
        .route = s->route,
        .outcome = s->outcome,
        .why = s->why,
        .time = s->ended - s->started,
        .stats = &s->stats,
        .connections = s->connections,
        .line = s->line_counts,
        .findings = &s->findings,
    };

    return relay_report(&report);
}
