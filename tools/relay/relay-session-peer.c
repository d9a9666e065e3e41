/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kind of peer has connected, and so what the session's role is. */
#include "tools/relay/relay-session-role.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "tools/relay/relay-greeting.h"

static bool encrypt_receiving(Session *s, GError **errp)
{
    return !s->args->tls_creds[0] || s->args->role != RELAY_ROLE_RECEIVE ||
           io_channel_tls_accept(s->near, s->args->tls_creds, errp);
}

/*
 * A source with postcopy-preempt has a second connection.  It says nothing
 * there before the switch to postcopy, but its destination waits for the
 * connection.  With --role send every peer is a QEMU, so a silent one may be
 * this connection.  (Under systemd there is a relay for each connection, which
 * knows of no other migration.)  In other roles a silent peer may be this
 * connection only while a migration is live.
 */
static bool stays_silent(Session *s)
{
    g_autoptr(GCancellable) live = turns_live(s->turns);

    if (s->role == RELAY_ROLE_RECEIVE ||
        (s->role != RELAY_ROLE_SEND &&
         io_channel_wait_input(s->near, -1, live))) {
        return false;
    }
    return !io_channel_wait_input(s->near, RELAY_SILENCE_MS, NULL);
}

static bool read_greeting(Session *s, Greeting *greeting, GError **errp)
{
    size_t size = 0;

    do {
        const uint8_t *bytes = stream_peek(s->near_in, ++size, errp);

        if (!bytes) {
            return false;
        }
        *greeting = greeting_of(bytes, size);
    } while (*greeting == GREETING_UNFINISHED);
    return true;
}

/* Its bytes are a stranger's, so they are escaped. */
static void refuse_stranger(Session *s, const char *wanted, GError **errp)
{
    char begins[GREETING_MAX + 1] = "";
    g_autofree char *text = NULL;
    size_t got;

    stream_get_some(s->near_in, begins, GREETING_MAX, &got, NULL);
    text = g_strescape(begins, NULL);
    g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "the peer begins with \"%s\" and is no %s%s", text,
                wanted, s->role == RELAY_ROLE_RECEIVE &&
                                begins[0] == RELAY_TLS_FIRST_BYTE
                            ? " (it speaks TLS: does this relay lack "
                              "--tls-creds?)"
                            : "");
}

/* Take every peer but this relay itself, which is told why it is refused. */
static bool take_anybody(Session *s, GError **errp)
{
    const uint8_t *bytes = stream_peek(s->near_in, 1, errp);

    if (!bytes) {
        return false;
    }
    if (bytes[0] == (uint8_t)RELAY_MAGIC[0]) {
        bytes = stream_peek(s->near_in, RELAY_HELLO_SIZE, errp);
        if (!bytes) {
            return false;
        }
        if (!memcmp(bytes, RELAY_MAGIC, RELAY_MAGIC_SIZE) &&
            hello_nonce(bytes) == s->args->nonce) {
            s->role = RELAY_ROLE_RECEIVE;
        }
    }
    return true;
}

static bool is_relay(Greeting greeting)
{
    return greeting == GREETING_RELAY || greeting == GREETING_RESUME;
}

static bool take_greeting(Session *s, GError **errp)
{
    Greeting greeting;

    if (!read_greeting(s, &greeting, errp)) {
        return false;
    }
    if (s->role == RELAY_ROLE_AUTO) {
        if (greeting == GREETING_STRANGER) {
            refuse_stranger(s, "QEMU and no ferry-relay (--role send takes "
                            "every peer)", errp);
            return false;
        }
        s->role = is_relay(greeting) ? RELAY_ROLE_RECEIVE : RELAY_ROLE_SEND;
    } else if (s->role == RELAY_ROLE_RECEIVE) {
        if (!is_relay(greeting)) {
            refuse_stranger(s, "ferry-relay", errp);
            return false;
        }
    } else if (greeting != GREETING_QEMU) {
        refuse_stranger(s, "QEMU", errp);
        return false;
    }
    s->resumes = greeting == GREETING_RESUME;
    if (s->resumes_only && !is_relay(greeting)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_BUSY, RELAY_DRAINS);
        return false;
    }
    return true;
}

/* Does the peer begin as QEMU does on its main connection? */
static bool begins_as_main(Session *s)
{
    const uint8_t *bytes = stream_peek(s->near_in, 1, NULL);

    return bytes && bytes[0] == WIRE_MAGIC >> 24;
}

static bool choose_by_greeting(Session *s, GError **errp)
{
    bool ok = s->role == RELAY_ROLE_SEND ? take_anybody(s, errp)
                                         : take_greeting(s, errp);

    atomic_store(&s->is_main, ok && begins_as_main(s));
    return ok;
}

bool session_choose_role(Session *s, GError **errp)
{
    s->role = s->args->role;
    if (!encrypt_receiving(s, errp)) {
        return false;
    }
    s->silent = !s->resumes_only && stays_silent(s);
    if (!s->silent) {
        return choose_by_greeting(s, errp);
    }
    if (s->role == RELAY_ROLE_AUTO) {
        s->role = RELAY_ROLE_SEND;
    }
    relay_log(&s->findings, "the peer says nothing, as QEMU's second "
              "connection for postcopy-preempt does; connecting it onward");
    return true;
}
