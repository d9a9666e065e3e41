/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commit point of a source whose destination does not wait for GO, and may
 * run the guest as soon as it has read EOF.  From before EOF on nobody can
 * cancel, and the guest goes on at the source only when the destination has
 * said that it failed.
 */
#include <glib.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migration/internal.h"
#include "tests/lib/bare-peer.h"
#include "tests/lib/fault-channel.h"

#define RACES 300

static const uint64_t pages[FAKE_BLOCKS_MAX] = { 5, 2 };

typedef struct World {
    Pair *pair;
    int peer;      /* the destination's socket */
    size_t before; /* bytes that it reads before EOF */
    size_t all;    /* and in all */
} World;

/* How long the stream to a peer with a return path is, and where its EOF. */
static void measure(World *world)
{
    Pair *pair = pair_new_sized(pages);
    g_autoptr(GBytes) stream = peer_recorded_stream(pair);

    world->before = peer_find_eof(stream) + PEER_ASKS;
    world->all = g_bytes_get_size(stream) + PEER_ASKS;
    pair_free(pair);
}

static void world_init(World *world)
{
    world->pair = pair_new_sized(pages);
    world->peer = peer_start(world->pair);
    peer_say(world->peer, peer_pong);
}

static void world_destroy(World *world)
{
    if (world->peer >= 0) {
        close(world->peer);
    }
    pair_free(world->pair);
}

static bool is_committed(Migration *m)
{
    bool committed;

    pthread_mutex_lock(&m->lock);
    committed = m->committed;
    pthread_mutex_unlock(&m->lock);
    return committed;
}

static void await_commit(Migration *m)
{
    MigInfo info;

    while (!is_committed(m)) {
        mig_query(m, &info);
        g_assert_false(mig_state_is_final(info.state));
        mig_info_clear(&info);
        sched_yield();
    }
}

static void assert_cancel_refused(Migration *m)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(mig_cancel(m, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_STATE);
    g_assert_cmpstr(err->message, ==,
                    "Too late to cancel: the end is being sent or was, and "
                    "the destination may run the guest");
}

static void assert_resumed(FakeHost *host, bool resumed)
{
    g_assert_true(fake_host_running(host) == resumed);
    g_assert_cmpuint(fake_host_calls(host, FAKE_VM_RESUME), ==, resumed);
    g_assert_false(host->logging);
}

static void assert_unknown(Pair *pair)
{
    g_autoptr(GError) err = NULL;
    MigInfo info;

    g_assert_false(mig_wait(pair->src, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_OUTCOME);
    g_assert_nonnull(strstr(err->message, "nobody knows whether"));
    mig_query(pair->src, &info);
    g_assert_cmpint(info.state, ==, MIG_STATE_FAILED);
    g_assert_cmpstr(info.error, ==, err->message);
    mig_info_clear(&info);
    assert_resumed(pair->src_host, false);
}

/* The destination has everything, and takes its time to say so. */
static void test_cancel(void)
{
    World world;

    measure(&world);
    world_init(&world);
    await_commit(world.pair->src);
    assert_cancel_refused(world.pair->src); /* EOF may not be out yet */
    peer_read(world.peer, world.all);
    assert_cancel_refused(world.pair->src);
    peer_say(world.peer, peer_shut_0);
    g_assert_true(mig_wait(world.pair->src, NULL));
    assert_resumed(world.pair->src_host, false);
    world_destroy(&world);
}

/* The destination says that it failed: the source has the guest at once. */
static void test_refused(void)
{
    g_autoptr(GError) err = NULL;
    World world;

    measure(&world);
    world_init(&world);
    peer_read(world.peer, world.all);
    peer_say(world.peer, peer_shut_1);
    g_assert_false(mig_wait(world.pair->src, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_PEER);
    assert_resumed(world.pair->src_host, true);
    world_destroy(&world);
}

/* The same while the source still writes: nobody reads the end. */
static void test_refused_early(void)
{
    World world;

    measure(&world);
    world_init(&world);
    peer_read(world.peer, world.before);
    await_commit(world.pair->src);
    peer_say(world.peer, peer_shut_1);
    g_assert_false(mig_wait(world.pair->src, NULL));
    assert_resumed(world.pair->src_host, true);
    world_destroy(&world);
}

/* The destination goes away without an answer, at each byte of the end.  Once
 * it has read EOF, it may run the guest. */
static void test_no_word(void)
{
    World world;

    measure(&world);
    for (size_t read = world.before; read <= world.all; read++) {
        world_init(&world);
        peer_read(world.peer, read);
        await_commit(world.pair->src);
        close(world.peer);
        world.peer = -1;
        assert_unknown(world.pair);
        world_destroy(&world);
    }
}

/* What it says is no answer. */
static void test_nonsense(void)
{
    static const uint8_t nonsense[8] = { 0, 3, 0, 4 }; /* of postcopy */
    World world;

    measure(&world);
    world_init(&world);
    peer_read(world.peer, world.all);
    peer_say(world.peer, nonsense);
    assert_unknown(world.pair);
    world_destroy(&world);
}

/* The host gives up waiting; that does not undo anything. */
static void test_free(void)
{
    World world;

    measure(&world);
    world_init(&world);
    peer_read(world.peer, world.all);
    mig_free(g_steal_pointer(&world.pair->src));
    assert_resumed(world.pair->src_host, false);
    world_destroy(&world);
}

/* A peer runs the guest once it has read EOF; a cancel comes at any moment.
 * Never do both run it, nor neither when an answer has come. */
static void *run_at_eof(void *arg)
{
    World *world = arg;
    uint8_t buf[4096];
    size_t got = 1;
    ssize_t n;

    while (got < world->all &&
           (n = read(world->peer, buf, sizeof(buf))) > 0) {
        got += (size_t)n;
    }
    if (got == world->all) {
        peer_say(world->peer, peer_shut_0);
    }
    shutdown(world->peer, SHUT_RDWR);
    return got > world->before ? world : NULL;
}

static void test_race(void)
{
    World world;

    measure(&world);
    for (unsigned i = 0; i < RACES; i++) {
        pthread_t peer;
        void *runs;
        bool accepted;

        world_init(&world);
        peer_read(world.peer, 1);
        g_assert_cmpint(pthread_create(&peer, NULL, run_at_eof, &world), ==,
                        0);
        for (unsigned k = 0; k < i * 20; k++) {
            if (is_committed(world.pair->src)) {
                break;
            }
        }
        accepted = mig_cancel(world.pair->src, NULL);
        mig_wait(world.pair->src, NULL);
        pthread_join(peer, &runs);
        g_assert_true(accepted || runs);
        g_assert_true(fake_host_running(world.pair->src_host) != !!runs);
        world_destroy(&world);
    }
}

/* One-way channels, whose readers cannot answer */

typedef struct OneWay {
    Pair *pair;
    Gate stalled;
} OneWay;

/* The byte number at of the stream is not taken. */
static void one_way_init(OneWay *world, uint64_t at)
{
    const Fault fault = {
        .kind = FAULT_STALL, .at = at, .stalled = &world->stalled,
    };
    g_autoptr(GOutputStream) memory = g_memory_output_stream_new_resizable();
    g_autoptr(GOutputStream) out = NULL;

    gate_init(&world->stalled);
    world->pair = pair_new_sized(pages);
    out = fault_output_new(memory, NULL, &fault);
    world->pair->src = mig_new(&fake_mig_host, world->pair->src_host,
                               &world->pair->options);
    g_assert_true(mig_send(world->pair->src,
                           io_channel_new("slow", NULL, out), NULL));
    gate_await(&world->stalled);
}

static void one_way_destroy(OneWay *world)
{
    pair_free(world->pair);
    gate_destroy(&world->stalled);
}

/* The last byte before EOF is not out: the guest is the source's. */
static void test_one_way_before(void)
{
    OneWay world;
    World size;

    measure(&size);
    one_way_init(&world, size.before - PEER_ASKS - 1);
    g_assert_true(mig_cancel(world.pair->src, NULL));
    g_assert_false(mig_wait(world.pair->src, NULL));
    assert_resumed(world.pair->src_host, true);
    one_way_destroy(&world);
}

/* EOF is out, and what is behind it not. */
static void test_one_way_behind(void)
{
    OneWay world;
    World size;

    measure(&size);
    one_way_init(&world, size.before - PEER_ASKS + 1);
    assert_cancel_refused(world.pair->src);
    mig_free(g_steal_pointer(&world.pair->src));
    assert_resumed(world.pair->src_host, false);
    one_way_destroy(&world);
}

static void send_to(Pair *pair, const char *text)
{
    g_autoptr(IoUri) uri = io_uri_parse(text, NULL);

    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    g_assert_true(mig_send_to(pair->src, uri, NULL));
}

/* A command that is killed does not say what it did with the stream.  Neither
 * does a shell whose command was killed, nor an ssh that has lost its
 * connection. */
static void test_killed_command(void)
{
    static const char *const commands[] = {
        "exec:cat > /dev/null; kill -9 $$",
        "exec:cat | sh -c 'cat > /dev/null; kill -9 $$'",
        "exec:cat > /dev/null; exit 255",
    };
    g_autoptr(IoUri) uri = io_uri_parse("exec:true", NULL);
    Pair *pair;

    if (!uri) {
        g_test_skip("built without exec: URIs");
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        pair = pair_new_sized(pages);
        send_to(pair, commands[i]);
        assert_unknown(pair);
        pair_free(pair);
    }
    /* This one knows. */
    pair = pair_new_sized(pages);
    send_to(pair, "exec:cat > /dev/null; exit 125");
    g_assert_false(mig_wait(pair->src, NULL));
    assert_resumed(pair->src_host, true);
    pair_free(pair);
}

/* Nobody runs a guest in a file that could not be completed. */
static void test_full_file(void)
{
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    struct rlimit usual, small;
    Pair *pair = pair_new_sized(pages);
    World size;
    int fd = g_file_open_tmp("commit-XXXXXX", &path, NULL);

    close(fd);
    measure(&size);
    text = g_strdup_printf("file:%s", path);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &usual);
    small = usual;
    small.rlim_cur = size.before - PEER_ASKS + 1;
    setrlimit(RLIMIT_FSIZE, &small);
    send_to(pair, text);
    g_assert_false(mig_wait(pair->src, NULL));
    setrlimit(RLIMIT_FSIZE, &usual);
    assert_resumed(pair->src_host, true);
    unlink(path);
    pair_free(pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit/cancel", test_cancel);
    g_test_add_func("/commit/refused", test_refused);
    g_test_add_func("/commit/refused/early", test_refused_early);
    g_test_add_func("/commit/no-word", test_no_word);
    g_test_add_func("/commit/nonsense", test_nonsense);
    g_test_add_func("/commit/free", test_free);
    g_test_add_func("/commit/race", test_race);
    g_test_add_func("/commit/one-way/before", test_one_way_before);
    g_test_add_func("/commit/one-way/behind", test_one_way_behind);
    g_test_add_func("/commit/one-way/killed-command", test_killed_command);
    g_test_add_func("/commit/one-way/full-file", test_full_file);
    return g_test_run();
}
