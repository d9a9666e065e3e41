/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry/uri.h: what parses and to what, what is refused and with which words,
 * and that everything survives being written out and parsed again.
 */
#include <gio/gio.h>
#include <string.h>

#include "io/io-internal.h"

/* The text is written out as canonical, or as itself where that is NULL. */
typedef struct ValidRow {
    const char *text;
    const char *canonical;
    IoUri uri;
} ValidRow;

#define TEXT(s)       ((char *)(s))
#define TCP(h, p) \
    { .kind = IO_URI_TCP, .fd = -1, .host = TEXT(h), .port = (p) }
#define UNIX(p)       { .kind = IO_URI_UNIX, .fd = -1, .path = TEXT(p) }
#define FD(n)         { .kind = IO_URI_FD, .fd = (n) }
#define EXEC(c)       { .kind = IO_URI_EXEC, .fd = -1, .command = TEXT(c) }
#define FILE_AT(p, o) \
    { .kind = IO_URI_FILE, .fd = -1, .path = TEXT(p), .offset = (o) }

static const ValidRow valid_rows[] = {
    { "tcp:host:4444", NULL, TCP("host", 4444) },
    { "tcp:192.0.2.1:1", NULL, TCP("192.0.2.1", 1) },
    { "tcp:a.example.org:65535", NULL, TCP("a.example.org", 65535) },
    { "tcp::4444", NULL, TCP("", 4444) },
    { "tcp:0:4444", "tcp:0.0.0.0:4444", TCP("0.0.0.0", 4444) },
    { "tcp:127.1:4444", "tcp:127.0.0.1:4444", TCP("127.0.0.1", 4444) },
    { "tcp:0x7f.1:4444", "tcp:127.0.0.1:4444", TCP("127.0.0.1", 4444) },
    { "tcp:cafe:4444", NULL, TCP("cafe", 4444) },
    { "tcp:host:0", NULL, TCP("host", 0) },
    { "tcp:host:00080", "tcp:host:80", TCP("host", 80) },
    { "tcp:[2001:db8::1]:4444", NULL, TCP("2001:db8::1", 4444) },
    { "tcp:[::]:4444", NULL, TCP("::", 4444) },
    { "tcp:[fe80::1%eth0]:1", NULL, TCP("fe80::1%eth0", 1) },
    { "tcp:[::ffff:192.0.2.1]:1", NULL, TCP("::ffff:192.0.2.1", 1) },
    { "unix:/run/vm.sock", NULL, UNIX("/run/vm.sock") },
    { "unix:a b,c:d", NULL, UNIX("a b,c:d") },
    { "fd:0", NULL, FD(0) },
    { "fd:2147483647", NULL, FD(2147483647) },
    { "exec:cat > /x", NULL, EXEC("cat > /x") },
    { "exec: cat", NULL, EXEC(" cat") },
    { "file:/x", NULL, FILE_AT("/x", 0) },
    { "file:a,b", NULL, FILE_AT("a,b", 0) },
    { "file:a,offsets=1", NULL, FILE_AT("a,offsets=1", 0) },
    { "file:a,offset=0", "file:a", FILE_AT("a", 0) },
    { "file:a,offset=4096", NULL, FILE_AT("a", 4096) },
    { "file:a,b,offset=1", NULL, FILE_AT("a,b", 1) },
    { "file:a,offset=3K", "file:a,offset=3072", FILE_AT("a", 3072) },
    { "file:a,offset=1m", "file:a,offset=1048576", FILE_AT("a", 1048576) },
    { "file:a,offset=2G", "file:a,offset=2147483648",
      FILE_AT("a", 2147483648) },
    { "file:a,offset=0x1F", "file:a,offset=31", FILE_AT("a", 31) },
    { "file:a,offset=0X10K", "file:a,offset=16384", FILE_AT("a", 16384) },
    { "file:a,offset=010", "file:a,offset=10", FILE_AT("a", 10) },
    { "file:a,offset=9223372036854775807", NULL, FILE_AT("a", INT64_MAX) },
    { "file:a,offset=1,offset=0", NULL, FILE_AT("a,offset=1", 0) },
    { "file:a,offset=x,offset=2", NULL, FILE_AT("a,offset=x", 2) },
};

static void assert_same(const IoUri *got, const IoUri *want)
{
    g_assert_cmpint(got->kind, ==, want->kind);
    g_assert_cmpstr(got->host, ==, want->host);
    g_assert_cmpuint(got->port, ==, want->port);
    g_assert_cmpstr(got->path, ==, want->path);
    g_assert_cmpstr(got->command, ==, want->command);
    g_assert_cmpint(got->fd, ==, want->fd);
    g_assert_cmpuint(got->offset, ==, want->offset);
}

/* In a build without exec: URIs they say so. */
static bool is_left_out(const ValidRow *row)
{
    g_autoptr(GError) err = NULL;
    IoUri *uri;

    if (row->uri.kind != IO_URI_EXEC || io_exec_is_built_in(NULL)) {
        return false;
    }
    uri = io_uri_parse(row->text, &err);
    g_assert_null(uri);
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
    g_assert_nonnull(strstr(err->message, row->text));
    g_assert_nonnull(strstr(err->message, "this build has no exec: URIs"));
    return true;
}

static void check_valid(const ValidRow *row)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(IoUri) uri = io_uri_parse(row->text, &err);

    g_assert_no_error(err);
    assert_same(uri, &row->uri);
}

static void test_valid(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(valid_rows); i++) {
        g_test_message("%s", valid_rows[i].text);
        if (!is_left_out(&valid_rows[i])) {
            check_valid(&valid_rows[i]);
        }
    }
}

static void test_round_trip(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(valid_rows); i++) {
        const ValidRow *row = &valid_rows[i];
        g_autofree char *text = io_uri_to_string(&row->uri);
        g_autoptr(IoUri) again = io_uri_parse(text, NULL);

        g_assert_cmpstr(text, ==, row->canonical ? row->canonical : row->text);
        if (!is_left_out(row)) {
            g_assert_nonnull(again);
            assert_same(again, &row->uri);
        }
    }
}

static void test_copy(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(valid_rows); i++) {
        IoUri *first = io_uri_copy(&valid_rows[i].uri);
        g_autoptr(IoUri) copy = io_uri_copy(first);

        io_uri_free(first);
        assert_same(copy, &valid_rows[i].uri);
    }
    io_uri_free(NULL);
}

/* says: what the message must contain. */
static const struct {
    const char *text;
    const char *says;
} invalid_rows[] = {
    { "", "Parameter 'uri' expects a valid migration protocol" },
    { "tcp", "Parameter 'uri' expects a valid migration protocol" },
    { "foo:bar", "Parameter 'uri' expects a valid migration protocol" },
    { "TCP:host:1", "Parameter 'uri' expects a valid migration protocol" },
    { " tcp:host:1", "Parameter 'uri' expects a valid migration protocol" },
    { "tcp:", "':' and a port must follow the host" },
    { "tcp:host", "':' and a port must follow the host" },
    { "tcp:host:", "port '' is not a number" },
    { "tcp::", "port '' is not a number" },
    { "tcp:host:abc", "port 'abc' is not a number" },
    { "tcp:host:65536", "port '65536' is not a number from 0 to 65535" },
    { "tcp:host:-1", "port '-1' is not" },
    { "tcp:host:+1", "port '+1' is not" },
    { "tcp:host: 1", "port ' 1' is not" },
    { "tcp:host:1 ", "port '1 ' is not" },
    { "tcp:host:1,ipv4=on", "port '1,ipv4=on' is not" },
    { "tcp:host:99999999999999999999", "is not a number from 0 to 65535" },
    { "tcp:2001:db8::1:4444", "'2001:db8::1' must stand in brackets" },
    { "tcp:[::1:4444", "']' is missing" },
    { "tcp:[", "']' is missing" },
    { "tcp:[]:4444", "'' is not an IPv6 address" },
    { "tcp:[host]:4444", "'host' is not an IPv6 address" },
    { "tcp:[127.0.0.1]:4444", "'127.0.0.1' is not an IPv6 address" },
    { "tcp:[::1]", "':' and a port must follow ']'" },
    { "tcp:[::1]4444", "':' and a port must follow ']'" },
    { "tcp:[::1]:", "port '' is not a number" },
    { "tcp:[::1]:x", "port 'x' is not a number" },
    { "tcp:::1]:4444", "must stand in brackets" },
    { "tcp:ho]st:1", "bracket inside the host 'ho]st'" },
    { "unix:", "the path is empty" },
    { "fd:", "'' is not the number of a descriptor" },
    { "fd:-1", "'-1' is not the number of a descriptor" },
    { "fd:name", "'name' is not the number of a descriptor" },
    { "fd:3x", "'3x' is not the number of a descriptor" },
    { "fd:2147483648", "'2147483648' is not the number of a descriptor" },
    { "exec:", "the command is empty" },
    { "exec: \t\n", "the command is empty" },
    { "file:", "the path is empty" },
    { "file:,offset=1", "the path is empty" },
    { "file:a,offset=", "offset '' is not a number" },
    { "file:a,offset=junk", "offset 'junk' is not a number" },
    { "file:a,offset=-1", "offset '-1' is not a number" },
    { "file:a,offset= 1", "offset ' 1' is not a number" },
    { "file:a,offset=K", "offset 'K' is not a number" },
    { "file:a,offset=0x", "offset '0x' is not a number" },
    { "file:a,offset=0xg", "offset '0xg' is not a number" },
    { "file:a,offset=0x0x1", "offset '0x0x1' is not a number" },
    { "file:a,offset=1T", "with the suffix K, M or G" },
    { "file:a,offset=1KB", "with the suffix K, M or G" },
    { "file:a,offset=1.5", "with the suffix K, M or G" },
    { "file:a,offset=1,b", "offset '1,b' is not a number" },
    { "file:a,offset=9223372036854775808", "is too large" },
    { "file:a,offset=99999999999999999999", "is too large" },
    { "file:a,offset=8589934592G", "is too large" },
};

static void test_invalid(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(invalid_rows); i++) {
        g_autoptr(GError) err = NULL;
        IoUri *uri = io_uri_parse(invalid_rows[i].text, &err);

        g_test_message("%s", invalid_rows[i].text);
        g_assert_null(uri);
        g_assert_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
        g_test_message("%s", err->message);
        g_assert_nonnull(strstr(err->message, invalid_rows[i].says));
    }
}

/* A host need not ask the parser. */
static void test_no_exec(void)
{
    const IoUri uri = EXEC("touch started");
    g_autoptr(GError) err = NULL;
    IoListener *listener;

    g_assert_null(io_channel_connect(&uri, NULL, &err));
    g_assert_cmpstr(err->message, ==,
                    "exec:touch started: this build has no exec: URIs");
    g_clear_error(&err);
    listener = io_listener_new(&uri, NULL);
    g_assert_null(io_listener_accept(listener, NULL, &err));
    g_assert_cmpstr(err->message, ==,
                    "exec:touch started: this build has no exec: URIs");
    io_listener_free(listener);
}

/* A monitor passes this on as it is, so nothing may stand around it. */
static void test_unknown_scheme(void)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(io_uri_parse("foo:bar", &err));
    g_assert_cmpstr(err->message, ==,
                    "Parameter 'uri' expects a valid migration protocol");
}

static void test_message_names_uri(void)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(io_uri_parse("tcp:host:abc", &err));
    g_assert_cmpstr(err->message, ==,
                    "invalid URI 'tcp:host:abc': "
                    "port 'abc' is not a number from 0 to 65535");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/uri/valid", test_valid);
    g_test_add_func("/uri/round-trip", test_round_trip);
    g_test_add_func("/uri/copy", test_copy);
    g_test_add_func("/uri/invalid", test_invalid);
    g_test_add_func("/uri/unknown-scheme", test_unknown_scheme);
    g_test_add_func("/uri/message-names-uri", test_message_names_uri);
    if (!io_exec_is_built_in(NULL)) {
        g_test_add_func("/uri/no-exec", test_no_exec);
    }
    return g_test_run();
}
