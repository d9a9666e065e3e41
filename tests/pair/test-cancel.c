/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cancelled at any moment, the guest runs on at the source. */
#include <glib.h>
#include <sched.h>

#include "tests/lib/bare-peer.h"
#include "tests/lib/pair.h"

/* Long enough for a thread that was woken to do what it must not. */
#define EVENT_MS 200

/* Where a host stands still until the test has cancelled. */
typedef struct Stop {
    FakePoint point;
    unsigned nth;
    Gate gate;
} Stop;

static bool stop_hook(FakeHost *host, FakePoint point, unsigned nth,
                      GError **errp)
{
    Stop *stop = host->hook_data;

    if (point == FAKE_LOG_COLLECT) {
        fake_host_write(host, 0, nth % 8, nth);
    }
    if (point == stop->point && nth == stop->nth) {
        gate_pass(&stop->gate);
    }
    return true;
}

typedef struct CancelCase {
    const char *name;
    bool at_dst;     /* the gate is at the destination */
    FakePoint point;
    unsigned nth;
    bool cancel_dst; /* the destination is cancelled, not the source */
} CancelCase;

static const CancelCase cases[] = {
    { "setup", false, FAKE_LOG_START, 1, false },
    { "first-pass", false, FAKE_LOG_COLLECT, 1, false },
    { "later-pass", false, FAKE_LOG_COLLECT, 3, false },
    { "stopping", false, FAKE_VM_STOP, 1, false },
    { "devices", false, FAKE_PRE_SAVE, 1, false },
    { "loading", true, FAKE_POST_LOAD, 1, false },
    { "dst/setup", false, FAKE_LOG_START, 1, true },
    { "dst/first-pass", false, FAKE_LOG_COLLECT, 1, true },
    { "dst/devices", false, FAKE_PRE_SAVE, 1, true },
    { "dst/loading", true, FAKE_POST_LOAD, 1, true },
};

static void run_case(const CancelCase *c, bool compress)
{
    Stop stop = { .point = c->point, .nth = c->nth };
    Pair *pair = pair_new();
    Migration *cancelled;
    FakeHost *host = c->at_dst ? pair->dst_host : pair->src_host;
    g_autofree char *states = NULL;
    GError *err = NULL;

    gate_init(&stop.gate);
    pair_set(pair, MIG_OPT_COMPRESS, compress);
    /* The source never converges by itself before the third collection. */
    pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, c->nth > 1 ? 0 : 300);
    host->hook = stop_hook;
    host->hook_data = &stop;
    pair_start(pair);
    gate_await(&stop.gate);
    cancelled = c->cancel_dst ? pair->dst : pair->src;
    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(mig_cancel(cancelled, &err));
        g_assert_no_error(err);
    }
    gate_release(&stop.gate);

    pair_assert_stayed(pair, c->cancel_dst ? MIG_STATE_FAILED
                                           : MIG_STATE_CANCELLED);
    g_assert_false(mig_wait(cancelled, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_CANCELLED);
    g_clear_error(&err);
    states = fake_host_states(c->cancel_dst ? pair->dst_host
                                            : pair->src_host);
    g_assert_true(g_str_has_suffix(states, ",cancelling,cancelled"));
    gate_destroy(&stop.gate);
    pair_free(pair);
}

static void test_case(gconstpointer data)
{
    run_case(data, false);
    run_case(data, true);
}

/* Once the destination runs the guest, a cancel comes too late, on both
 * sides. */
static void test_too_late(void)
{
    Stop stop = { .point = FAKE_VM_START, .nth = 1 };
    Pair *pair = pair_new();
    GError *err = NULL;

    gate_init(&stop.gate);
    pair->dst_host->hook = stop_hook;
    pair->dst_host->hook_data = &stop;
    pair_start(pair);
    gate_await(&stop.gate);
    mig_cancel(pair->src, NULL); /* may have ended, or not heard of it yet */
    g_assert_false(mig_cancel(pair->dst, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_STATE);
    g_assert_cmpstr(err->message, ==,
                    "Too late to cancel: everything has come, the source may "
                    "have given the guest up");
    g_clear_error(&err);
    gate_release(&stop.gate);
    pair_assert_moved(pair);
    g_assert_true(mig_cancel(pair->src, NULL)); /* nothing to cancel */
    g_assert_true(mig_cancel(pair->dst, NULL));
    gate_destroy(&stop.gate);
    pair_free(pair);
}

/* The answer to the source's first PING. */
static void answer(IoChannel *channel)
{
    g_assert_true(io_channel_writev(channel,
                                    &(GOutputVector){ peer_pong, 8 }, 1,
                                    NULL));
}

/* A destination that takes everything and never answers costs the guest
 * nothing: no page is sent, and it is not stopped. */
static void test_no_answer(void)
{
    for (unsigned i = 0; i < 50; i++) {
        static const uint64_t pages[] = { 8 };
        FakeHost *host = fake_host_new(pages, 1);
        IoChannel *ends[2];
        MigOptions options;
        Migration *m;
        uint8_t buf[4096];
        size_t nread;

        mig_options_init(&options);
        host->running = true;
        g_assert_true(io_channel_pair(ends, NULL));
        m = mig_new(&fake_mig_host, host, &options);
        g_assert_true(mig_send(m, ends[0], NULL));
        g_assert_true(io_channel_read(ends[1], buf, sizeof(buf), &nread,
                                      NULL));
        sched_yield();
        mig_cancel(m, NULL);
        g_assert_false(mig_wait(m, NULL));
        g_assert_cmpuint(host->passes, ==, 0);
        g_assert_cmpuint(fake_host_calls(host, FAKE_VM_STOP), ==, 0);
        mig_free(m);
        io_channel_free(ends[1]);
        fake_host_free(host);
    }
}

/* Cancel a source that has begun to write, and then waits for the channel or
 * for the limit, by the real clock; it keeps its guest. */
static void cancel_while_it_waits(uint64_t max_bandwidth)
{
    Pair *pair = pair_new();
    IoChannel *ends[2];
    uint8_t byte;
    size_t nread;
    GError *err = NULL;

    g_assert_true(io_channel_pair(ends, &err));
    answer(ends[1]);
    pair_set(pair, MIG_OPT_MAX_BANDWIDTH, max_bandwidth);
    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    g_assert_true(mig_send(pair->src, ends[0], &err));
    g_assert_true(io_channel_read(ends[1], &byte, 1, &nread, &err));
    mig_cancel(pair->src, NULL);
    g_assert_false(mig_wait(pair->src, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_CANCELLED);
    g_assert_true(fake_host_running(pair->src_host));
    g_clear_error(&err);
    io_channel_free(ends[1]);
    pair_free(pair);
}

/* The peer does not read, and there is more than the channel takes. */
static void test_blocked_write(void)
{
    cancel_while_it_waits(0);
}

/* The bandwidth is used up for hours. */
static void test_rate_limit(void)
{
    cancel_while_it_waits(1);
}

/* A destination that nobody connects to. */
static void test_accept(void)
{
    Pair *pair = pair_new();
    g_autoptr(IoUri) uri = io_uri_parse("tcp:127.0.0.1:0", NULL);
    IoListener *listener;
    GError *err = NULL;

    listener = io_listener_new(uri, &err);
    g_assert_no_error(err);
    pair->dst = mig_new(&fake_mig_host, pair->dst_host, &pair->options);
    g_assert_true(mig_receive_from(pair->dst, listener, &err));
    mig_cancel(pair->dst, NULL);
    g_assert_false(mig_wait(pair->dst, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_CANCELLED);
    g_clear_error(&err);
    pair_free(pair);
}

static void *free_it(void *m)
{
    mig_free(m);
    return NULL;
}

static bool is_cancelling(FakeHost *host)
{
    g_autofree char *states = fake_host_states(host);

    return g_str_has_suffix(states, ",cancelling");
}

/* Free without a word cancels too. */
static void test_free(void)
{
    Stop stop = { .point = FAKE_LOG_COLLECT, .nth = 1 };
    Pair *pair = pair_new();
    pthread_t thread;

    gate_init(&stop.gate);
    pair->src_host->hook = stop_hook;
    pair->src_host->hook_data = &stop;
    pair_start(pair);
    gate_await(&stop.gate);
    g_assert_cmpint(pthread_create(&thread, NULL, free_it, pair->src), ==, 0);
    pair->src = NULL;
    while (!is_cancelling(pair->src_host)) {
        sched_yield();
    }
    gate_release(&stop.gate);
    pthread_join(thread, NULL);
    g_assert_true(fake_host_running(pair->src_host));
    gate_destroy(&stop.gate);
    pair_free(pair);
}

static bool resume_hook(FakeHost *host, FakePoint point, unsigned nth,
                        GError **errp)
{
    if (point == FAKE_VM_RESUME) {
        gate_reach(host->hook_data);
    }
    return true;
}

/* The event of a cancel takes longer than to wake the source. */
static void slow_event(void *opaque, const MigEvent *event)
{
    FakeHost *host = opaque;

    if (event->type == MIG_EVENT_STATE &&
        event->state == MIG_STATE_CANCELLING) {
        g_assert_false(gate_await_for(host->hook_data, EVENT_MS));
    }
    fake_mig_host.event(opaque, event);
}

/* The guest does not go on before the host knows why. */
static void test_event_before_resume(void)
{
    Gate resumed;
    Pair *pair = pair_new();
    MigInfo info = { 0 };

    gate_init(&resumed);
    pair->src_host->hook = resume_hook;
    pair->src_host->hook_data = &resumed;
    pair->src_calls.event = slow_event;
    pair_set(pair, MIG_OPT_PAUSE_BEFORE_SWITCHOVER, 1);
    pair_start(pair);
    while (info.state != MIG_STATE_PRE_SWITCHOVER) {
        sched_yield();
        mig_query(pair->src, &info);
        mig_info_clear(&info);
    }
    mig_cancel(pair->src, NULL);
    pair_assert_stayed(pair, MIG_STATE_CANCELLED);
    gate_destroy(&resumed);
    pair_free(pair);
}

static void test_handle(void)
{
    Pair *pair = pair_new();
    IoChannel *ends[2];
    MigInfo info;
    GError *err = NULL;

    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    mig_cancel(pair->src, NULL);
    mig_query(pair->src, &info);
    g_assert_cmpint(info.state, ==, MIG_STATE_NONE);
    g_assert_false(mig_wait(pair->src, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_STATE);
    g_clear_error(&err);
    mig_free(g_steal_pointer(&pair->src));
    mig_free(NULL);

    pair_start(pair);
    pair_assert_moved(pair);
    g_assert_true(io_channel_pair(ends, &err));
    g_assert_false(mig_send(pair->src, ends[0], &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_STATE);
    g_clear_error(&err);
    io_channel_free(ends[1]);
    pair_free(pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/cancel/at/%s",
                                                cases[i].name);

        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/cancel/too-late", test_too_late);
    g_test_add_func("/cancel/no-answer", test_no_answer);
    g_test_add_func("/cancel/blocked-write", test_blocked_write);
    g_test_add_func("/cancel/rate-limit", test_rate_limit);
    g_test_add_func("/cancel/accept", test_accept);
    g_test_add_func("/cancel/free", test_free);
    g_test_add_func("/cancel/event-before-resume", test_event_before_resume);
    g_test_add_func("/cancel/handle", test_handle);
    return g_test_run();
}
