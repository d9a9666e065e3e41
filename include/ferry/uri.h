/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Migration URIs, as QEMU spells them:
 *
 *     tcp:HOST:PORT         tcp:[2001:db8::1]:4444   tcp::4444 (any address)
 *                           tcp:0:4444 (0.0.0.0, and so on, as inet_aton(3))
 *     unix:PATH
 *     fd:NUMBER
 *     exec:COMMAND          run by /bin/sh -c; refused in a build without exec
 *     file:PATH[,offset=N]  N in bytes; suffixes K, M, G; 0x for hexadecimal
 */
#ifndef FERRY_URI_H
#define FERRY_URI_H

#include <glib.h>
#include <stdint.h>

G_BEGIN_DECLS

typedef enum {
    IO_URI_TCP,
    IO_URI_UNIX,
    IO_URI_FD,
    IO_URI_EXEC,
    IO_URI_FILE,
} IoUriKind;

typedef struct IoUri {
    IoUriKind kind;
    char *host;      /* tcp: name or address without brackets, "" for any */
    uint16_t port;   /* tcp; 0 lets a listener choose */
    char *path;      /* unix, file */
    char *command;   /* exec */
    int fd;          /* fd */
    uint64_t offset; /* file, in bytes */
} IoUri;

/*
 * NULL and G_IO_ERROR_INVALID_ARGUMENT when text is not such a URI.  The error
 * for an unknown scheme is QEMU's: "Parameter 'uri' expects a valid migration
 * protocol".
 */
IoUri *io_uri_parse(const char *text, GError **errp);
IoUri *io_uri_copy(const IoUri *uri);
char *io_uri_to_string(const IoUri *uri);
void io_uri_free(IoUri *uri); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(IoUri, io_uri_free)

G_END_DECLS

#endif
