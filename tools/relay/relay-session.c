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
#include "tools/relay/relay-session-role.h"

#include <string.h>

#include "tools/relay/relay-greeting.h"
#include "tools/relay/relay-report.h"
#include "tools/relay/relay-reverse.h"
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
    g_cancellable_cancel(s->stopped);
    session_abort_both(s);
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

static bool reverse_by_role(Session *s, GError **errp)
{
    const ReverseWatch watch = { &s->stats, &s->watch };

    switch (s->role) {
    case RELAY_ROLE_SEND:
        return session_reverse_send(s, errp);
    case RELAY_ROLE_RECEIVE:
        return reverse_to_link(s->far, &s->back, &watch, errp);
    default:
        return reverse_copy(s->far, s->near, &watch, errp);
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

/* From here on it is a migration, and not just somebody who has connected. */
static bool begin(Session *s, GError **errp)
{
    session_set_flag(s, &s->began);
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

bool session_connect_far(Session *s, GError **errp)
{
    IoChannel *far;

    if (!begin(s, errp)) {
        return false;
    }
    turns_wait(s->turns, s->findings.number);
    if (s->args->connect) {
        far = io_channel_connect_two_way(s->args->connect, s->stopped, errp);
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
        session_abort_both(s); /* session_abort() has come too early for it */
    }
    return true;
}

void session_went_on(Session *s)
{
    turns_leave(s->turns, s->findings.number);
    s->led_on = true;
    s->live = !s->silent;
    if (s->live) {
        turns_begin_live(s->turns);
    }
}

/* What kind of peer it is */

static bool encrypt_receiving(Session *s, GError **errp)
{
    return !s->args->tls_creds[0] || s->args->role != RELAY_ROLE_RECEIVE ||
           io_channel_tls_accept(s->near, s->args->tls_creds, errp);
}

/*
 * A source with postcopy-preempt has a second connection, on which it says
 * nothing before the switch to postcopy, but which its destination waits for.
 * With --role send whoever connects is a QEMU, so this may be that; systemd
 * starts a relay for each connection, which knows of no other.  Otherwise it
 * must be one that is next to a live migration.
 */
static bool stays_silent(Session *s)
{
    g_autoptr(GCancellable) live = turns_live(s->turns);

    if (s->role == RELAY_ROLE_RECEIVE ||
        (s->role != RELAY_ROLE_SEND &&
         io_channel_wait_input(s->near, -1, live))) {
        return false;
    }
    return !io_channel_wait_input(s->near, RELAY_SILENCE_MS, NULL);
}

static bool read_greeting(Session *s, Greeting *greeting, GError **errp)
{
    size_t size = 0;

    do {
        const uint8_t *bytes = stream_peek(s->near_in, ++size, errp);

        if (!bytes) {
            return false;
        }
        *greeting = greeting_of(bytes, size);
    } while (*greeting == GREETING_UNFINISHED);
    return true;
}

/* Its text is from a stranger. */
static void refuse_stranger(Session *s, const char *wanted, GError **errp)
{
    char begins[GREETING_MAX + 1] = "";
    g_autofree char *text = NULL;
    size_t got;

    stream_get_some(s->near_in, begins, GREETING_MAX, &got, NULL);
    text = g_strescape(begins, NULL);
    g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "it begins with \"%s\" and is no %s; it is not led on%s", text,
                wanted, s->role == RELAY_ROLE_RECEIVE &&
                                begins[0] == RELAY_TLS_FIRST_BYTE
                            ? " (it speaks TLS: does this relay lack "
                              "--tls-creds?)"
                            : "");
}

/* Takes every peer but ourselves, which is told why it is refused. */
static bool take_anybody(Session *s, GError **errp)
{
    const uint8_t *bytes = stream_peek(s->near_in, 1, errp);

    if (!bytes) {
        return false;
    }
    if (bytes[0] == (uint8_t)RELAY_MAGIC[0]) {
        bytes = stream_peek(s->near_in, RELAY_HELLO_SIZE, errp);
        if (!bytes) {
            return false;
        }
        if (!memcmp(bytes, RELAY_MAGIC, RELAY_MAGIC_SIZE) &&
            hello_nonce(bytes) == s->args->nonce) {
            s->role = RELAY_ROLE_RECEIVE;
        }
    }
    return true;
}

static bool take_greeting(Session *s, GError **errp)
{
    Greeting greeting;

    if (!read_greeting(s, &greeting, errp)) {
        return false;
    }
    if (s->role == RELAY_ROLE_AUTO) {
        if (greeting == GREETING_STRANGER) {
            refuse_stranger(s, "QEMU and no ferry-relay (--role send leads "
                            "on whoever connects)", errp);
            return false;
        }
        s->role = greeting == GREETING_RELAY ? RELAY_ROLE_RECEIVE
                                             : RELAY_ROLE_SEND;
    } else if (s->role == RELAY_ROLE_RECEIVE) {
        if (greeting != GREETING_RELAY) {
            refuse_stranger(s, "ferry-relay", errp);
            return false;
        }
    } else if (greeting != GREETING_QEMU) {
        refuse_stranger(s, "QEMU", errp);
        return false;
    }
    return true;
}

static bool choose_role(Session *s, GError **errp)
{
    s->role = s->args->role;
    if (!encrypt_receiving(s, errp)) {
        return false;
    }
    s->silent = stays_silent(s);
    if (!s->silent) {
        return s->role == RELAY_ROLE_SEND ? take_anybody(s, errp)
                                          : take_greeting(s, errp);
    }
    if (s->role == RELAY_ROLE_AUTO) {
        s->role = RELAY_ROLE_SEND;
    }
    relay_log(&s->findings, "it says nothing, as QEMU's second connection for "
              "postcopy-preempt does; leading it on");
    return true;
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
    s->stopped = g_cancellable_new();
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
    return_watch_clear(&s->watch);
    g_free(s->why);
    g_free(s->command);
    g_clear_error(&s->error);
    g_object_unref(s->stopped);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    g_free(s);
}

static void run_by_role(Session *s)
{
    switch (s->role) {
    case RELAY_ROLE_SEND:
        session_run_send(s);
        break;
    case RELAY_ROLE_RECEIVE:
        session_run_receive(s);
        break;
    default:
        session_run_convert(s);
    }
}

static void close_channel(Session *s, IoChannel **channel)
{
    pthread_mutex_lock(&s->lock);
    g_clear_pointer(channel, io_channel_free);
    pthread_mutex_unlock(&s->lock);
}

/* QEMU is to see the end now, not when somebody comes to free us.  A command
 * that still runs then is killed. */
static void end_channels(Session *s)
{
    GError *err = NULL;

    close_channel(s, &s->near);
    if (s->far) {
        io_channel_finish(s->far, NULL);
        if (!io_channel_wait_command(s->far, RELAY_COMMAND_MS, s->stopped,
                                     &err) &&
            !g_error_matches(err, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
            s->command = g_strdup(err->message);
        }
        g_clear_error(&err);
    }
    close_channel(s, &s->far);
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

/* Not a source that was only slow to begin, or that nobody was there for. */
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

/* Every one is told of, also where nobody reads --json. */
static void log_outcome(Session *s)
{
    bool told = s->outcome == RELAY_FAILED;
    uint64_t in = relay_stats_get(&s->stats.bytes_in);
    uint64_t out = relay_stats_get(&s->stats.bytes_out);

    if (s->command && !told) {
        relay_log(&s->findings, "%s, after all was done", s->command);
    }
    switch (s->outcome) {
    case RELAY_COMPLETED:
        relay_log(&s->findings, "completed: %.1f MiB in, %.1f MiB out, "
                  "%.1f seconds%s", (double)in / 1048576,
                  (double)out / 1048576,
                  (double)(s->ended - s->started) / (double)NS_PER_S,
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
    if (choose_role(s, &err)) {
        run_by_role(s);
    } else {
        /* Somebody has touched the port. */
        s->refused = !s->args->one_peer;
        session_fail(s, err);
    }
    turns_leave(s->turns, s->findings.number);
    if (s->live) {
        turns_end_live(s->turns);
    }
    end_channels(s);
    if (s->claimed) {
        turns_give_back(s->turns);
    }
    s->ended = clock_now(&clock_monotonic);
    judge(s);
    if (!has_just_left(s)) {
        log_outcome(s);
    }
    return s->outcome;
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
        .outcome = s->outcome,
        .why = s->why,
        .time = s->ended - s->started,
        .stats = &s->stats,
        .findings = &s->findings,
    };

    return relay_report(&report);
}
