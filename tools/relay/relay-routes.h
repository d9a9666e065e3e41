/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder of routes: each socket in it is one, by its name.
 *
 * At the receiver the sockets are the destinations'.  At the sender they are
 * this relay's: an empty file that somebody makes there asks for one.
 */
#ifndef RELAY_ROUTES_H
#define RELAY_ROUTES_H

#include <stdbool.h>

#include "tools/relay/relay-args.h"

/* At the receiver: the route of that name.  False when there is no socket.  The
 * caller frees the URI. */
bool route_folder_find(const char *path, const char *name, RelayRoute *route);

typedef struct RouteFolder RouteFolder;

typedef struct RouteFolderUser {
    /* Listen at the route's socket.  False if that cannot be: it is not tried
     * again before the file is another one. */
    bool (*begin)(void *opaque, const RelayRoute *route);
    /* Somebody has removed the socket: listen no more. */
    void (*end)(void *opaque, const RelayRoute *route);
    void *opaque;
} RouteFolderUser;

/* At the sender.  Routes live until the folder is freed. */
RouteFolder *route_folder_new(const char *path);
void route_folder_free(RouteFolder *folder); /* NULL is fine */

/* Look what has changed since the last time.  False when the folder cannot be
 * read. */
bool route_folder_look(RouteFolder *folder, const RouteFolderUser *user,
                       GError **errp);

#endif
