/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * If anything fails before the destination has taken over, the guest runs on at
 * the source, and both sides can say why.
 */
#include <glib.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migration/wire/wire.h"
#include "tests/lib/bare-peer.h"
#include "tests/lib/pair.h"
#include "util/endian.h"

static void assert_says(Migration *m, const char *what)
{
    MigInfo info;

    mig_query(m, &info);
    g_test_message("%s", info.error);
    g_assert_nonnull(info.error);
    g_assert_nonnull(strstr(info.error, what));
    mig_info_clear(&info);
}

static void test_other_ram(void)
{
    static const uint64_t pages[] = { 301, 70 };
    Pair *pair = pair_new();

    fake_host_free(pair->dst_host);
    pair->dst_host = fake_host_new(pages, 2);
    pair_start(pair);
    pair_assert_stayed(pair, MIG_STATE_FAILED);
    assert_says(pair->src, "bytes of RAM");
    assert_says(pair->dst, "bytes of RAM");
    pair_free(pair);
}

/*
 * A proxy between the two that can end the connection at a message of the
 * return path.
 */
typedef enum {
    CUT_BEFORE_SHUT, /* the source does not hear that it was loaded */
    CUT_BEFORE_GO,   /* the destination does not hear that it may run */
    /* Nothing is cut, but somebody cancels while SHUT is on its way. */
    CANCEL_SRC,
    CANCEL_DST,
} Cut;

typedef struct Proxy {
    Cut cut;
    Pair *pair;
    IoChannel *src;  /* the source's other end */
    IoChannel *dst;  /* the destination's other end */
    bool cut_now;    /* atomic */
} Proxy;

static bool forward(IoChannel *from, IoChannel *to, uint8_t *buf, size_t size,
                    size_t *nread)
{
    return io_channel_read(from, buf, size, nread, NULL) && *nread > 0 &&
           (!to || io_channel_writev(to, &(GOutputVector){ buf, *nread }, 1,
                                     NULL));
}

static void *forward_stream(void *arg)
{
    g_autofree uint8_t *buf = g_malloc(1 << 16);
    Proxy *proxy = arg;
    size_t nread;

    for (;;) {
        /* GO is sent only after SHUT has come, so it is read alone. */
        bool ok = io_channel_read(proxy->src, buf, 1 << 16, &nread, NULL);

        if (!ok || nread == 0 ||
            __atomic_load_n(&proxy->cut_now, __ATOMIC_SEQ_CST) ||
            !io_channel_writev(proxy->dst, &(GOutputVector){ buf, nread }, 1,
                               NULL)) {
            break;
        }
    }
    io_channel_finish(proxy->dst, NULL);
    return NULL;
}

static void *forward_return_path(void *arg)
{
    Proxy *proxy = arg;
    uint8_t message[8]; /* all are PONG or SHUT, of this size */
    size_t nread;

    while (forward(proxy->dst, NULL, message, sizeof(message), &nread)) {
        g_assert_cmpuint(nread, ==, sizeof(message));
        if (load_be16(message) == WIRE_RP_SHUT) {
            __atomic_store_n(&proxy->cut_now, proxy->cut <= CUT_BEFORE_GO,
                             __ATOMIC_SEQ_CST);
            if (proxy->cut == CUT_BEFORE_SHUT) {
                break;
            }
            if (proxy->cut >= CANCEL_SRC) {
                mig_cancel(proxy->cut == CANCEL_SRC ? proxy->pair->src
                                                    : proxy->pair->dst,
                           NULL);
            }
        }
        io_channel_writev(proxy->src, &(GOutputVector){ message, nread }, 1,
                          NULL);
    }
    io_channel_finish(proxy->src, NULL);
    return NULL;
}

static void run_proxied(Pair *pair, Cut cut)
{
    IoChannel *left[2], *right[2];
    Proxy proxy = { .cut = cut, .pair = pair };
    pthread_t thread[2];

    g_assert_true(io_channel_pair(left, NULL));
    g_assert_true(io_channel_pair(right, NULL));
    proxy.src = left[1];
    proxy.dst = right[0];
    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    pair->dst = mig_new(&fake_mig_host, pair->dst_host, &pair->options);
    g_assert_cmpint(pthread_create(&thread[0], NULL, forward_stream, &proxy),
                    ==, 0);
    g_assert_cmpint(pthread_create(&thread[1], NULL, forward_return_path,
                                   &proxy), ==, 0);
    g_assert_true(mig_receive(pair->dst, right[1], NULL));
    g_assert_true(mig_send(pair->src, left[0], NULL));
    mig_wait(pair->src, NULL);
    mig_wait(pair->dst, NULL);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    io_channel_free(proxy.src);
    io_channel_free(proxy.dst);
}

/* Everything is loaded, but the source does not know: it keeps the guest. */
static void test_cut_before_shut(void)
{
    Pair *pair = pair_new();

    run_proxied(pair, CUT_BEFORE_SHUT);
    pair_assert_stayed(pair, MIG_STATE_FAILED);
    assert_says(pair->dst, "did not hand the guest over");
    pair_free(pair);
}

/* The one message whose loss leaves the guest running nowhere: never twice. */
static void test_cut_before_go(void)
{
    Pair *pair = pair_new();

    run_proxied(pair, CUT_BEFORE_GO);
    g_assert_true(mig_wait(pair->src, NULL));
    g_assert_false(fake_host_running(pair->src_host));
    g_assert_false(mig_wait(pair->dst, NULL));
    g_assert_false(fake_host_running(pair->dst_host));
    assert_says(pair->dst, "did not hand the guest over");
    pair_free(pair);
}

/* The source is cancelled before it has heard: it keeps the guest. */
static void test_cancel_source_at_shut(void)
{
    Pair *pair = pair_new();

    run_proxied(pair, CANCEL_SRC);
    pair_assert_stayed(pair, MIG_STATE_CANCELLED);
    pair_free(pair);
}

/* A destination that has said that it has the guest cannot be cancelled: the
 * source may have given it up. */
static void test_cancel_destination_at_shut(void)
{
    Pair *pair = pair_new();

    run_proxied(pair, CANCEL_DST);
    pair_assert_moved(pair);
    pair_free(pair);
}

static GBytes *recorded_stream(void)
{
    Pair *pair = pair_new();
    GBytes *stream = peer_recorded_stream(pair);

    pair_free(pair);
    return stream;
}

/* The system does not take GO: the guest is still the source's. */
static void test_go_refused(void)
{
    g_autoptr(GBytes) stream = recorded_stream();
    Pair *pair = pair_new();
    int peer = peer_start(pair);

    peer_say(peer, peer_waits_for_go);
    peer_say(peer, peer_pong);
    peer_read(peer, g_bytes_get_size(stream) + PEER_ASKS);
    g_assert_cmpint(shutdown(peer, SHUT_RD), ==, 0);
    peer_say(peer, peer_shut_0);
    g_assert_false(mig_wait(pair->src, NULL));
    g_assert_true(fake_host_running(pair->src_host));
    g_assert_cmpuint(fake_host_calls(pair->src_host, FAKE_VM_RESUME), ==, 1);
    close(peer);
    pair_free(pair);
}

/* A peer that does not read any more, but does not say so either: the guest
 * does not wait for the reason. */
static bool stop_reading(FakeHost *host, FakePoint point, unsigned nth,
                         GError **errp)
{
    if (point == FAKE_PRE_SAVE) {
        g_assert_cmpint(shutdown(*(int *)host->hook_data, SHUT_RD), ==, 0);
    }
    return true;
}

static void *read_all(void *arg)
{
    uint8_t buf[4096];

    while (read(*(int *)arg, buf, sizeof(buf)) > 0) {
        continue;
    }
    return NULL;
}

static void test_half_closed(void)
{
    Pair *pair = pair_new();
    pthread_t reader;
    int peer;

    pair->src_host->hook = stop_reading;
    pair->src_host->hook_data = &peer;
    peer = peer_start(pair);
    peer_say(peer, peer_pong);
    g_assert_cmpint(pthread_create(&reader, NULL, read_all, &peer), ==, 0);
    g_assert_false(mig_wait(pair->src, NULL));
    g_assert_true(fake_host_running(pair->src_host));
    pthread_join(reader, NULL);
    close(peer);
    pair_free(pair);
}

/* A source that is not Ferry may send no vmdescription, and leave the channel
 * open: the guest runs, and that is what the destination says. */
static void test_open_end(void)
{
    g_autoptr(GBytes) stream = recorded_stream();
    size_t size;
    const uint8_t *bytes = g_bytes_get_data(stream, &size);
    size_t end = peer_find_eof(stream) + 1;
    Pair *pair = pair_new();
    IoChannel *ends[2];
    MigInfo info;

    g_assert_true(io_channel_pair(ends, NULL));
    pair->dst = mig_new(&fake_mig_host, pair->dst_host, &pair->options);
    g_assert_true(mig_receive(pair->dst, ends[1], NULL));
    g_assert_true(io_channel_writev(ends[0],
                                    &(GOutputVector){ bytes, end }, 1, NULL));
    do {
        sched_yield();
        mig_query(pair->dst, &info);
        mig_info_clear(&info);
    } while (info.state != MIG_STATE_COMPLETED);
    g_assert_true(fake_host_running(pair->dst_host));
    mig_free(g_steal_pointer(&pair->dst));
    io_channel_free(ends[0]);
    pair_free(pair);
}

/* Once a source has come nobody else can connect. */
static void test_one_connection(void)
{
    static const uint8_t header[] = { 'Q', 'E', 'V', 'M', 0, 0, 0, 3 };
    g_autoptr(IoUri) any = io_uri_parse("tcp:127.0.0.1:0", NULL);
    IoListener *listener = io_listener_new(any, NULL);
    g_autoptr(IoUri) uri = io_uri_parse(io_listener_address(listener), NULL);
    Pair *pair = pair_new();
    IoChannel *first;
    MigInfo info;

    pair->dst = mig_new(&fake_mig_host, pair->dst_host, &pair->options);
    g_assert_true(mig_receive_from(pair->dst, listener, NULL));
    first = io_channel_connect(uri, NULL, NULL);
    io_channel_writev(first, &(GOutputVector){ header, sizeof(header) }, 1,
                      NULL);
    do {
        sched_yield();
        mig_query(pair->dst, &info);
        mig_info_clear(&info);
    } while (info.state != MIG_STATE_ACTIVE);
    g_assert_null(io_channel_connect(uri, NULL, NULL));
    io_channel_free(first);
    g_assert_false(mig_wait(pair->dst, NULL));
    pair_free(pair);
}

/* A destination fed rubbish says what was wrong and never runs. */
typedef struct Rubbish {
    const char *name;
    const char *bytes;
    size_t size;
    const char *says;
} Rubbish;

#define BYTES(text) text, sizeof(text) - 1
#define OPEN     "\10\0\1\0\0" /* the command OPEN_RETURN_PATH */
#define PREAMBLE "QEVM\0\0\0\3\7\0\0\0\10fake-1.0"

static const Rubbish rubbish[] = {
    { "nothing", "", 0, "the channel ended at byte 0" },
    { "http", BYTES("GET / HTTP/1.0\r\n\r\n"), "not a migration stream" },
    { "version", BYTES("QEVM\0\0\0\2"), "stream version 2" },
    { "cut", BYTES("QEVM\0\0\0\3\7\0\0"), "the channel ended at byte 11" },
    { "machine", BYTES("QEVM\0\0\0\3\7\0\0\0\4q35!\1"),
      "Machine type received is 'q35!' and local is 'fake-1.0'" },
    { "section", BYTES(PREAMBLE "\x55"), "unknown section type 0x55" },
    { "eof", BYTES(PREAMBLE "\0"), "before RAM has begun" },
    { "part", BYTES(PREAMBLE "\2\0\0\0\1"), "before RAM has begun" },
    { "device", BYTES(PREAMBLE "\4\0\0\0\1\4fake\0\0\0\0\0\0\0\1"),
      "before RAM has begun" },
    { "iterable", BYTES(PREAMBLE "\1\0\0\0\1\5block\0\0\0\0\0\0\0\1"),
      "iterable section 'block'" },
    { "ram-version", BYTES(PREAMBLE "\1\0\0\0\1\3ram\0\0\0\0\0\0\0\3"),
      "version 3" },
    { "command", BYTES(PREAMBLE "\10\0\3\0\0"), "command 3" },
    { "ping", BYTES(PREAMBLE "\10\0\2\0\4\0\0\0\1"), "without a return path" },
    { "open-twice", BYTES(PREAMBLE OPEN OPEN), "is open already" },
    { "early-go", BYTES(PREAMBLE OPEN "\10\0\2\0\4FRY1\10\0\2\0\4FRGO"),
      "GO before the end" },
};

static void test_rubbish(gconstpointer data)
{
    const Rubbish *r = data;
    Pair *pair = pair_new();
    IoChannel *ends[2];

    g_assert_true(io_channel_pair(ends, NULL));
    pair->dst = mig_new(&fake_mig_host, pair->dst_host, &pair->options);
    g_assert_true(mig_receive(pair->dst, ends[1], NULL));
    g_assert_true(io_channel_writev(ends[0],
                                    &(GOutputVector){ r->bytes, r->size }, 1,
                                    NULL));
    g_assert_true(io_channel_finish(ends[0], NULL));
    g_assert_false(mig_wait(pair->dst, NULL));
    assert_says(pair->dst, r->says);
    g_assert_cmpuint(fake_host_calls(pair->dst_host, FAKE_VM_START), ==, 0);
    io_channel_free(ends[0]);
    pair_free(pair);
}

/* A source that was recorded, or sends through a pipe, may have asked for a
 * return path: it gets no answer, and its stream is loaded all the same. */
static void test_ping_one_way(void)
{
    static const char bytes[] = PREAMBLE OPEN "\10\0\2\0\4\0\0\0\1\x55";
    g_autoptr(GInputStream) in =
        g_memory_input_stream_new_from_data(bytes, sizeof(bytes) - 1, NULL);
    Pair *pair = pair_new();

    pair->dst = mig_new(&fake_mig_host, pair->dst_host, &pair->options);
    g_assert_true(mig_receive(pair->dst, io_channel_new("memory", in, NULL),
                              NULL));
    g_assert_false(mig_wait(pair->dst, NULL));
    assert_says(pair->dst, "unknown section type 0x55");
    pair_free(pair);
}

/* A destination that says it has loaded everything, before it can have. */
static void test_early_shut(void)
{
    Pair *pair = pair_new();
    IoChannel *ends[2];

    g_assert_true(io_channel_pair(ends, NULL));
    g_assert_true(io_channel_writev(ends[1],
                                    &(GOutputVector){ peer_shut_0, 8 }, 1,
                                    NULL));
    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    g_assert_true(mig_send(pair->src, ends[0], NULL));
    /* Nobody reads, and there is more than the channel takes. */
    g_assert_false(mig_wait(pair->src, NULL));
    assert_says(pair->src, "before it was sent");
    g_assert_true(fake_host_running(pair->src_host));
    io_channel_free(ends[1]);
    pair_free(pair);
}

/* A command that the stream goes through says by its status that it failed. */
static void test_exec_fails(void)
{
    g_autoptr(IoUri) uri = io_uri_parse("exec:cat >/dev/null; exit 3", NULL);
    g_autoptr(GError) err = NULL;
    Pair *pair;

    if (!uri) {
        g_test_skip("built without exec: URIs");
        return;
    }
    pair = pair_new();
    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    g_assert_true(mig_send_to(pair->src, uri, NULL));
    g_assert_false(mig_wait(pair->src, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_IO);
    assert_says(pair->src, "status 3");
    g_assert_true(fake_host_running(pair->src_host));
    pair_free(pair);
}

/* Nobody listens. */
static void test_no_connection(void)
{
    Pair *pair = pair_new();
    g_autoptr(IoUri) uri = io_uri_parse("unix:/nonexistent/socket", NULL);

    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    g_assert_true(mig_send_to(pair->src, uri, NULL));
    g_assert_false(mig_wait(pair->src, NULL));
    assert_says(pair->src, "/nonexistent/socket");
    g_assert_true(fake_host_running(pair->src_host));
    g_assert_cmpuint(fake_host_calls(pair->src_host, FAKE_LOG_START), ==, 0);
    pair_free(pair);
}

static void add(const char *group, const char *name, const void *data,
                GTestDataFunc test)
{
    g_autofree char *path = g_strdup_printf("/rollback/%s/%s", group, name);

    g_test_add_data_func(path, data, test);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rubbish); i++) {
        add("rubbish", rubbish[i].name, &rubbish[i], test_rubbish);
    }
    g_test_add_func("/rollback/other-ram", test_other_ram);
    g_test_add_func("/rollback/cut-before-shut", test_cut_before_shut);
    g_test_add_func("/rollback/cut-before-go", test_cut_before_go);
    g_test_add_func("/rollback/cancel-source-at-shut",
                    test_cancel_source_at_shut);
    g_test_add_func("/rollback/cancel-destination-at-shut",
                    test_cancel_destination_at_shut);
    g_test_add_func("/rollback/go-refused", test_go_refused);
    g_test_add_func("/rollback/half-closed", test_half_closed);
    g_test_add_func("/rollback/open-end", test_open_end);
    g_test_add_func("/rollback/one-connection", test_one_connection);
    g_test_add_func("/rollback/ping-one-way", test_ping_one_way);
    g_test_add_func("/rollback/early-shut", test_early_shut);
    g_test_add_func("/rollback/exec-fails", test_exec_fails);
    g_test_add_func("/rollback/no-connection", test_no_connection);
    return g_test_run();
}
