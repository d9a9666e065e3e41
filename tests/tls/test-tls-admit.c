/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io_listener_admit() with encryption: a handshake that fails, or does not
 * end, is a stranger's like any other.  CERTIFICATES is what certificates.py
 * has made.
 */
#include <string.h>

#include "tests/lib/admit-kit.h"
#include "tests/unit/channel-kit.h"

/* Handshakes at once: more than GIO has threads to begin with. */
#define MANY 25

static Wait *wait_with(const char *creds)
{
    return wait_start(listen_at("tcp:127.0.0.1:0"), creds);
}

static Wait *wait_encrypted(void)
{
    return wait_with(CERTIFICATES "/good");
}

static IoChannel *connect_and_say(Wait *wait, const void *says, size_t size)
{
    IoChannel *channel = connect_to(wait_address(wait));

    write_bytes(channel, says, size, NULL);
    return channel;
}

/* The first bytes of TLS's first message, and no more. */
static IoChannel *get_stuck(Wait *wait)
{
    return connect_and_say(wait, "\x16\x03\x01\x02\x00\x01", 6);
}

static void end_well(Wait *wait)
{
    IoChannel *client = connect_to(wait_address(wait));
    IoChannel *server;
    GError *err = NULL;

    io_channel_tls_connect(client, CERTIFICATES "/good", "127.0.0.1", &err);
    g_assert_no_error(err);
    write_text(client, "welcome! and more");
    server = wait_end(wait);
    g_assert_true(io_channel_is_encrypted(server));
    g_assert_true(io_channel_has_input(server));
    write_text(server, "back");
    finish(server);
    finish(client);
    assert_reads(server, "welcome! and more");
    assert_reads(client, "back");
    io_channel_free(server);
    io_channel_free(client);
}

static void test_probe(void)
{
    Wait *wait = wait_encrypted();

    io_channel_free(connect_to(wait_address(wait)));
    await_warning(wait, "TLS: the handshake failed");
    end_well(wait);
}

static void test_plain(void)
{
    Wait *wait = wait_encrypted();

    assert_hung_up(connect_and_say(wait, "welcome!", 8));
    await_warning(wait, "TLS: the handshake failed");
    end_well(wait);
}

static void test_foreign(void)
{
    Wait *wait = wait_encrypted();
    IoChannel *client = connect_to(wait_address(wait));

    /* It takes our certificate, if it is to be refused for its own. */
    io_channel_tls_connect(client, CERTIFICATES "/foreign", "127.0.0.1",
                           NULL);
    io_channel_free(client);
    await_warning(wait, "was turned away");
    client = connect_to(wait_address(wait));
    io_channel_tls_connect(client, CERTIFICATES "/expired", "127.0.0.1",
                           NULL);
    io_channel_free(client);
    await_warning(wait, "TLS: the peer's certificate has expired");
    end_well(wait);
}

static void test_silent(void)
{
    Wait *wait = wait_encrypted();
    IoChannel *silent = connect_to(wait_address(wait));

    end_well(wait);
    assert_hung_up(silent);
}

/* An encrypted peer is a stranger until it has said its first bytes. */
static void test_encrypted_and_silent(void)
{
    Wait *wait = wait_encrypted();
    IoChannel *silent = connect_to(wait_address(wait));

    g_assert_true(io_channel_tls_connect(silent, CERTIFICATES "/good",
                                         "127.0.0.1", NULL));
    end_well(wait);
    io_channel_free(silent);
}

static void get_many_stuck(Wait *wait, IoChannel *stuck[MANY])
{
    for (unsigned i = 0; i < MANY; i++) {
        stuck[i] = get_stuck(wait);
    }
}

static void assert_all_hung_up(IoChannel *stuck[MANY])
{
    for (unsigned i = 0; i < MANY; i++) {
        assert_hung_up(stuck[i]);
    }
}

static void test_stuck(void)
{
    Wait *wait = wait_encrypted();
    IoChannel *stuck[MANY];

    get_many_stuck(wait, stuck);
    end_well(wait);
    assert_all_hung_up(stuck);
}

static void test_cancel(void)
{
    Wait *wait = wait_encrypted();
    IoChannel *stuck[MANY];

    get_many_stuck(wait, stuck);
    /* The peers that came before have been accepted by then. */
    assert_hung_up(connect_and_say(wait, "welcome!", 8));
    wait_cancel(wait);
    assert_all_hung_up(stuck);
}

static void test_patience(void)
{
    Wait *wait = wait_start_with(listen_at("tcp:127.0.0.1:0"),
                                 CERTIFICATES "/good", 20);

    assert_hung_up(get_stuck(wait));
    await_warning(wait, "it has not said within 0.02 seconds who it is");
    wait_cancel(wait);
}

/* The log says whose fault it is.  The next peer may find it corrected. */
static void test_own_folder(void)
{
    Wait *wait = wait_with(CERTIFICATES "/nothing");

    assert_hung_up(connect_and_say(wait, "welcome!", 8));
    await_warning(wait, "TLS: cannot load " CERTIFICATES
                        "/nothing/server-cert.pem");
    wait_cancel(wait);
}

static void assert_unfit(const char *creds, bool accepts, const char *says)
{
    g_autofree char *folder = g_canonicalize_filename(creds, CERTIFICATES);
    g_autoptr(GError) err = NULL;

    g_assert_false(io_channel_tls_check(folder, accepts, &err));
    g_test_message("%s", err->message);
    g_assert_true(g_str_has_prefix(err->message, "TLS: "));
    g_assert_nonnull(strstr(err->message, says));
}

static void test_check(void)
{
    g_assert_true(io_channel_tls_check(CERTIFICATES "/good", true, NULL));
    g_assert_true(io_channel_tls_check(CERTIFICATES "/good", false, NULL));
    g_assert_true(io_channel_tls_check(CERTIFICATES "/wary", false, NULL));
    assert_unfit("nothing", true, "server-key.pem");
    assert_unfit("nothing", false, "client-key.pem");
    assert_unfit("stale", false, "ca-crl.pem: it is out of date");
}

static const ChannelTest tests[] = {
    { "tls-admit/probe", test_probe },
    { "tls-admit/plain", test_plain },
    { "tls-admit/foreign", test_foreign },
    { "tls-admit/silent", test_silent },
    { "tls-admit/encrypted-and-silent", test_encrypted_and_silent },
    { "tls-admit/stuck", test_stuck },
    { "tls-admit/cancel", test_cancel },
    { "tls-admit/patience", test_patience },
    { "tls-admit/own-folder", test_own_folder },
    { "tls-admit/check", test_check },
};

int main(int argc, char **argv)
{
    if (!g_tls_backend_supports_tls(g_tls_backend_get_default())) {
        g_print("1..0 # SKIP GIO finds no TLS (glib-networking)\n");
        return 0;
    }
    return run_channel_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
