/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The folder is looked at once a second, and what is there is compared with
 * what is known.  A socket is ours as long as it is the file that it was when
 * it was made; a name may come back after it has gone.  A socket that a relay
 * has left behind, which was killed, is taken over, because it asks for a route
 * as an empty file does.
 */
#include "tools/relay/relay-routes.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/relay/relay-log.h"

#define ROUTES_MAX 1024u /* names, with those that have gone */

typedef struct Known {
    RelayRoute route;
    bool listens;
    dev_t dev; /* of the socket, ours or one that is another's; or 0 */
    ino_t ino; /* numbers of files that have gone come again */
} Known;

struct RouteFolder {
    char *path;
    GPtrArray *known; /* of Known */
    bool is_full;     /* and that was said */
};

/* The file's name is the route's. */
static bool make_route(const char *path, const char *name, RelayRoute *route)
{
    g_autofree char *text = NULL;

    if (!relay_is_route_name(name, strlen(name))) {
        return false;
    }
    g_strlcpy(route->name, name, sizeof(route->name));
    text = g_strdup_printf("unix:%s/%s", path, name);
    route->uri = io_uri_parse(text, NULL);
    return route->uri != NULL;
}

bool route_folder_find(const char *path, const char *name, RelayRoute *route)
{
    struct stat st;

    if (!make_route(path, name, route)) {
        return false;
    }
    if (stat(route->uri->path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        g_clear_pointer(&route->uri, io_uri_free);
        return false;
    }
    return true;
}

static void known_free(void *opaque)
{
    Known *known = opaque;

    io_uri_free(known->route.uri);
    g_free(known);
}

RouteFolder *route_folder_new(const char *path)
{
    RouteFolder *folder = g_new0(RouteFolder, 1);

    folder->path = g_strdup(path);
    folder->known = g_ptr_array_new_with_free_func(known_free);
    return folder;
}

void route_folder_free(RouteFolder *folder)
{
    if (folder) {
        g_ptr_array_unref(folder->known);
        g_free(folder->path);
        g_free(folder);
    }
}

/* What is known of the name, or may be from now on.  NULL: it is no route. */
static Known *know(RouteFolder *folder, const char *name)
{
    RelayRoute route;
    Known *known;

    for (unsigned i = 0; i < folder->known->len; i++) {
        known = folder->known->pdata[i];
        if (!strcmp(known->route.name, name)) {
            return known;
        }
    }
    if (folder->known->len == ROUTES_MAX) {
        if (!folder->is_full) {
            relay_say("%s: more than %u names, the others are no routes",
                      folder->path, ROUTES_MAX);
        }
        folder->is_full = true;
        return NULL;
    }
    if (!make_route(folder->path, name, &route)) {
        return NULL;
    }
    known = g_new0(Known, 1);
    known->route = route;
    g_ptr_array_add(folder->known, known);
    return known;
}

static bool is_seen(const Known *known, const struct stat *st)
{
    return known->dev == st->st_dev && known->ino == st->st_ino;
}

static void see(Known *known, const struct stat *st)
{
    known->dev = st->st_dev;
    known->ino = st->st_ino;
}

static void end_if_gone(Known *known, const RouteFolderUser *user)
{
    struct stat st;

    if (known->listens && (lstat(known->route.uri->path, &st) < 0 ||
                           !S_ISSOCK(st.st_mode) || !is_seen(known, &st))) {
        known->listens = false;
        known->dev = 0;
        known->ino = 0;
        user->end(user->opaque, &known->route);
    }
}

static void begin_if_asked(Known *known, const RouteFolderUser *user)
{
    const char *path = known->route.uri->path;
    struct stat st;
    bool is_request;

    if (known->listens || lstat(path, &st) < 0) {
        return;
    }
    is_request = S_ISREG(st.st_mode) && st.st_size == 0;
    if (is_request ? unlink(path) < 0
                   : !S_ISSOCK(st.st_mode) || is_seen(known, &st)) {
        return;
    }
    known->listens = user->begin(user->opaque, &known->route);
    if (lstat(path, &st) == 0) {
        see(known, &st);
    }
}

bool route_folder_look(RouteFolder *folder, const RouteFolderUser *user,
                       GError **errp)
{
    g_autoptr(GDir) dir = g_dir_open(folder->path, 0, errp);
    const char *name;

    if (!dir) {
        return false;
    }
    for (unsigned i = 0; i < folder->known->len; i++) {
        end_if_gone(folder->known->pdata[i], user);
    }
    while ((name = g_dir_read_name(dir))) {
        Known *known = know(folder, name);

        if (known) {
            begin_if_asked(known, user);
        }
    }
    return true;
}
