/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io_listener_admit(): strangers neither end a wait nor hold it up.  The wanted
 * peer says "welcome!" here.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/admit-kit.h"
#include "tests/unit/channel-kit.h"

#define MANY  100 /* strangers, three times as many as are heard at once */
#define HEARD 33  /* of them, at most */

static Wait *wait_at(const char *uri)
{
    return wait_start(listen_at(uri), NULL);
}

static IoChannel *connect_and_say(Wait *wait, const char *text)
{
    IoChannel *channel = connect_to(wait_address(wait));

    write_text(channel, text);
    return channel;
}

/* The wanted one comes; and is heard from its first byte on. */
static void end_well(Wait *wait)
{
    IoChannel *client = connect_and_say(wait, "welcome! and more");
    IoChannel *server = wait_end(wait);
    char byte;
    size_t got;

    g_assert_true(io_channel_has_input(server));
    g_assert_true(io_channel_read(server, &byte, 1, &got, NULL));
    g_assert_cmpint(byte, ==, 'w');
    g_assert_true(io_channel_has_input(server));
    finish(client);
    assert_reads(server, "elcome! and more");
    io_channel_free(server);
    io_channel_free(client);
}

static void test_probe(void)
{
    Wait *wait = wait_at("tcp:127.0.0.1:0");

    io_channel_free(connect_to(wait_address(wait)));
    await_warning(wait, "127.0.0.1:");
    await_warning(wait, " was turned away: tcp:127.0.0.1:");
    await_warning(wait, "it left without a word");
    end_well(wait);
}

static void test_leaves_early(void)
{
    Wait *wait = wait_at("unix:socket");
    g_autofree char *who = g_strdup_printf("process %ld of user %ld was",
                                           (long)getpid(), (long)getuid());

    io_channel_free(connect_and_say(wait, "welc"));
    await_warning(wait, who);
    await_warning(wait, "it left before it had said who it is");
    end_well(wait);
}

static void test_garbage(void)
{
    Wait *wait = wait_at("tcp:localhost:0");
    IoChannel *stranger = connect_and_say(wait, "GET / HTTP/1.0\r\n\r\n");

    await_warning(wait, "not welcome");
    assert_hung_up(stranger);
    end_well(wait);
}

/* One that says nothing, and one that has begun; the other is first. */
static void test_silent(void)
{
    Wait *wait = wait_at("tcp:127.0.0.1:0");
    IoChannel *silent = connect_to(wait_address(wait));
    IoChannel *slow = connect_and_say(wait, "wel");

    end_well(wait);
    assert_hung_up(silent);
    assert_hung_up(slow);
    await_warning(NULL, "another one was first");
}

static void test_byte_by_byte(void)
{
    Wait *wait = wait_at("tcp:127.0.0.1:0");
    IoChannel *client = connect_to(wait_address(wait));
    IoChannel *server;

    for (const char *c = "welcome!"; *c; c++) {
        write_bytes(client, c, 1, NULL);
        io_channel_free(connect_to(wait_address(wait))); /* meanwhile */
    }
    server = wait_end(wait);
    finish(client);
    assert_reads(server, "welcome!");
    io_channel_free(server);
    io_channel_free(client);
}

static void test_patience(void)
{
    Wait *wait = wait_start_with(listen_at("tcp:127.0.0.1:0"), NULL, 20);
    IoChannel *silent = connect_to(wait_address(wait));
    IoChannel *slow = connect_and_say(wait, "wel");

    assert_hung_up(silent);
    assert_hung_up(slow);
    await_warning(wait, "it has not said within 0.02 seconds who it is");
    wait_cancel(wait);
}

/* The first strangers leave first, and the wanted peer need not wait. */
static void test_many(void)
{
    Wait *wait = wait_at("tcp:127.0.0.1:0");
    IoChannel *strangers[MANY];

    for (unsigned i = 0; i < MANY; i++) {
        strangers[i] = connect_to(wait_address(wait));
    }
    for (unsigned i = 0; i < MANY - HEARD; i++) {
        assert_hung_up(strangers[i]);
    }
    await_warning(wait, "many others have come since");
    end_well(wait);
    for (unsigned i = MANY - HEARD; i < MANY; i++) {
        assert_hung_up(strangers[i]);
    }
}

static void test_cancel(void)
{
    Wait *wait = wait_at("tcp:127.0.0.1:0");
    IoChannel *silent, *slow;

    wait_cancel(wait);

    wait = wait_at("tcp:127.0.0.1:0");
    silent = connect_to(wait_address(wait));
    slow = connect_and_say(wait, "wel");
    io_channel_free(connect_to(wait_address(wait)));
    await_warning(wait, "left"); /* so those before it have been let in */
    wait_cancel(wait);
    assert_hung_up(silent);
    assert_hung_up(slow);
}

static void test_cancelled_before(void)
{
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    g_autoptr(GError) err = NULL;

    g_cancellable_cancel(cancel);
    g_assert_null(io_listener_admit(listener, &welcome, cancel, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_true(g_str_has_prefix(err->message, "tcp:127.0.0.1:"));
    io_listener_free(listener);
}

/* What nobody connects to is nobody's to judge. */
static void test_file(void)
{
    IoListener *listener;
    IoChannel *channel;

    g_assert_true(g_file_set_contents("file", "anything", -1, NULL));
    listener = listen_at("file:file");
    channel = io_listener_admit(listener, &welcome, NULL, NULL);
    assert_reads(channel, "anything");
    io_channel_free(channel);
    io_listener_free(listener);
}

/* If accepting fails for a while, for want of descriptors, the wait goes on. */
static void test_accept_fails(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    Wait *wait = wait_start(listener, NULL);
    GSocket *socket = io_sockets_of(listener)->pdata[0];
    g_autoptr(GSocketAddress) address = NULL;
    g_autofree char *uri = NULL;
    IoChannel *client;

    g_assert_cmpint(shutdown(g_socket_get_fd(socket), SHUT_RD), ==, 0);
    await_warning(wait, ": cannot accept a connection, and will try again: ");
    g_assert_cmpint(listen(g_socket_get_fd(socket), 10), ==, 0);
    address = g_socket_get_local_address(socket, NULL); /* another port */
    uri = g_strdup_printf("tcp:127.0.0.1:%u", g_inet_socket_address_get_port(
                                        G_INET_SOCKET_ADDRESS(address)));
    client = connect_to(uri);
    write_text(client, "welcome!");
    io_channel_free(wait_end(wait));
    io_channel_free(client);
}

static const ChannelTest tests[] = {
    { "admit/probe", test_probe },
    { "admit/leaves-early", test_leaves_early },
    { "admit/garbage", test_garbage },
    { "admit/silent", test_silent },
    { "admit/byte-by-byte", test_byte_by_byte },
    { "admit/patience", test_patience },
    { "admit/many", test_many },
    { "admit/cancel", test_cancel },
    { "admit/cancelled-before", test_cancelled_before },
    { "admit/file", test_file },
    { "admit/accept-fails", test_accept_fails },
};

int main(int argc, char **argv)
{
    return run_channel_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
