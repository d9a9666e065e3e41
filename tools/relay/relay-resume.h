/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What two relays of version 4 say to each other before there is a line:
 * SESSION and READY when they meet, and the four messages by which the sender
 * goes on with a session by another connection.  docs/relay.md is the
 * specification.
 *
 * Whoever knows the secret of SESSION can go on.  Without TLS that is everybody
 * who could read the first connection.
 */
#ifndef RELAY_RESUME_H
#define RELAY_RESUME_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-wire.h"

typedef struct SessionKey {
    uint8_t id[RELAY_ID_SIZE];
    uint8_t secret[RELAY_SECRET_SIZE];
} SessionKey;

/* Random ones.  Fails when the system has no random numbers. */
bool session_key_make(SessionKey *key, GError **errp);

/* SESSION, from the sender. */
typedef struct SessionHello {
    SessionKey key;
    uint32_t patience_ms; /* how long the line may be without a connection */
    char route[RELAY_ROUTE_SIZE]; /* its name, or "" */
} SessionHello;

bool session_hello_write(IoChannel *link, const SessionHello *hello,
                         GError **errp);
bool session_hello_read(Stream *link, SessionHello *hello, GError **errp);

/* READY, from the receiver.  reason: why it is not ready, or NULL. */
bool session_ready_write(IoChannel *link, const char *reason, GError **errp);
/* Reads no byte too many.  Fails with the reason. */
bool session_ready_read(IoChannel *link, GError **errp);

/*
 * The sender's part on a new connection: `received` bytes have arrived here,
 * and *arrived there.  MIG_ERROR_PEER when the other relay knows nothing of the
 * session, or is not the one that it was.
 */
bool resume_ask(IoChannel *link, const SessionKey *key, uint64_t received,
                uint64_t *arrived, GError **errp);

/* The receiver's, step by step.  RESUME has come, as far as its magic. */
typedef struct Resume {
    uint8_t id[RELAY_ID_SIZE];
    uint8_t nonce[2][RELAY_RESUME_NONCE]; /* the sender's, the receiver's */
    uint64_t arrived; /* at the sender, once that is proved */
} Resume;

bool resume_read(Stream *link, Resume *resume, GError **errp);
/* No such session. */
void resume_refuse(IoChannel *link);
/* Does the peer know the secret? */
bool resume_challenge(IoChannel *link, Stream *from, Resume *resume,
                      const SessionKey *key, GError **errp);
bool resume_grant(IoChannel *link, const Resume *resume, const SessionKey *key,
                  uint64_t received, GError **errp);

#endif
