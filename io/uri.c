/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only URI parser.  A table maps each scheme to the parser of the text
 * behind its colon.  Those parsers say what is wrong; io_uri_parse() says
 * where.
 *
 * A URI that was parsed can be written out again, and then parses to the same
 * fields.  So IPv6 addresses get their brackets back, and a file's path may
 * contain ",offset=" itself: only the last one counts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <gio/gio.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "io/io-internal.h"

#define OFFSET_OPTION ",offset="

static bool G_GNUC_PRINTF(2, 3) invalid(GError **errp, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_propagate_error(errp, g_error_new_valist(G_IO_ERROR,
                                               G_IO_ERROR_INVALID_ARGUMENT,
                                               format, args));
    va_end(args);
    return false;
}

static bool parse_port(const char *text, uint16_t *port, GError **errp)
{
    guint64 value;

    if (!g_ascii_string_to_unsigned(text, 10, 0, UINT16_MAX, &value, NULL)) {
        return invalid(errp, "port '%s' is not a number from 0 to 65535", text);
    }
    *port = value;
    return true;
}

/* A zone ("%eth0") may follow the address. */
static bool is_ipv6(const char *text)
{
    g_autofree char *address = g_strndup(text, strcspn(text, "%"));
    struct in6_addr unused;

    return inet_pton(AF_INET6, address, &unused) == 1;
}

static bool parse_bracketed(const char *text, IoUri *uri, GError **errp)
{
    const char *close = strchr(text, ']');

    if (!close) {
        return invalid(errp, "']' is missing after the IPv6 address");
    }
    uri->host = g_strndup(text + 1, close - text - 1);
    if (!is_ipv6(uri->host)) {
        return invalid(errp, "'%s' is not an IPv6 address", uri->host);
    }
    if (close[1] != ':') {
        return invalid(errp, "':' and a port must follow ']'");
    }
    return parse_port(close + 2, &uri->port, errp);
}

/* Write out "0" and "127.1", which GLib would look up as names. */
static char *expand_ipv4(char *host)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr address;

    if (!host[0] || host[strspn(host, "0123456789abcdefABCDEFxX.")] ||
        !inet_aton(host, &address)) {
        return host;
    }
    g_free(host);
    return g_strdup(inet_ntop(AF_INET, &address, text, sizeof(text)));
}

static bool parse_tcp(const char *text, IoUri *uri, GError **errp)
{
    const char *colon = strrchr(text, ':');

    if (text[0] == '[') {
        return parse_bracketed(text, uri, errp);
    }
    if (!colon) {
        return invalid(errp, "':' and a port must follow the host");
    }
    uri->host = g_strndup(text, colon - text);
    if (strchr(uri->host, ':')) {
        return invalid(errp, "IPv6 address '%s' must stand in brackets",
                       uri->host);
    }
    if (strpbrk(uri->host, "[]")) {
        return invalid(errp, "bracket inside the host '%s'", uri->host);
    }
    uri->host = expand_ipv4(uri->host);
    return parse_port(colon + 1, &uri->port, errp);
}

static bool parse_unix(const char *text, IoUri *uri, GError **errp)
{
    if (text[0] == '\0') {
        return invalid(errp, "the path is empty");
    }
    uri->path = g_strdup(text);
    return true;
}

static bool parse_fd(const char *text, IoUri *uri, GError **errp)
{
    guint64 value;

    if (!g_ascii_string_to_unsigned(text, 10, 0, INT_MAX, &value, NULL)) {
        return invalid(errp, "'%s' is not the number of a descriptor", text);
    }
    uri->fd = value;
    return true;
}

static bool parse_exec(const char *text, IoUri *uri, GError **errp)
{
    if (text[strspn(text, " \t\n")] == '\0') {
        return invalid(errp, "the command is empty");
    }
    if (!io_exec_is_built_in(errp)) {
        return false;
    }
    uri->command = g_strdup(text);
    return true;
}

static int suffix_shift(char suffix)
{
    switch (g_ascii_toupper(suffix)) {
    case 'K':
        return 10;
    case 'M':
        return 20;
    case 'G':
        return 30;
    default:
        return 0;
    }
}

static bool parse_offset(const char *text, uint64_t *offset, GError **errp)
{
    bool hex = text[0] == '0' && g_ascii_tolower(text[1]) == 'x';
    uint64_t value;
    bool overflow;
    char *end;
    int shift;

    /* strtoull() would take white space, a sign, or no digit at all. */
    if (!(hex ? g_ascii_isxdigit(text[2]) : g_ascii_isdigit(text[0]))) {
        return invalid(errp, "offset '%s' is not a number", text);
    }
    errno = 0;
    value = g_ascii_strtoull(text, &end, hex ? 16 : 10);
    overflow = errno == ERANGE;
    shift = suffix_shift(*end);
    if (end[shift ? 1 : 0] != '\0') {
        return invalid(errp, "offset '%s' is not a number, optionally with "
                       "the suffix K, M or G", text);
    }
    if (overflow || value > (uint64_t)INT64_MAX >> shift) {
        return invalid(errp, "offset '%s' is too large", text);
    }
    *offset = value << shift;
    return true;
}

static bool parse_file(const char *text, IoUri *uri, GError **errp)
{
    const char *option = g_strrstr(text, OFFSET_OPTION);
    size_t length = option ? (size_t)(option - text) : strlen(text);

    if (length == 0) {
        return invalid(errp, "the path is empty");
    }
    uri->path = g_strndup(text, length);
    return !option ||
           parse_offset(option + strlen(OFFSET_OPTION), &uri->offset, errp);
}

static const struct {
    const char *prefix;
    IoUriKind kind;
    bool (*parse)(const char *text, IoUri *uri, GError **errp);
} schemes[] = {
    { "tcp:", IO_URI_TCP, parse_tcp },
    { "unix:", IO_URI_UNIX, parse_unix },
    { "fd:", IO_URI_FD, parse_fd },
    { "exec:", IO_URI_EXEC, parse_exec },
    { "file:", IO_URI_FILE, parse_file },
};

IoUri *io_uri_parse(const char *text, GError **errp)
{
    g_autoptr(IoUri) uri = g_new0(IoUri, 1);

    uri->fd = -1;
    for (size_t i = 0; i < G_N_ELEMENTS(schemes); i++) {
        if (!g_str_has_prefix(text, schemes[i].prefix)) {
            continue;
        }
        uri->kind = schemes[i].kind;
        if (!schemes[i].parse(text + strlen(schemes[i].prefix), uri, errp)) {
            g_prefix_error(errp, "invalid URI '%s': ", text);
            return NULL;
        }
        return g_steal_pointer(&uri);
    }
    invalid(errp, "Parameter 'uri' expects a valid migration protocol");
    return NULL;
}

IoUri *io_uri_copy(const IoUri *uri)
{
    IoUri *copy = g_new(IoUri, 1);

    *copy = *uri;
    copy->host = g_strdup(uri->host);
    copy->path = g_strdup(uri->path);
    copy->command = g_strdup(uri->command);
    return copy;
}

static char *file_to_string(const IoUri *uri)
{
    if (uri->offset == 0 && !strstr(uri->path, OFFSET_OPTION)) {
        return g_strdup_printf("file:%s", uri->path);
    }
    return g_strdup_printf("file:%s" OFFSET_OPTION "%" G_GUINT64_FORMAT,
                           uri->path, uri->offset);
}

char *io_uri_to_string(const IoUri *uri)
{
    switch (uri->kind) {
    case IO_URI_TCP:
        return g_strdup_printf(strchr(uri->host, ':') ? "tcp:[%s]:%u"
                                                      : "tcp:%s:%u",
                               uri->host, uri->port);
    case IO_URI_UNIX:
        return g_strdup_printf("unix:%s", uri->path);
    case IO_URI_FD:
        return g_strdup_printf("fd:%d", uri->fd);
    case IO_URI_EXEC:
        return g_strdup_printf("exec:%s", uri->command);
    case IO_URI_FILE:
        return file_to_string(uri);
    }
    g_assert_not_reached();
}

void io_uri_free(IoUri *uri)
{
    if (!uri) {
        return;
    }
    g_free(uri->host);
    g_free(uri->path);
    g_free(uri->command);
    g_free(uri);
}
