/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kind of peer has connected, by the first bytes that come. */
#ifndef RELAY_GREETING_H
#define RELAY_GREETING_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    GREETING_UNFINISHED, /* more bytes will tell */
    GREETING_QEMU,
    GREETING_RELAY,
    GREETING_RESUME,     /* a relay that goes on with a session */
    GREETING_STRANGER,   /* neither */
} Greeting;

/* The most bytes that it takes to tell. */
#define GREETING_MAX 8

/* size is 1..GREETING_MAX. */
Greeting greeting_of(const uint8_t *bytes, size_t size);

#endif
