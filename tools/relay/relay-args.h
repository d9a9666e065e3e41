/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of ferry-relay. */
#ifndef RELAY_ARGS_H
#define RELAY_ARGS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/options.h"
#include "ferry/uri.h"
#include "migration/pack/ladder.h"
#include "tools/relay/relay-wire.h"

typedef enum {
    RELAY_ROLE_AUTO,      /* by the first bytes */
    RELAY_ROLE_SEND,      /* QEMU to link */
    RELAY_ROLE_RECEIVE,   /* link to QEMU */
    RELAY_ROLE_TO_QEMU,   /* QEMU to QEMU, pages get compressed */
    RELAY_ROLE_FROM_QEMU, /* QEMU to QEMU, pages get expanded */
} RelayRole;

/* One of several ways through a relay: its name on the link, and where QEMU
 * connects to (send), or listens (receive). */
typedef struct RelayRoute {
    char name[RELAY_ROUTE_SIZE];
    IoUri *uri;
} RelayRoute;

typedef struct RelayArgs {
    IoUri *listen;  /* NULL: standard input and output take its place, or the
                     * routes do */
    IoUri *connect; /* the same; never both */
    IoUri *metrics; /* or NULL */
    GArray *routes; /* of RelayRoute */
    char *folder;   /* of more routes, see relay-routes.h; or NULL */
    RelayRole role;
    bool stdio, once, stats, json;
    bool one_peer;  /* listen cannot bring a second peer */
    bool one_place; /* the far end can be connected to only once */
    bool help, version; /* was given: nothing else is checked */
    bool packs, unpacks; /* an option for packing, unpacking was given */
    bool keeps; /* --history was given */
    bool resumes; /* --resume-timeout or ...-stopped was given */
    MigOptions options;
    const Codec *codec; /* of DATA frames, by compress-method */
    int64_t patience, patience_stopped; /* ns without a link: while the guest
                                         * runs, and while it is stopped */
    uint64_t memory, rate; /* of all migrations: bytes, and bytes a second on
                            * the link; 0: no limit */
    uint64_t nonce; /* what this relay calls itself in HELLO; never 0 */
    const char *tls_creds; /* "": the link is not encrypted */
    const char *tls_peer;  /* send: the name in the receiver's certificate */
} RelayArgs;

/* Fails with one line that names the option. */
bool relay_args_parse(RelayArgs *args, int argc, char **argv, GError **errp);
void relay_args_clear(RelayArgs *args); /* after either outcome */

/* Is it one that a route may have? */
bool relay_is_route_name(const char *name, size_t size);

/* Can there be routes, by either option? */
bool relay_args_has_routes(const RelayArgs *args);

/* The route of that name that --route gives, or NULL. */
const RelayRoute *relay_args_route(const RelayArgs *args, const char *name);

char *relay_args_help(void);

const char *relay_role_name(RelayRole role);

#endif
