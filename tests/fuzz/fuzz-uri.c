/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What parses can be written out, and parses to the same again. */
#include "ferry/uri.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(IoUri) uri = io_uri_parse(text, NULL);
    g_autoptr(IoUri) again = NULL;
    g_autofree char *written = NULL;
    g_autofree char *rewritten = NULL;

    if (!uri) {
        return 0;
    }
    written = io_uri_to_string(uri);
    again = io_uri_parse(written, NULL);
    g_assert_nonnull(again);
    rewritten = io_uri_to_string(again);
    g_assert_cmpstr(written, ==, rewritten);
    g_assert_cmpint(uri->kind, ==, again->kind);
    g_assert_cmpstr(uri->host, ==, again->host);
    g_assert_cmpint(uri->port, ==, again->port);
    g_assert_cmpstr(uri->path, ==, again->path);
    g_assert_cmpstr(uri->command, ==, again->command);
    g_assert_cmpint(uri->fd, ==, again->fd);
    g_assert_cmpuint(uri->offset, ==, again->offset);
    return 0;
}
