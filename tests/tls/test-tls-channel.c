/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS as ferry/channel.h promises it: what comes out, which peers are refused,
 * what both ends say then, and that a thread that waits can be stopped.
 * certificates.py has made the folder CERTIFICATES.
 */
#include <gio/gio.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ferry/channel.h"
#include "tests/unit/channel-kit.h"

/* One end: its folder, and its result, to be read once its thread is joined. */
typedef struct End {
    IoChannel *channel;
    const char *creds; /* of CERTIFICATES; NULL: speaks no TLS */
    const char *hostname; /* NULL: accepts */
    GError *err;
    pthread_t thread;
} End;

static void *end_main(void *opaque)
{
    End *end = opaque;
    g_autofree char *creds = g_canonicalize_filename(end->creds, CERTIFICATES);
    bool ok = end->hostname
                  ? io_channel_tls_connect(end->channel, creds, end->hostname,
                                           &end->err)
                  : io_channel_tls_accept(end->channel, creds, &end->err);

    g_assert_cmpint(ok, ==, !end->err);
    return NULL;
}

static void end_start(End *end)
{
    g_assert_cmpint(pthread_create(&end->thread, NULL, end_main, end), ==, 0);
}

static void end_join(End *end)
{
    pthread_join(end->thread, NULL);
}

/* Both over a socket pair, when it is decided what becomes of them. */
static void shake_hands(End *server, End *client)
{
    IoChannel *ends[2];

    make_pair(ends);
    server->channel = ends[0];
    client->channel = ends[1];
    end_start(server);
    end_start(client);
    end_join(client);
    if (client->err) {
        io_channel_free(g_steal_pointer(&client->channel)); /* hang up */
    }
    end_join(server);
}

static void assert_says(GError **err, const char *text)
{
    g_assert_nonnull(*err);
    g_test_message("%s", (*err)->message);
    if (!strstr((*err)->message, text)) {
        g_error("\"%s\" does not say \"%s\"", (*err)->message, text);
    }
    g_clear_error(err);
}

static void make_tls_pair(IoChannel *ends[2])
{
    End server = { .creds = "good" };
    End client = { .creds = "good", .hostname = "localhost" };

    shake_hands(&server, &client);
    g_assert_no_error(server.err);
    g_assert_no_error(client.err);
    ends[0] = server.channel;
    ends[1] = client.channel;
}

static void test_transfer(void)
{
    IoChannel *ends[2];

    make_tls_pair(ends);
    check_two_way(ends[0], ends[1]);
    make_tls_pair(ends);
    check_two_way(ends[1], ends[0]);
}

static void test_tcp(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    End client = { .creds = "good", .hostname = "127.0.0.1" };
    End server = { .creds = "good" };

    client.channel = connect_to(io_listener_address(listener));
    server.channel = accept_from(listener);
    io_listener_free(listener);
    end_start(&server);
    end_start(&client);
    end_join(&server);
    end_join(&client);
    g_assert_no_error(server.err);
    g_assert_no_error(client.err);
    check_two_way(client.channel, server.channel);
}

/* What is on the wire is not what was written. */
static void test_secret(void)
{
    static const char secret[] = "nobody else may read these words";
    End server = { .creds = "good" };
    End client = { .creds = "good", .hostname = "localhost" };
    g_autofree char *seen = g_malloc0(65536);
    g_autofree char *server_uri = NULL;
    g_autofree char *client_uri = NULL;
    int fds[2], spy;
    ssize_t size;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    spy = dup(fds[0]);
    server_uri = fd_uri(fds[0]);
    client_uri = fd_uri(fds[1]);
    server.channel = open_reader(server_uri);
    client.channel = connect_to(client_uri);
    end_start(&server);
    end_start(&client);
    end_join(&server);
    end_join(&client);
    g_assert_no_error(server.err);
    g_assert_no_error(client.err);
    write_text(client.channel, secret);
    size = recv(spy, seen, 65536, MSG_PEEK);
    g_assert_cmpint(size, >, sizeof(secret));
    g_assert_null(memmem(seen, (size_t)size, secret, strlen(secret)));
    finish(client.channel);
    assert_reads(server.channel, secret);
    close(spy);
    io_channel_free(server.channel);
    io_channel_free(client.channel);
}

/* Names and addresses that the certificate has. */
static void test_names(void)
{
    static const char *const names[] = { "localhost", "LOCALHOST",
                                         "127.0.0.1", "::1",
                                         "0:0:0:0:0:0:0:1" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        End server = { .creds = "good" };
        End client = { .creds = "good", .hostname = names[i] };

        shake_hands(&server, &client);
        g_assert_no_error(server.err);
        g_assert_no_error(client.err);
        io_channel_free(server.channel);
        io_channel_free(client.channel);
    }
}

#define BROKEN "the handshake failed (is tls-creds set at the other end? " \
               "did it refuse us?): "

static const struct {
    const char *server, *client, *hostname, *client_says;
} client_refuses[] = {
    { "foreign", "good", "localhost", "is not signed by the CA" },
    { "good", "foreign", "localhost", "is not signed by the CA" },
    { "good", "good", "otherhost",
      "certificate is for another host (tls-hostname 'otherhost')" },
    { "good", "good", "127.0.0.2", "is for another host" },
    { "good", "good", "::2", "is for another host" },
    { "good", "good", "ferry-server", "is for another host" },
    { "elsewhere", "good", "localhost", "is for another host" },
    { "expired", "good", "localhost", "certificate has expired" },
    { "future", "good", "localhost", "certificate is not valid yet" },
};

static void test_client_refuses(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(client_refuses); i++) {
        End server = { .creds = client_refuses[i].server };
        End client = { .creds = client_refuses[i].client,
                       .hostname = client_refuses[i].hostname };

        shake_hands(&server, &client);
        g_assert_true(g_str_has_prefix(client.err->message, "pair:1: TLS: "));
        g_assert_true(g_str_has_prefix(server.err->message,
                                       "pair:0: TLS: " BROKEN));
        assert_says(&client.err, client_refuses[i].client_says);
        assert_says(&server.err, BROKEN);
        io_channel_free(server.channel);
    }
}

/* Of TLS 1.3 the client's part is done when the server refuses. */
static void check_server_refuses(const char *server_creds,
                                 const char *client_creds, const char *says)
{
    End server = { .creds = server_creds };
    End client = { .creds = client_creds, .hostname = "localhost" };
    size_t nread;
    char buf[1];

    shake_hands(&server, &client);
    g_assert_true(g_str_has_prefix(server.err->message, "pair:0: TLS: "));
    assert_says(&server.err, says);
    io_channel_free(server.channel);
    if (client.channel) {
        if (io_channel_read(client.channel, buf, 1, &nread, &client.err)) {
            g_assert_cmpuint(nread, ==, 0);
        } else {
            assert_says(&client.err, "the peer may have refused our "
                        "certificate");
        }
        io_channel_free(client.channel);
    }
    g_clear_error(&client.err);
}

static void test_server_refuses(void)
{
    check_server_refuses("good", "expired", "certificate has expired");
    check_server_refuses("good", "future", "certificate is not valid yet");
}

/* One whose server trusts another CA than the client has its certificate of:
 * folders put together from two. */
static char *mixed_folder(const char *ca, const char *certificates)
{
    static const char *const files[] = { "server-cert.pem", "server-key.pem",
                                         "client-cert.pem", "client-key.pem" };
    g_autofree char *folder = g_get_current_dir();
    g_autofree char *from = g_build_filename(CERTIFICATES, ca, "ca-cert.pem",
                                             NULL);

    g_assert_cmpint(symlink(from, "ca-cert.pem"), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(CERTIFICATES, certificates,
                                                 files[i], NULL);

        g_assert_cmpint(symlink(path, files[i]), ==, 0);
    }
    return g_steal_pointer(&folder);
}

static void test_foreign_client(void)
{
    g_autofree char *mixed = mixed_folder("good", "foreign");

    check_server_refuses("good", mixed, "is not signed by the CA");
}

static bool has_gnutls(void)
{
#ifdef HAVE_GNUTLS
    return true;
#else
    return false;
#endif
}

static void test_revoked(void)
{
    IoChannel *ends[2];
    End server = { .creds = "revoked" };
    End client = { .creds = "wary", .hostname = "localhost" };

    if (!has_gnutls()) {
        check_server_refuses("wary", "good", "ca-crl.pem: this build cannot");
        return;
    }
    check_server_refuses("wary", "revoked",
                         "ca-crl.pem: the peer's certificate has been "
                         "revoked");
    check_server_refuses("stale", "good", "ca-crl.pem: it is out of date");
    shake_hands(&server, &client);
    assert_says(&client.err, "has been revoked");
    g_clear_error(&server.err);
    io_channel_free(server.channel);
    make_pair(ends);
    server = (End){ .creds = "wary", .channel = ends[0] };
    client.channel = ends[1];
    end_start(&server);
    end_start(&client);
    end_join(&server);
    end_join(&client);
    g_assert_no_error(server.err);
    g_assert_no_error(client.err);
    check_two_way(server.channel, client.channel);
}

/* A file that is no list is not "no list". */
static void test_bad_list(void)
{
    g_autofree char *mixed = mixed_folder("good", "good");

    g_assert_true(g_file_set_contents("ca-crl.pem", "rubbish", -1, NULL));
    check_server_refuses(mixed, "good", "ca-crl.pem: ");
}

/* --- peers that speak no TLS ---- */

static void check_plain_peer(const char *hostname, const char *text)
{
    IoChannel *ends[2];
    End end = { .creds = "good", .hostname = hostname };

    make_pair(ends);
    end.channel = ends[0];
    end_start(&end);
    write_text(ends[1], text);
    finish(ends[1]);
    end_join(&end);
    assert_says(&end.err, "pair:0: TLS: " BROKEN);
    io_channel_free(ends[0]);
    io_channel_free(ends[1]);
}

static void test_plain_peer(void)
{
    g_autofree char *much = g_strnfill(100000, 'x');

    check_plain_peer(NULL, "QEVM\0\0\0\3");
    check_plain_peer("localhost", "QEVM");
    check_plain_peer(NULL, "");
    check_plain_peer("localhost", "");
    check_plain_peer(NULL, "\x16\x03\x01\x02");
    check_plain_peer(NULL, much);
    check_plain_peer("localhost", much);
}

/* --- channels and folders that will not do ---- */

static void refuse_folder(const char *creds, const char *hostname,
                          const char *says)
{
    IoChannel *ends[2];
    End end = { .creds = creds, .hostname = hostname };

    make_pair(ends);
    end.channel = ends[0];
    end_main(&end);
    assert_says(&end.err, says);
    io_channel_free(ends[0]);
    /* Not a byte has gone out. */
    assert_reads(ends[1], "");
    io_channel_free(ends[1]);
}

static void test_bad_folders(void)
{
    g_autofree char *folder = NULL;

    refuse_folder("nothing", NULL, "nothing/server-cert.pem");
    refuse_folder("nothing", "localhost", "nothing/client-key.pem");
    folder = mixed_folder("nothing", "good");
    refuse_folder(folder, NULL, "ca-cert.pem");
    g_assert_cmpint(unlink("ca-cert.pem"), ==, 0);
    g_assert_true(g_file_set_contents("ca-cert.pem", "rubbish", -1, NULL));
    refuse_folder(folder, NULL, "ca-cert.pem");
    g_assert_cmpint(unlink("client-cert.pem"), ==, 0);
    refuse_folder(folder, "localhost", "client-cert.pem");
    g_assert_true(g_file_set_contents("client-cert.pem", "rubbish", -1, NULL));
    refuse_folder(folder, "localhost", "client-cert.pem");
}

static void test_only_sockets(void)
{
    IoChannel *channel = connect_to("file:file");
    g_autoptr(GError) err = NULL;

    g_assert_false(io_channel_tls_connect(channel, CERTIFICATES "/good",
                                          "localhost", &err));
    assert_says(&err, "file:file: TLS: tls-creds is set, and only sockets can "
                "be encrypted");
    io_channel_free(channel);
    assert_contents("file", "");
}

/* --- ends ---- */

/* Without TLS's own end of file, what came may have been cut off. */
static void test_cut_off(void)
{
    IoChannel *ends[2];
    size_t nread;
    char buf[100];
    g_autoptr(GError) err = NULL;

    make_tls_pair(ends);
    write_text(ends[0], "text");
    io_channel_read(ends[1], buf, sizeof(buf), &nread, &err);
    g_assert_no_error(err);
    g_assert_cmpmem(buf, nread, "text", 4);
    io_channel_free(ends[0]);
    g_assert_false(io_channel_read(ends[1], buf, sizeof(buf), &nread, &err));
    g_assert_error(err, G_TLS_ERROR, G_TLS_ERROR_EOF);
    io_channel_free(ends[1]);
}

/* A handshake with a peer that is silent, once something has been sent. */
static void check_abort_handshake(const char *hostname)
{
    IoChannel *ends[2];
    End end = { .creds = "good", .hostname = hostname };
    size_t nread;
    char buf[1000];
    g_autoptr(GError) err = NULL;

    make_pair(ends);
    end.channel = ends[0];
    end_start(&end);
    if (hostname) { /* a server waits for us */
        io_channel_read(ends[1], buf, sizeof(buf), &nread, &err);
        g_assert_no_error(err);
        g_assert_cmpuint(nread, >, 0);
    }
    io_channel_abort(ends[0]);
    end_join(&end);
    g_assert_error(end.err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    assert_says(&end.err, "pair:0: TLS: ");
    io_channel_free(ends[0]);
    io_channel_free(ends[1]);
}

static void test_abort_handshake(void)
{
    check_abort_handshake("localhost");
    check_abort_handshake(NULL);
}

static void *read_main(void *opaque)
{
    End *end = opaque;
    size_t nread;
    char buf[1];

    g_assert_false(io_channel_read(end->channel, buf, 1, &nread, &end->err));
    return NULL;
}

static void *write_main(void *opaque)
{
    End *end = opaque;
    g_autofree uint8_t *bulk = make_bulk();

    g_assert_false(write_bytes(end->channel, bulk, BULK_SIZE, &end->err));
    return NULL;
}

/* A reader and a writer at the same time, and one abort for both. */
static void test_abort(void)
{
    IoChannel *ends[2];
    End reader = { 0 }, writer = { 0 };
    size_t nread;
    char buf[1];
    g_autoptr(GError) err = NULL;

    make_tls_pair(ends);
    reader.channel = writer.channel = ends[0];
    pthread_create(&reader.thread, NULL, read_main, &reader);
    pthread_create(&writer.thread, NULL, write_main, &writer);
    io_channel_read(ends[1], buf, 1, &nread, &err);
    g_assert_no_error(err);
    io_channel_abort(ends[0]);
    end_join(&reader);
    end_join(&writer);
    g_assert_error(reader.err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_error(writer.err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_clear_error(&reader.err);
    g_clear_error(&writer.err);
    io_channel_free(ends[0]);
    io_channel_free(ends[1]);
}

static const ChannelTest tests[] = {
    { "tls/transfer", test_transfer },
    { "tls/tcp", test_tcp },
    { "tls/secret", test_secret },
    { "tls/names", test_names },
    { "tls/client-refuses", test_client_refuses },
    { "tls/server-refuses", test_server_refuses },
    { "tls/foreign-client", test_foreign_client },
    { "tls/revoked", test_revoked },
    { "tls/bad-list", test_bad_list },
    { "tls/plain-peer", test_plain_peer },
    { "tls/bad-folders", test_bad_folders },
    { "tls/only-sockets", test_only_sockets },
    { "tls/cut-off", test_cut_off },
    { "tls/abort-handshake", test_abort_handshake },
    { "tls/abort", test_abort },
};

int main(int argc, char **argv)
{
    if (!g_tls_backend_supports_tls(g_tls_backend_get_default())) {
        g_print("1..0 # SKIP GIO finds no TLS (glib-networking)\n");
        return 0;
    }
    return run_channel_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
