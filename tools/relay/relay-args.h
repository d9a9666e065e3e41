/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of ferry-relay. */
#ifndef RELAY_ARGS_H
#define RELAY_ARGS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/options.h"
#include "ferry/uri.h"
#include "migration/pack/codec.h"

typedef enum {
    RELAY_ROLE_AUTO,      /* by the first bytes */
    RELAY_ROLE_SEND,      /* QEMU to link */
    RELAY_ROLE_RECEIVE,   /* link to QEMU */
    RELAY_ROLE_TO_QEMU,   /* QEMU to QEMU, pages get compressed */
    RELAY_ROLE_FROM_QEMU, /* QEMU to QEMU, pages get expanded */
} RelayRole;

typedef struct RelayArgs {
    IoUri *listen;  /* NULL: standard input and output stand for it */
    IoUri *connect; /* the same; never both */
    RelayRole role;
    bool stdio, once, stats, json;
    bool one_peer;  /* who connects is given to us: nobody else can */
    bool one_place; /* there is only one to be led to */
    bool help, version; /* asked for: nothing else is checked */
    bool packs, unpacks; /* an option for it was given */
    MigOptions options;
    const Codec *codec; /* of compress-method */
    uint64_t nonce; /* what this relay calls itself in HELLO; never 0 */
    const char *tls_creds; /* "": the link is not encrypted */
    const char *tls_peer;  /* send: whom the receiver's certificate is for */
} RelayArgs;

/* Fails with one line that names the option. */
bool relay_args_parse(RelayArgs *args, int argc, char **argv, GError **errp);
void relay_args_clear(RelayArgs *args); /* after either outcome */

char *relay_args_help(void);

const char *relay_role_name(RelayRole role);

#endif
