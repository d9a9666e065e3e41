/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry-relay: arguments, signals, and a thread for each migration.
 *
 * The main thread runs a main loop for signals and statistics.  An acceptor, a
 * thread for each address to listen at, hands each connection that it accepts
 * to the main thread.  The main thread starts a thread for each session, and
 * joins it when it reports that it is done.  So only the main thread touches
 * the list of sessions.  Requests for metrics are answered there, too.
 *
 * Anybody can connect to an open port, so two limits hold.  The number of
 * migrations is limited: a source beyond the limit is told why it is refused.
 * The number of connections is limited, too: a further peer takes the place of
 * the one that has said nothing for longest, because it may be a relay that
 * goes on with a migration, and cannot wait.  An acceptor closes its listener
 * as soon as it accepts no more, so that a late peer's connection is refused at
 * once.  A relay that takes no new migration goes on accepting as long as one
 * that it has may go on by another connection.
 */
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/relay/relay-args.h"
#include "tools/relay/relay-http.h"
#include "tools/relay/relay-log.h"
#include "tools/relay/relay-metrics.h"
#include "tools/relay/relay-routes.h"
#include "tools/relay/relay-sandbox.h"
#include "tools/relay/relay-session.h"
#include "tools/relay/relay-stdio.h"
#include "tools/relay/relay-wire.h"
#include "util/clock.h"
#include "util/thread.h"

#define EXIT_UNKNOWN 2 /* docs/relay.md */

typedef struct Relay {
    const RelayArgs *args; /* constant */
    GMainLoop *loop;       /* main thread */
    GPtrArray *acceptors;  /* of Acceptor; main thread */
    RouteFolder *folder;   /* send: of routes, or NULL; main thread */
    bool folder_failed;    /* it could not be read, and that was said */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* stopping was set, or sessions went down */
    unsigned sessions;   /* lock; acceptors count up, main thread down */
    GQueue arrived;      /* lock; of Arrival, acceptors to main thread */
    GQueue done;         /* lock; of Run, from its thread to main thread */
    bool accept_failed;  /* lock; an acceptor sets, main thread reads */

    /* The main thread's alone. */
    GPtrArray *runs;     /* of Run */
    SessionShared shared; /* lent to the sessions */
    unsigned count;      /* connections so far */
    bool draining;       /* no new migration; the loop ends with the last one */
    bool closed;         /* nobody is accepted any more */
    bool judged;         /* there was an outcome */
    RelayOutcome outcome; /* the exit status; RELAY_COMPLETED where none ran */
    Http *http;          /* or NULL */
    GQueue ended;        /* of MetricsEntry: the last values, oldest first */
} Relay;

/* A URI to listen at, and the thread that does. */
typedef struct Acceptor {
    Relay *relay;
    const IoUri *uri;
    const RelayRoute *route; /* or NULL */
    IoListener *listener;    /* main thread until the thread runs, then its */
    GCancellable *stop;      /* main thread cancels, the thread waits */
    bool stopping;           /* the relay's lock; main thread sets */
    pthread_t thread;        /* main thread */
    bool running;            /* main thread; thread is to be joined */
} Acceptor;

typedef struct Arrival {
    IoChannel *channel;
    const RelayRoute *route; /* or NULL */
} Arrival;

/* A session and its thread. */
typedef struct Run {
    Relay *relay;
    Session *session;
    pthread_t thread;
    guint greeting;      /* main thread; the timeout's source, or 0 */
    bool goes;           /* main thread; made room for another one */
    int64_t began;       /* main thread; us of real time */
    RelaySample before, now; /* main thread; of the last two seconds, with a
                              * time of 0: none yet */
    RelayOutcome outcome; /* its thread sets; main thread reads once joined */
} Run;

static gboolean on_wake(void *opaque);

static bool is_command(const IoUri *uri)
{
    return uri && uri->kind == IO_URI_EXEC;
}

static unsigned count_migrations(const Relay *relay)
{
    unsigned count = 0;

    for (unsigned i = 0; i < relay->runs->len; i++) {
        const Run *run = relay->runs->pdata[i];

        count += session_has_begun(run->session) &&
                 !session_has_joined(run->session);
    }
    return count;
}

static void abort_if_silent(const Run *run, const char *reason)
{
    if (!session_has_begun(run->session)) {
        session_abort(run->session, reason);
    }
}

static void abort_silent(const Relay *relay)
{
    for (unsigned i = 0; i < relay->runs->len; i++) {
        abort_if_silent(relay->runs->pdata[i], "the relay ends");
    }
}

static void stop_acceptor(Acceptor *acceptor)
{
    Relay *relay = acceptor->relay;

    pthread_mutex_lock(&relay->lock);
    acceptor->stopping = true;
    pthread_cond_broadcast(&relay->changed);
    pthread_mutex_unlock(&relay->lock);
    g_cancellable_cancel(acceptor->stop);
}

static void stop_accepting(Relay *relay)
{
    relay->closed = true;
    for (unsigned i = 0; i < relay->acceptors->len; i++) {
        stop_acceptor(relay->acceptors->pdata[i]);
    }
    abort_silent(relay);
}

/* May a migration go on by another connection? */
static bool awaits_resumes(const Relay *relay)
{
    for (unsigned i = 0; i < relay->runs->len; i++) {
        const Run *run = relay->runs->pdata[i];

        if (session_may_resume(run->session)) {
            return true;
        }
    }
    return false;
}

static void stop_or_quit_if_done(Relay *relay)
{
    if (!relay->draining) {
        return;
    }
    if (!relay->closed && !awaits_resumes(relay)) {
        stop_accepting(relay);
    }
    if (relay->runs->len == 0) {
        g_main_loop_quit(relay->loop);
    }
}

/* A peer that has not yet said what it wants is not waited for. */
static void drain(Relay *relay)
{
    relay->draining = true;
    abort_silent(relay);
    stop_or_quit_if_done(relay);
}

/* Statistics */

static void print_report(Relay *relay, Session *session)
{
    g_autofree char *report = session_report(session);
    FILE *to = relay->args->stdio ? stderr : stdout;

    relay_wipe_live_line();
    fprintf(to, "%s\n", report);
    fflush(to);
}

/* Of each session that is a migration. */
static void sample_all(Relay *relay)
{
    for (unsigned i = 0; i < relay->runs->len; i++) {
        Run *run = relay->runs->pdata[i];
        RelaySample now;

        if (session_sample(run->session, &now)) {
            run->before = run->now;
            run->now = now;
        }
    }
}

/* A terminal has one line for all of them. */
static char *text_of_several(const Relay *relay, unsigned count)
{
    GString *text = g_string_new(NULL);
    g_autofree char *head = NULL;
    double rate = 0;

    for (unsigned i = 0; i < relay->runs->len; i++) {
        const Run *run = relay->runs->pdata[i];

        if (run->now.time) {
            g_autofree char *part = sample_short_text(&run->now);

            g_string_append_printf(text, "; %s", part);
            rate += sample_rate(&run->before, &run->now, run->before.packed,
                                run->now.packed);
        }
    }
    head = g_strdup_printf("%u migrations, link %.1f MiB/s", count,
                           rate / 1048576);
    g_string_prepend(text, head);
    return g_string_free(text, FALSE);
}

static void show_all(const Relay *relay)
{
    g_autofree char *text = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < relay->runs->len; i++) {
        const Run *run = relay->runs->pdata[i];

        if (run->now.time) {
            count++;
            g_free(text);
            text = sample_text(&run->before, &run->now);
            if (!relay_has_live_line()) {
                relay_show_live_line(text);
            }
        }
    }
    if (count == 0) {
        relay_wipe_live_line();
    } else if (relay_has_live_line()) {
        if (count > 1) {
            g_free(text);
            text = text_of_several(relay, count);
        }
        relay_show_live_line(text);
    }
}

static gboolean on_second(void *opaque)
{
    Relay *relay = opaque;

    sample_all(relay);
    if (relay->args->stats) {
        show_all(relay);
    }
    return G_SOURCE_CONTINUE;
}

/* Metrics */

static void drop_old_values(Relay *relay)
{
    int64_t now = clock_now(&clock_monotonic);
    MetricsEntry *oldest;

    while ((oldest = g_queue_peek_head(&relay->ended)) &&
           (now - oldest->now.time > METRICS_KEEP_NS ||
            relay->ended.length > METRICS_KEEP_MAX)) {
        g_free(g_queue_pop_head(&relay->ended));
    }
}

/* The run has ended.  Its rates are 0 from now on. */
static void keep_last_values(Relay *relay, const Run *run)
{
    MetricsEntry *entry = g_new0(MetricsEntry, 1);

    if (!session_sample(run->session, &entry->now)) {
        g_free(entry);
        return;
    }
    entry->before = entry->now;
    entry->began = run->began;
    entry->ended = g_get_real_time();
    entry->outcome = run->outcome;
    g_queue_push_tail(&relay->ended, entry);
    drop_old_values(relay);
}

static char *metrics_page(void *opaque)
{
    Relay *relay = opaque;
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE,
                                            sizeof(MetricsEntry));

    drop_old_values(relay);
    for (const GList *at = relay->ended.head; at; at = at->next) {
        g_array_append_vals(entries, at->data, 1);
    }
    for (unsigned i = 0; i < relay->runs->len; i++) {
        const Run *run = relay->runs->pdata[i];
        const MetricsEntry entry = {
            .before = run->before, .now = run->now, .began = run->began,
        };

        if (run->now.time) {
            g_array_append_val(entries, entry);
        }
    }
    return metrics_text(entries);
}

static bool serve_metrics(Relay *relay, GError **errp)
{
    const HttpConfig config = {
        .at = relay->args->metrics,
        .type = "text/plain; version=0.0.4; charset=utf-8",
        .page = metrics_page,
        .opaque = relay,
    };

    if (!relay->args->metrics) {
        return true;
    }
    relay->http = http_new(&config, errp);
    if (!relay->http) {
        return false;
    }
    relay_say("metrics at %s", http_address(relay->http));
    return true;
}

/* Sessions */

static void free_run(Relay *relay, Run *run)
{
    if (run->greeting) {
        g_source_remove(run->greeting);
    }
    session_free(run->session);
    g_free(run);
    pthread_mutex_lock(&relay->lock);
    relay->sessions--;
    pthread_cond_broadcast(&relay->changed);
    pthread_mutex_unlock(&relay->lock);
}

/* The last outcome that is known counts.  Of a migration with several
 * connections, where each is a session (version 3), only the first one shows
 * how it ended.  With --once all connections belong to one migration. */
static void note_outcome(Relay *relay, RelayOutcome outcome)
{
    bool stays = relay->judged &&
                 (outcome == RELAY_UNKNOWN ||
                  (relay->args->once && relay->outcome == RELAY_FAILED));

    if (!stays) {
        relay->outcome = outcome;
    }
    relay->judged = true;
}

static void end_run(Relay *relay, Run *run)
{
    bool counts;

    thread_join(run->thread);
    counts = session_was_migration(run->session);
    if (counts) {
        note_outcome(relay, run->outcome);
        if (relay->http) {
            keep_last_values(relay, run);
        }
        if (relay->args->json) {
            print_report(relay, run->session);
        }
    }
    if (relay->args->one_peer ||
        (relay->args->once && counts && !session_was_unused(run->session))) {
        drain(relay);
    }
    g_ptr_array_remove(relay->runs, run);
    free_run(relay, run);
}

static gboolean on_greeting_late(void *opaque)
{
    Run *run = opaque;

    run->greeting = 0;
    abort_if_silent(run, "the peer does not say what it wants");
    return G_SOURCE_REMOVE;
}

static void *run_main(void *opaque)
{
    Run *run = opaque;
    Relay *relay = run->relay;

    run->outcome = session_run(run->session);
    pthread_mutex_lock(&relay->lock);
    g_queue_push_tail(&relay->done, run);
    pthread_mutex_unlock(&relay->lock);
    g_idle_add(on_wake, relay);
    return NULL;
}

/* Takes near. */
static bool start_run(Relay *relay, IoChannel *near, const RelayRoute *route,
                      GError **errp)
{
    Run *run = g_new0(Run, 1);

    run->relay = relay;
    run->began = g_get_real_time();
    run->session = session_new(&relay->shared, ++relay->count, near, route);
    if (relay->draining) {
        session_take_resumes_only(run->session);
    }
    if (!thread_start(&run->thread, "relay/forward", run_main, run, errp)) {
        free_run(relay, run);
        return false;
    }
    g_ptr_array_add(relay->runs, run);
    if (!relay->args->one_peer) {
        run->greeting = g_timeout_add_seconds(RELAY_GREETING_S,
                                              on_greeting_late, run);
    }
    return true;
}

/* Accepting */

/* False when it is time to stop. */
static bool wait_for_room(const Acceptor *acceptor)
{
    Relay *relay = acceptor->relay;
    bool ok;

    pthread_mutex_lock(&relay->lock);
    while (relay->sessions >= RELAY_CONNECTIONS_MAX + RELAY_GOING_MAX +
                                  RELAY_JOINED_MAX &&
           !acceptor->stopping) {
        pthread_cond_wait(&relay->changed, &relay->lock);
    }
    ok = !acceptor->stopping;
    pthread_mutex_unlock(&relay->lock);
    return ok;
}

static void pause_accepting(const Acceptor *acceptor)
{
    Relay *relay = acceptor->relay;
    int64_t deadline = clock_now(&clock_monotonic) + RELAY_RETRY_NS;

    pthread_mutex_lock(&relay->lock);
    while (!acceptor->stopping && clock_now(&clock_monotonic) < deadline) {
        clock_monotonic.wait(&clock_monotonic, &relay->changed, &relay->lock,
                             deadline);
    }
    pthread_mutex_unlock(&relay->lock);
}

static void arrive(Relay *relay, IoChannel *channel, const RelayRoute *route)
{
    Arrival *arrival = g_new(Arrival, 1);

    *arrival = (Arrival){ channel, route };
    pthread_mutex_lock(&relay->lock);
    relay->sessions++;
    g_queue_push_tail(&relay->arrived, arrival);
    pthread_mutex_unlock(&relay->lock);
    g_idle_add(on_wake, relay);
}

static void accept_failed(Relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    relay->accept_failed = true;
    pthread_mutex_unlock(&relay->lock);
    g_idle_add(on_wake, relay);
}

/* False when there is nobody else to accept. */
static bool accept_one(Acceptor *acceptor)
{
    Relay *relay = acceptor->relay;
    g_autoptr(GError) err = NULL;
    IoChannel *channel =
        is_command(acceptor->uri)
            ? io_channel_connect_two_way(acceptor->uri, NULL, &err)
            : io_listener_accept(acceptor->listener, acceptor->stop, &err);

    if (channel) {
        arrive(relay, channel, acceptor->route);
        return !relay->args->one_peer;
    }
    if (g_error_matches(err, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        return false;
    }
    relay_say("%s", err->message);
    if (relay->args->one_peer) {
        accept_failed(relay);
        return false;
    }
    pause_accepting(acceptor);
    return true;
}

static void *accept_main(void *opaque)
{
    Acceptor *acceptor = opaque;

    while (wait_for_room(acceptor) && accept_one(acceptor)) {
        continue;
    }
    g_clear_pointer(&acceptor->listener, io_listener_free);
    return NULL;
}

static void acceptor_free(void *opaque)
{
    Acceptor *acceptor = opaque;

    if (acceptor->running) {
        thread_join(acceptor->thread);
    }
    io_listener_free(acceptor->listener);
    g_object_unref(acceptor->stop);
    g_free(acceptor);
}

static bool listen_at(Relay *relay, const IoUri *uri, const RelayRoute *route,
                      GError **errp)
{
    Acceptor *acceptor = g_new0(Acceptor, 1);

    *acceptor = (Acceptor){
        .relay = relay,
        .uri = uri,
        .route = route,
        .stop = g_cancellable_new(),
    };
    acceptor->listener = io_listener_new(uri, errp);
    if (!acceptor->listener) {
        acceptor_free(acceptor);
        return false;
    }
    g_ptr_array_add(relay->acceptors, acceptor);
    if (route) {
        relay_say("route %s: listening at %s", route->name,
                  io_listener_address(acceptor->listener));
    } else {
        relay_say("listening at %s", io_listener_address(acceptor->listener));
    }
    return true;
}

static bool start_acceptor(Acceptor *acceptor, GError **errp)
{
    acceptor->running = thread_start(&acceptor->thread, "relay/accept",
                                     accept_main, acceptor, errp);
    return acceptor->running;
}

/* A folder of routes */

static bool begin_route(void *opaque, const RelayRoute *route)
{
    g_autoptr(GError) err = NULL;
    Relay *relay = opaque;
    GPtrArray *acceptors = relay->acceptors;

    if (!listen_at(relay, route->uri, route, &err)) {
        relay_say("route %s: %s", route->name, err->message);
        return false;
    }
    if (!start_acceptor(acceptors->pdata[acceptors->len - 1], &err)) {
        relay_say("route %s: %s", route->name, err->message);
        g_ptr_array_remove_index(acceptors, acceptors->len - 1);
        return false;
    }
    return true;
}

static void end_route(void *opaque, const RelayRoute *route)
{
    Relay *relay = opaque;

    for (unsigned i = 0; i < relay->acceptors->len; i++) {
        Acceptor *acceptor = relay->acceptors->pdata[i];

        if (acceptor->route == route) {
            relay_say("route %s: its socket was removed", route->name);
            stop_acceptor(acceptor);
            g_ptr_array_remove_index(relay->acceptors, i); /* joins it */
            return;
        }
    }
}

static gboolean on_look(void *opaque)
{
    Relay *relay = opaque;
    const RouteFolderUser user = { begin_route, end_route, relay };
    g_autoptr(GError) err = NULL;

    if (relay->draining) {
        return G_SOURCE_CONTINUE;
    }
    if (route_folder_look(relay->folder, &user, &err)) {
        relay->folder_failed = false;
    } else if (!relay->folder_failed) {
        relay_say("%s", err->message);
        relay->folder_failed = true;
    }
    return G_SOURCE_CONTINUE;
}

/* Nobody is accepted before all can be. */
static bool start_accepting(Relay *relay, GError **errp)
{
    const RelayArgs *args = relay->args;

    if (args->listen && !listen_at(relay, args->listen, NULL, errp)) {
        return false;
    }
    for (unsigned i = 0; args->role == RELAY_ROLE_SEND &&
                         i < args->routes->len; i++) {
        const RelayRoute *route = &g_array_index(args->routes, RelayRoute, i);

        if (!listen_at(relay, route->uri, route, errp)) {
            return false;
        }
    }
    for (unsigned i = 0; i < relay->acceptors->len; i++) {
        Acceptor *acceptor = relay->acceptors->pdata[i];

        if (!start_acceptor(acceptor, errp)) {
            return false;
        }
    }
    if (args->folder && args->role == RELAY_ROLE_SEND) {
        relay->folder = route_folder_new(args->folder);
        on_look(relay);
    }
    return true;
}

static bool start(Relay *relay, GError **errp)
{
    IoChannel *near;

    if (relay->args->listen || relay_args_has_routes(relay->args)) {
        return start_accepting(relay, errp);
    }
    near = relay_stdio_channel(errp);
    relay->sessions = 1;
    return near && start_run(relay, near, NULL, errp);
}

/* News from the other threads */

static void *pop(Relay *relay, GQueue *queue)
{
    void *item;

    pthread_mutex_lock(&relay->lock);
    item = g_queue_pop_head(queue);
    pthread_mutex_unlock(&relay->lock);
    return item;
}

static bool accept_has_failed(Relay *relay)
{
    bool failed;

    pthread_mutex_lock(&relay->lock);
    failed = relay->accept_failed;
    pthread_mutex_unlock(&relay->lock);
    return failed;
}

static unsigned count_staying(const Relay *relay)
{
    unsigned count = 0;

    for (unsigned i = 0; i < relay->runs->len; i++) {
        const Run *run = relay->runs->pdata[i];

        count += !run->goes && !session_has_joined(run->session);
    }
    return count;
}

/* The runs are in the order in which they came. */
static void make_room(Relay *relay)
{
    if (count_staying(relay) <= RELAY_CONNECTIONS_MAX) {
        return;
    }
    for (unsigned i = 0; i < relay->runs->len; i++) {
        Run *run = relay->runs->pdata[i];

        if (!run->goes && !session_has_begun(run->session)) {
            run->goes = true;
            abort_if_silent(run, "the peer has not said what it wants, and "
                                 "others have come");
            return;
        }
    }
}

/* Takes arrival. */
static void start_or_turn_away(Relay *relay, Arrival *arrival)
{
    g_autoptr(GError) err = NULL;

    if (relay->closed) {
        io_channel_free(arrival->channel);
    } else if (!start_run(relay, arrival->channel, arrival->route, &err)) {
        relay_say("%s", err->message);
        note_outcome(relay, RELAY_FAILED);
    }
    make_room(relay);
    g_free(arrival);
}

static gboolean on_wake(void *opaque)
{
    Relay *relay = opaque;
    Arrival *arrival;
    Run *run;

    while ((run = pop(relay, &relay->done))) {
        end_run(relay, run);
    }
    while ((arrival = pop(relay, &relay->arrived))) {
        start_or_turn_away(relay, arrival);
    }
    if (accept_has_failed(relay)) {
        note_outcome(relay, RELAY_FAILED);
        drain(relay);
    }
    stop_or_quit_if_done(relay);
    return G_SOURCE_REMOVE;
}

/* The first signal lets migrations end; the second one ends them. */
static gboolean on_signal(void *opaque)
{
    Relay *relay = opaque;
    unsigned migrations = count_migrations(relay);

    if (relay->draining) {
        for (unsigned i = 0; i < relay->runs->len; i++) {
            const Run *run = relay->runs->pdata[i];

            session_will_abort(run->session);
        }
        for (unsigned i = 0; i < relay->runs->len; i++) {
            const Run *run = relay->runs->pdata[i];

            session_abort(run->session, "terminated by a signal");
        }
    } else if (migrations) {
        relay_say("migrations still running: %u; waiting for them to end, "
                  "another signal aborts them", migrations);
    }
    drain(relay);
    return G_SOURCE_CONTINUE;
}

static void init(Relay *relay, const RelayArgs *args)
{
    const BudgetConfig budget = {
        .memory = args->memory,
        .rate = args->rate,
        .clock = &clock_monotonic,
    };

    *relay = (Relay){
        .args = args,
        .loop = g_main_loop_new(NULL, FALSE),
        .runs = g_ptr_array_new(),
        .acceptors = g_ptr_array_new_with_free_func(acceptor_free),
        .shared = {
            .args = args,
            .turns = turns_new(args->one_place ? 1 : RELAY_MIGRATIONS_MAX),
            .lines = lines_new(),
            .shares = shares_new(),
            .budget = budget_new(&budget),
        },
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .arrived = G_QUEUE_INIT,
        .done = G_QUEUE_INIT,
        .ended = G_QUEUE_INIT,
    };
    thread_cond_init(&relay->changed);
}

static void destroy(Relay *relay)
{
    stop_accepting(relay);
    g_ptr_array_unref(relay->acceptors); /* joins their threads */
    /* Turn away peers that have arrived in the meantime. */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    relay_wipe_live_line();
    http_free(relay->http);
    g_queue_clear_full(&relay->ended, g_free);
    pthread_cond_destroy(&relay->changed);
    pthread_mutex_destroy(&relay->lock);
    g_ptr_array_unref(relay->runs);
    route_folder_free(relay->folder);
    turns_free(relay->shared.turns);
    lines_free(relay->shared.lines);
    shares_free(relay->shared.shares);
    budget_free(relay->shared.budget);
    g_main_loop_unref(relay->loop);
}

static int exit_status(RelayOutcome outcome)
{
    switch (outcome) {
    case RELAY_COMPLETED:
        return EXIT_SUCCESS;
    case RELAY_FAILED:
        return EXIT_FAILURE;
    case RELAY_UNKNOWN:
        return EXIT_UNKNOWN;
    }
    g_assert_not_reached();
}

/* The signal handlers stay until the process has ended, so that a signal that
 * comes meanwhile does not change the exit status. */
static int run(const RelayArgs *args, GError **errp)
{
    unsigned second = 0, look = 0;
    Relay relay;
    bool ok;

    init(&relay, args);
    g_unix_signal_add(SIGINT, on_signal, &relay);
    g_unix_signal_add(SIGTERM, on_signal, &relay);
    if (args->stats || args->metrics) {
        second = g_timeout_add_seconds(1, on_second, &relay);
    }
    ok = serve_metrics(&relay, errp) && start(&relay, errp);
    if (ok) {
        relay.draining = relay.closed = !args->listen &&
                                        !relay_args_has_routes(args);
        if (relay.folder) {
            look = g_timeout_add_seconds(1, on_look, &relay);
        }
        g_main_loop_run(relay.loop);
    }
    if (second) {
        g_source_remove(second);
    }
    if (look) {
        g_source_remove(look);
    }
    destroy(&relay);
    return ok ? exit_status(relay.outcome) : -1;
}

/* The sandbox is one wall among several, so a relay goes on where the system
 * cannot provide one.  A relay that starts a command has no sandbox, because
 * the command would inherit it. */
static void give_up_rights(const RelayArgs *args)
{
    g_autoptr(GError) err = NULL;

    if (!is_command(args->listen) && !is_command(args->connect) &&
        !relay_sandbox(&err)) {
        relay_say("%s; going on without a sandbox", err->message);
    }
}

static void show_version(void)
{
    printf("ferry-relay %s\nsandbox: %s\n", FERRY_VERSION,
           relay_sandbox_name());
    printf("metrics: %s\n", http_library());
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);

        printf("compress-method %s: %s\n", codec->name,
               codec->available ? "built in" : "not built in");
    }
    printf("compress-method auto: whichever of these is fastest\n");
}

static int run_or_help(const RelayArgs *args, GError **errp)
{
    if (args->help) {
        g_autofree char *help = relay_args_help();

        fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    if (args->version) {
        show_version();
        return EXIT_SUCCESS;
    }
    give_up_rights(args);
    return run(args, errp);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    RelayArgs args;
    int status = -1;

    signal(SIGPIPE, SIG_IGN);
    if (relay_args_parse(&args, argc, argv, &err)) {
        status = run_or_help(&args, &err);
    }
    relay_args_clear(&args);
    if (status < 0) {
        relay_say("%s", err->message);
        status = EXIT_FAILURE;
    }
    return status;
}
