/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue that would make the downtime longer than the limit: the guest runs on
 * while the source waits for it.
 *
 * The peer reads nothing at first, and has room for nearly nothing.  So what
 * the source has sent lies in its own system's queue.
 */
#include <arpa/inet.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migration/internal.h"
#include "tests/lib/bare-peer.h"

#define LITTLE_ROOM 4096
#define RATE        (1u << 16) /* bytes/s: the queue is 60 ms, or unknown */
#define MOST_DRAINS 2u

/*
 * Two pages that are not zero: 10 kB of stream in all.  It is more than the
 * peer's system takes, so that a queue stays, and so little that the source can
 * write all of it.  On a link that was found to be thin, as one whose peer
 * reads nothing may be, a write waits until less than 8 KiB are unsent.
 */
static const uint64_t pages[FAKE_BLOCKS_MAX] = { 198, 2 };

/* Two ends of a TCP connection; what is sent to the second one stays here. */
static void connect_ends(int end[2])
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0), room = LITTLE_ROOM;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g_assert_cmpint(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room,
                               sizeof(room)), ==, 0);
    g_assert_cmpint(bind(listener, (void *)&at, size), ==, 0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    g_assert_cmpint(getsockname(listener, (void *)&at, &size), ==, 0);
    end[0] = socket(AF_INET, SOCK_STREAM, 0);
    g_assert_cmpint(connect(end[0], (void *)&at, size), ==, 0);
    end[1] = accept(listener, NULL, NULL);
    close(listener);
}

typedef struct World {
    Pair *pair;
    int peer;
    size_t size; /* of the stream */
    unsigned looks; /* at the dirty log, when the guest was stopped */
} World;

static bool note_stop(FakeHost *host, FakePoint point, unsigned nth,
                      GError **errp)
{
    World *world = host->hook_data;

    if (point == FAKE_VM_STOP) {
        world->looks = fake_host_calls(host, FAKE_LOG_COLLECT);
    }
    return true;
}

static Pair *new_pair(void)
{
    Pair *pair = pair_new_sized(pages);

    for (unsigned i = 0; i < FAKE_BLOCKS_MAX; i++) {
        memset(pair->src_host->block[i].host, (int)i,
               pages[i] * MIG_PAGE_SIZE);
    }
    return pair;
}

static void world_init(World *world, uint64_t limit_ms, FakeHook *hook)
{
    g_autoptr(GBytes) stream = NULL;
    Pair *pair = new_pair();
    int end[2];

    stream = peer_recorded_stream(pair);
    world->size = g_bytes_get_size(stream) + PEER_ASKS;
    pair_free(pair);

    world->pair = new_pair();
    connect_ends(end);
    world->peer = end[1];
    peer_say(world->peer, peer_pong);
    pair_set(world->pair, MIG_OPT_MAX_BANDWIDTH, RATE);
    pair_set(world->pair, MIG_OPT_DOWNTIME_LIMIT, limit_ms);
    world->pair->src_host->hook = hook;
    world->pair->src_host->hook_data = world;
    world->pair->src = pair_send_to_fd(world->pair->src_host,
                                       &world->pair->options, end[0]);
}

static void world_destroy(World *world)
{
    close(world->peer);
    pair_free(world->pair);
}

static void complete(World *world)
{
    peer_read(world->peer, world->size);
    peer_say(world->peer, peer_shut_0);
    g_assert_true(mig_wait(world->pair->src, NULL));
}

static void await_stop(FakeHost *host)
{
    while (!fake_host_calls(host, FAKE_VM_STOP)) {
        g_usleep(1000);
    }
}

/* The dirty log is looked at after the pass, and after each wait. */
static void assert_drains(World *world, unsigned drains)
{
    await_stop(world->pair->src_host);
    complete(world);
    g_assert_cmpuint(world->pair->src_host->passes, ==, 1);
    g_assert_cmpuint(world->looks, ==, 1 + drains);
}

/* A queue that does not get shorter does not keep a migration from ending. */
static void test_stuck(void)
{
    World world;

    world_init(&world, 1, note_stop);
    assert_drains(&world, MOST_DRAINS);
    world_destroy(&world);
}

static void test_within_limit(void)
{
    World world;

    world_init(&world, 2000000, note_stop);
    assert_drains(&world, 0);
    world_destroy(&world);
}

/* In the source's thread, before it waits for the queue. */
static bool cancel_at_once(FakeHost *host, FakePoint point, unsigned nth,
                           GError **errp)
{
    World *world = host->hook_data;

    if (point == FAKE_LOG_COLLECT && nth == 1) {
        g_assert_true(mig_cancel(world->pair->src, NULL));
    }
    return true;
}

static void test_cancel(void)
{
    g_autoptr(GError) err = NULL;
    World world;

    world_init(&world, 1, cancel_at_once);
    g_assert_false(mig_wait(world.pair->src, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_CANCELLED);
    g_assert_true(fake_host_running(world.pair->src_host));
    g_assert_cmpuint(fake_host_calls(world.pair->src_host, FAKE_VM_STOP), ==,
                     0);
    world_destroy(&world);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/drain/stuck", test_stuck);
    g_test_add_func("/drain/within-limit", test_within_limit);
    g_test_add_func("/drain/cancel", test_cancel);
    return g_test_run();
}
