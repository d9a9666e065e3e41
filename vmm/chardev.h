/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices, QEMU's spelling:
 *
 *     stdio | null | file:PATH
 *     unix:PATH,server=on[,wait=off] | tcp:HOST:PORT,server=on[,wait=off]
 *
 * A socket always listens, and nobody waits for its client.
 */
#ifndef VMM_CHARDEV_H
#define VMM_CHARDEV_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    CHARDEV_NULL,
    CHARDEV_STDIO,
    CHARDEV_FILE,
    CHARDEV_UNIX,
    CHARDEV_TCP,
} ChardevKind;

typedef struct Chardev {
    ChardevKind kind;
    char *path;    /* file, unix */
    char *host;    /* tcp; "" for any address */
    uint16_t port; /* tcp */
} Chardev;

bool chardev_parse(Chardev *chardev, const char *text, GError **errp);
void chardev_clear(Chardev *chardev);
bool chardev_is_socket(const Chardev *chardev);

/* Standard input and output as one stream. */
GIOStream *chardev_stdio_stream(void);

/*
 * A listening socket, served by the default main context: connected is called
 * there for each client.  A unix socket is io_listener_unix_socket()'s, and is
 * removed when the listener is freed.
 */
typedef struct ChardevListener ChardevListener;
typedef void ChardevConnected(void *opaque, GSocketConnection *connection);

ChardevListener *chardev_listen(const Chardev *chardev,
                                ChardevConnected *connected, void *opaque,
                                GError **errp);
/* Let clients in, as at first, or let them wait. */
void chardev_listener_set_open(ChardevListener *listener, bool open);
void chardev_listener_free(ChardevListener *listener); /* NULL is fine */

#endif
