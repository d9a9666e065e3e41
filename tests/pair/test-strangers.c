/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A destination that waits at a socket takes only its source, whatever other
 * peers connect. */
#include <glib/gstdio.h>
#include <string.h>

#include "io/io-internal.h"
#include "tests/lib/pair.h"

#define MANY 50 /* strangers, more than are heard at once */

typedef struct Waiting {
    Pair *pair;
    IoUri *uri; /* where the destination waits */
} Waiting;

static void drop_warning(const char *domain, GLogLevelFlags level,
                         const char *text, void *opaque)
{
    g_test_message("%s", text);
}

static void waiting_init(Waiting *w, const char *address)
{
    g_autoptr(IoUri) uri = io_uri_parse(address, NULL);
    IoListener *listener = io_listener_new(uri, NULL);

    w->pair = pair_new();
    w->uri = io_uri_copy(io_listener_uri(listener));
    w->pair->dst = mig_new(&fake_mig_host, w->pair->dst_host,
                           &w->pair->options);
    g_assert_true(mig_receive_from(w->pair->dst, listener, NULL));
}

static void waiting_destroy(Waiting *w)
{
    io_uri_free(w->uri);
    pair_free(w->pair);
}

static MigState state_of(Migration *m)
{
    MigInfo info;

    mig_query(m, &info);
    mig_info_clear(&info);
    return info.state;
}

static IoChannel *stranger(const Waiting *w, const void *says, size_t size)
{
    IoChannel *channel = io_channel_connect(w->uri, NULL, NULL);

    g_assert_nonnull(channel);
    g_assert_true(io_channel_writev(
        channel, &(GOutputVector){ says, size }, 1, NULL));
    return channel;
}

static void assert_hung_up(IoChannel *channel)
{
    char byte;
    size_t got = 0;

    if (io_channel_read(channel, &byte, 1, &got, NULL)) {
        g_assert_cmpuint(got, ==, 0);
    }
    io_channel_free(channel);
}

/* A stranger that must be turned away by what it says alone. */
static void refuse(const Waiting *w, const void *says, size_t size)
{
    assert_hung_up(stranger(w, says, size));
    g_assert_cmpint(state_of(w->pair->dst), ==, MIG_STATE_SETUP);
}

static void test_move(gconstpointer address)
{
    Waiting w;
    Pair *pair;
    IoChannel *silent[MANY];

    waiting_init(&w, address);
    pair = w.pair;
    io_channel_free(stranger(&w, "", 0));
    refuse(&w, "GET / HTTP/1.0\r\n\r\n", 18);
    refuse(&w, "QEVM\0\0\0\2", 8);
    refuse(&w, "\x16\x03\x01\0\0\0\0\0", 8);
    for (unsigned i = 0; i < MANY; i++) {
        silent[i] = stranger(&w, "QEV", i % 4);
    }
    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    g_assert_true(mig_send_to(pair->src, w.uri, NULL));
    pair_assert_moved(pair);
    for (unsigned i = 0; i < MANY; i++) {
        assert_hung_up(silent[i]);
    }
    g_assert_null(io_channel_connect(w.uri, NULL, NULL));
    waiting_destroy(&w);
}

/* While a peer is in the middle of the header. */
static void test_cancel(void)
{
    Waiting w;
    IoChannel *slow;
    GError *err = NULL;

    waiting_init(&w, "tcp:127.0.0.1:0");
    slow = stranger(&w, "QEVM", 4);
    refuse(&w, "garbage!", 8); /* slow has been let in by then */
    g_assert_true(mig_cancel(w.pair->dst, NULL));
    g_assert_false(mig_wait(w.pair->dst, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_CANCELLED);
    g_clear_error(&err);
    assert_hung_up(slow);
    waiting_destroy(&w);
}

/* A source that cannot encrypt, whatever the reason, has not connected. */
static void refuse_to_connect(IoListener *listener, const char *hostname,
                              const char *says)
{
    const GPtrArray *sockets = io_sockets_of(listener);
    Pair *pair = pair_new();
    GError *err = NULL;

    g_assert_true(mig_options_set_text(
        &pair->options, mig_option(MIG_OPT_TLS_CREDS), "/nonexistent", NULL));
    g_assert_true(mig_options_set_text(
        &pair->options, mig_option(MIG_OPT_TLS_HOSTNAME), hostname, NULL));
    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    g_assert_true(mig_send_to(pair->src, io_listener_uri(listener), NULL));
    g_assert_false(mig_wait(pair->src, &err));
    g_test_message("%s", err->message);
    g_assert_nonnull(strstr(err->message, says));
    g_error_free(err);
    g_assert_cmpint(g_socket_condition_check(sockets->pdata[0], G_IO_IN), ==,
                    0);
    pair_free(pair);
}

static void test_own_credentials(void)
{
    g_autoptr(IoUri) uri = io_uri_parse("tcp:127.0.0.1:0", NULL);
    IoListener *listener = io_listener_new(uri, NULL);

    refuse_to_connect(listener, "localhost", "TLS: ");
    io_listener_free(listener);
}

/* A destination that cannot encrypt says so before anybody comes. */
static void test_own_credentials_to_receive(void)
{
    g_autoptr(IoUri) uri = io_uri_parse("tcp:127.0.0.1:0", NULL);
    Pair *pair = pair_new();
    GError *err = NULL;

    g_assert_true(mig_options_set_text(
        &pair->options, mig_option(MIG_OPT_TLS_CREDS), "/nonexistent", NULL));
    pair->dst = mig_new(&fake_mig_host, pair->dst_host, &pair->options);
    g_assert_true(mig_receive_from(pair->dst, io_listener_new(uri, NULL),
                                   NULL));
    g_assert_false(mig_wait(pair->dst, &err));
    g_assert_true(g_str_has_prefix(err->message, "TLS: "));
    g_error_free(err);
    pair_free(pair);
}

int main(int argc, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("ferry-XXXXXX", NULL);
    g_autofree char *unix_uri = g_strdup_printf("unix:%s/socket", dir);
    int status;

    g_test_init(&argc, &argv, NULL);
    /* Warnings are what strangers cause. */
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    g_log_set_handler("ferry", G_LOG_LEVEL_WARNING, drop_warning, NULL);
    g_test_add_data_func("/strangers/tcp", "tcp:127.0.0.1:0", test_move);
    g_test_add_data_func("/strangers/unix", unix_uri, test_move);
    g_test_add_func("/strangers/cancel", test_cancel);
    g_test_add_func("/strangers/own-credentials", test_own_credentials);
    g_test_add_func("/strangers/own-credentials-to-receive",
                    test_own_credentials_to_receive);
    status = g_test_run();
    g_rmdir(dir);
    return status;
}
