/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/return-path.h: the source's end hears what the test says at the
 * other end of a pair of channels.
 */
#include "migration/return-path.h"

#include <string.h>

#include "migration/wire/return-message.h"
#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"

typedef struct World {
    IoChannel *ends[2]; /* source, destination; the latter may be NULL */
    /* written by the return path's thread, read after its end */
    unsigned heard;
    bool failed;
    ReturnPath *rp;
    Stream *dest;
} World;

static void note_alive(void *opaque)
{
    World *world = opaque;

    world->heard++;
}

static void note_failure(void *opaque)
{
    World *world = opaque;

    world->failed = true;
    io_channel_abort(world->ends[0]);
}

static const ReturnPathEar ear = {
    .alive = note_alive, .failed = note_failure,
};

static void world_init(World *world)
{
    g_autoptr(GError) err = NULL;

    io_channel_pair(world->ends, &err);
    g_assert_no_error(err);
    world->failed = false;
    world->heard = 0;
    world->rp = return_path_new(world->ends[0], &ear, world, &err);
    g_assert_no_error(err);
    world->dest = stream_new(world->ends[1]);
}

static void world_destroy(World *world)
{
    return_path_free(world->rp);
    stream_free(world->dest);
    io_channel_free(world->ends[0]);
    io_channel_free(world->ends[1]);
}

static void flush(World *world)
{
    g_autoptr(GError) err = NULL;

    stream_flush(world->dest, &err);
    g_assert_no_error(err);
}

static void put_message(World *world, uint16_t type, uint16_t length,
                        const char *payload)
{
    stream_put_be16(world->dest, type);
    stream_put_be16(world->dest, length);
    stream_put_bytes(world->dest, payload, length);
}

/* The source's writer hears of it. */
static void assert_aborted(World *world)
{
    GOutputVector vector = { "x", 1 };
    g_autoptr(GError) err = NULL;

    g_assert_true(world->failed);
    g_assert_false(io_channel_writev(world->ends[0], &vector, 1, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void expect_success(World *world, uint16_t features)
{
    GOutputVector vector = { "x", 1 };
    g_autoptr(GError) err = NULL;

    return_path_expect_shut(world->rp);
    flush(world);
    return_path_wait(world->rp, &err);
    g_assert_no_error(err);
    g_assert_cmphex(return_path_features(world->rp), ==, features);
    /* The source can go on. */
    g_assert_false(world->failed);
    g_assert_true(io_channel_writev(world->ends[0], &vector, 1, NULL));
    world_destroy(world);
}

static void expect_failure(World *world, MigErrorCode code, const char *text)
{
    flush(world);
    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GError) err = NULL;

        g_assert_false(return_path_wait(world->rp, &err));
        expect_error(&err, code, text);
    }
    g_assert_false(return_path_wait(world->rp, NULL));
    assert_aborted(world);
    world_destroy(world);
}

/* Success */

static void test_shut_0(void)
{
    World world;

    world_init(&world);
    return_path_put_shut(world.dest, 0);
    expect_success(&world, 0);
}

/* While there is more to send, that cannot be true. */
static void test_shut_too_early(void)
{
    World world;

    world_init(&world);
    return_path_put_shut(world.dest, 0);
    expect_failure(&world, MIG_ERROR_PEER,
                   "the destination says that it has loaded everything, "
                   "before it was sent");
}

/* Each message is a sign of life. */
static void test_pong(void)
{
    World world;

    world_init(&world);
    return_path_put_pong(world.dest, WIRE_FERRY_HELLO);
    return_path_put_pong(world.dest, WIRE_FERRY_HELLO);
    return_path_put_pong(world.dest, WIRE_FERRY_WORK);
    return_path_put_shut(world.dest, 0);
    expect_success(&world, 0);
    g_assert_cmpuint(world.heard, ==, 4);
}

/* Only a SHUT that is not 0 says that the guest does not run there. */
static void test_has_refused(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        bool refused;
    } rows[] = {
        { "\0\1\0\4\0\0\0\1", 8, true },
        { "\0\1\0\4\0\0\0\0", 8, false },
        { "\0\1\0\4\0\0\0", 7, false },
        { "\x46\x52\0\3why", 7, false },
        { "\0\3\0\0", 4, false }, /* of postcopy */
        { "", 0, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        World world;

        world_init(&world);
        return_path_expect_shut(world.rp);
        stream_put_bytes(world.dest, rows[i].bytes, rows[i].size);
        flush(&world);
        g_assert_true(io_channel_finish(world.ends[1], NULL));
        g_assert_true(return_path_has_refused(world.rp) == rows[i].refused);
        world_destroy(&world);
    }
}

/* What nobody asked for; and features that no Ferry has. */
static void test_other_pong(void)
{
    static const uint32_t values[] = {
        0, 1, UINT32_MAX, WIRE_FERRY_GO, WIRE_FERRY_HANDOVER,
        WIRE_FERRY_FEATURES, WIRE_FERRY_FEATURES | 0xfffe,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *text = g_strdup_printf("a PONG 0x%08x", values[i]);
        World world;

        world_init(&world);
        return_path_put_pong(world.dest, values[i]);
        expect_failure(&world, MIG_ERROR_STREAM, text);
    }
}

static void test_features(void)
{
    static const uint32_t others[] = { 0, 0x8000, 0xfffe };

    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        World world;

        world_init(&world);
        return_path_put_pong(world.dest, WIRE_FERRY_FEATURES |
                                             WIRE_FERRY_HANDOVER | others[i]);
        return_path_put_pong(world.dest, WIRE_FERRY_HELLO);
        flush(&world);
        /* They are known from the answer on. */
        g_assert_true(return_path_wait_answer(world.rp, NULL));
        g_assert_cmphex(return_path_features(world.rp), ==,
                        WIRE_FERRY_HANDOVER | others[i]);
        return_path_put_shut(world.dest, 0);
        expect_success(&world, (uint16_t)(WIRE_FERRY_HANDOVER | others[i]));
    }
}

/* A reason is only one for what follows it. */
static void test_reason_and_success(void)
{
    World world;

    world_init(&world);
    return_path_put_reason(world.dest, "just talking");
    return_path_put_shut(world.dest, 0);
    expect_success(&world, 0);
}

/* Failure */

static void test_shut_1(void)
{
    static const uint32_t values[] = { 1, 2, UINT32_MAX };

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        World world;

        world_init(&world);
        return_path_put_pong(world.dest, WIRE_FERRY_HELLO);
        return_path_put_shut(world.dest, values[i]);
        expect_failure(&world, MIG_ERROR_PEER,
                       "the destination failed: it did not say why");
    }
}

static void test_reason(void)
{
    World world;

    world_init(&world);
    return_path_put_reason(world.dest, "first thoughts");
    return_path_put_reason(world.dest, "no disk \xe2\x82\xac");
    return_path_put_shut(world.dest, 1);
    expect_failure(&world, MIG_ERROR_PEER,
                   "the destination failed: no disk \xe2\x82\xac");
}

static void test_reason_is_cut(void)
{
    g_autofree char *sent = g_strnfill(5000, 'r');
    g_autofree char *text = g_strdup_printf("failed: %.1024s", sent);
    World world;

    world_init(&world);
    return_path_put_reason(world.dest, sent);
    g_assert_cmpuint(stream_position(world.dest), ==, 4 + 1024);
    return_path_put_shut(world.dest, 1);
    expect_failure(&world, MIG_ERROR_PEER, text);
}

static void test_reason_is_any_bytes(void)
{
    World world;

    world_init(&world);
    put_message(&world, WIRE_RP_FERRY_REASON, 4, "a\xff\xfe" "b");
    return_path_put_shut(world.dest, 1);
    expect_failure(&world, MIG_ERROR_PEER,
                   "failed: a\xef\xbf\xbd\xef\xbf\xbd" "b");
    world_init(&world);
    put_message(&world, WIRE_RP_FERRY_REASON, 0, "");
    return_path_put_shut(world.dest, 1);
    expect_failure(&world, MIG_ERROR_PEER, "the destination failed: ");
    world_init(&world);
    put_message(&world, WIRE_RP_FERRY_REASON, 3, "a\0b");
    return_path_put_shut(world.dest, 1);
    expect_failure(&world, MIG_ERROR_PEER, "the destination failed: a");
}

/* Nor are colours, or anything else that a terminal would do. */
static void test_reason_is_shown(void)
{
    World world;

    world_init(&world);
    put_message(&world, WIRE_RP_FERRY_REASON, 8, "\033[1m\302\2331m");
    return_path_put_shut(world.dest, 1);
    expect_failure(&world, MIG_ERROR_PEER, "the destination failed: ?[1m?1m");
}

static void test_long_reason(void)
{
    g_autofree char *text = g_strnfill(65535, 'r');
    World world;

    world_init(&world);
    put_message(&world, WIRE_RP_FERRY_REASON, 1024, text);
    return_path_put_shut(world.dest, 0);
    expect_success(&world, 0);
    world_init(&world);
    put_message(&world, WIRE_RP_FERRY_REASON, 1025, text);
    expect_failure(&world, MIG_ERROR_STREAM,
                   "return path: message 18002 with 1025 bytes is not one");
}

static void test_bad_messages(void)
{
    static const struct {
        uint16_t type, length;
        const char *name; /* what it is instead */
    } rows[] = {
        { 0, 4 }, { 1, 0 }, { 1, 3 }, { 1, 5 }, { 2, 0 }, { 2, 8 },
        { 3, 20, "postcopy" }, { 4, 12, "postcopy" }, { 5, 4, "postcopy" },
        { 6, 4, "postcopy" }, { 7, 0, "switchover-ack" }, { 8, 4 },
        { 0x1503, 0x0300, "TLS" }, { 0x1603, 0x0301, "TLS" },
        { 0xfe46, 0x5245, "a ferry-relay" }, { 65535, 65535 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdup_printf(
            "return path: message %u with %u bytes is not one that a "
            "destination may send%s%s", rows[i].type, rows[i].length,
            rows[i].name ? ", but " : "", rows[i].name ? rows[i].name : "");
        World world;

        world_init(&world);
        stream_put_be16(world.dest, rows[i].type);
        stream_put_be16(world.dest, rows[i].length);
        expect_failure(&world, MIG_ERROR_STREAM, text);
    }
}

/* The end of the channel, after each number of bytes of these messages. */
static void test_eof(void)
{
    static const char bytes[] = "\0\2\0\4FRY1"       /* PONG */
                                "\x46\x52\0\3why"  /* REASON */
                                "\0\1\0\4\0\0\0";  /* SHUT, and almost 0 */

    for (size_t size = 0; size < sizeof(bytes); size++) {
        g_autofree char *text = g_strdup_printf("at byte %zu of", size);
        World world;

        world_init(&world);
        stream_put_bytes(world.dest, bytes, size);
        flush(&world);
        io_channel_free(g_steal_pointer(&world.ends[1]));
        expect_failure(&world, MIG_ERROR_EOF, text);
    }
}

static void test_aborted(void)
{
    World world;

    world_init(&world);
    io_channel_abort(world.ends[0]);
    expect_failure(&world, MIG_ERROR_CANCELLED, "");
}

/* Freed while it listens. */
static void test_free(void)
{
    World world;

    world_init(&world);
    world_destroy(&world);
    return_path_free(NULL);
}

/* No system has a stack of this size to give. */
static void test_no_thread(void)
{
    MemReader *r = mem_reader_new_static("", 0);
    g_autoptr(GError) err = NULL;
    pthread_attr_t usual, huge;
    ReturnPath *rp;

    pthread_getattr_default_np(&usual);
    pthread_getattr_default_np(&huge);
    pthread_attr_setstacksize(&huge, (size_t)1 << 48);
    pthread_setattr_default_np(&huge);
    rp = return_path_new(r->channel, &ear, NULL, &err);
    pthread_setattr_default_np(&usual);
    g_assert_null(rp);
    g_assert_nonnull(strstr(err->message, "mig/src/rp"));
    pthread_attr_destroy(&huge);
    pthread_attr_destroy(&usual);
    mem_reader_free(r);
}

/* The bytes that QEMU reads. */
static void test_bytes(void)
{
    static const char expected[] = "\0\2\0\4\x12\x34\x56\x78"
                                   "\x46\x52\0\3why"
                                   "\0\1\0\4\0\0\0\1";
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;

    return_path_put_pong(w->stream, 0x12345678);
    return_path_put_reason(w->stream, "why");
    return_path_put_shut(w->stream, 1);
    bytes = mem_writer_finish(w);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                    expected, sizeof(expected) - 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/return-path/shut-0", test_shut_0);
    g_test_add_func("/return-path/shut-0/too-early", test_shut_too_early);
    g_test_add_func("/return-path/pong", test_pong);
    g_test_add_func("/return-path/pong/other", test_other_pong);
    g_test_add_func("/return-path/features", test_features);
    g_test_add_func("/return-path/reason-and-success",
                    test_reason_and_success);
    g_test_add_func("/return-path/shut-1", test_shut_1);
    g_test_add_func("/return-path/reason", test_reason);
    g_test_add_func("/return-path/reason/cut", test_reason_is_cut);
    g_test_add_func("/return-path/reason/any-bytes",
                    test_reason_is_any_bytes);
    g_test_add_func("/return-path/reason/shown", test_reason_is_shown);
    g_test_add_func("/return-path/reason/too-long", test_long_reason);
    g_test_add_func("/return-path/bad-messages", test_bad_messages);
    g_test_add_func("/return-path/has-refused", test_has_refused);
    g_test_add_func("/return-path/eof", test_eof);
    g_test_add_func("/return-path/aborted", test_aborted);
    g_test_add_func("/return-path/free", test_free);
    g_test_add_func("/return-path/no-thread", test_no_thread);
    g_test_add_func("/return-path/bytes", test_bytes);
    return g_test_run();
}
