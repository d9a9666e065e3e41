/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many programs touch an open port: scanners, browsers, health checks.  A
 * destination waits for one source only, so a peer that cannot be one is not
 * connected to it.
 */
#include "tools/relay/relay-greeting.h"

#include <glib.h>
#include <string.h>

#include "tools/relay/relay-wire.h"

static const struct {
    const char *bytes;
    size_t size;
    Greeting means;
} greetings[] = {
    { RELAY_MAGIC, RELAY_MAGIC_SIZE, GREETING_RELAY },
    { RELAY_RESUME_MAGIC, RELAY_MAGIC_SIZE, GREETING_RESUME },
    { "QEVM", 4, GREETING_QEMU },             /* a migration */
    { "\x11\x22\x33\x44", 4, GREETING_QEMU }, /* one of multifd's */
    { "\x16\x03", 2, GREETING_QEMU },         /* TLS, a handshake */
    { "\x08\x00\x0a", 3, GREETING_QEMU },     /* migrate -r: what has come? */
};

Greeting greeting_of(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < G_N_ELEMENTS(greetings); i++) {
        size_t part = MIN(size, greetings[i].size);

        if (!memcmp(bytes, greetings[i].bytes, part)) {
            return part < greetings[i].size ? GREETING_UNFINISHED
                                            : greetings[i].means;
        }
    }
    return GREETING_STRANGER;
}
