/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HELLO, ANSWER and the heads of frames: values to bytes and back. */
#ifndef RELAY_FRAME_H
#define RELAY_FRAME_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/wire/stream.h"
#include "tools/relay/relay-wire.h"

/* HELLO, or ANSWER. */
typedef struct Hello {
    uint16_t version;
    uint16_t pages; /* most in a batch, 1..RELAY_PAGES_MAX */
    char method[RELAY_METHOD_SIZE + 1];
    char reason[RELAY_REASON_MAX + 1]; /* of a refusal; otherwise "" */
    union {
        uint64_t nonce;  /* HELLO: the sender's; 0: none */
        uint64_t offer;  /* ANSWER: hello_offer(); older relays send 0 */
    };
} Hello;

/* What a receiver can do: methods, as codec_features() says, and how many packs
 * of history. */
static inline uint64_t hello_offer(uint16_t features, unsigned window)
{
    return (uint64_t)features << 32 | window;
}

static inline uint16_t offer_features(uint64_t offer)
{
    return (uint16_t)(offer >> 32);
}

static inline unsigned offer_window(uint64_t offer)
{
    return (uint32_t)offer;
}

bool hello_write(IoChannel *channel, const Hello *hello, GError **errp);
/* False and G_IO_ERROR_INVALID_DATA when the bytes are no HELLO. */
bool hello_read(Stream *s, Hello *hello, GError **errp);

/* The nonce in the first RELAY_HELLO_SIZE bytes of a HELLO. */
uint64_t hello_nonce(const uint8_t *bytes);

typedef struct FrameHead {
    uint8_t type;   /* RELAY_DATA, ... */
    uint16_t pages;
    uint32_t bytes;  /* of the stream that the frame stands for */
    uint32_t body;   /* the body's size when decoded */
    uint32_t packed; /* its size on the link: body, or less */
    union {
        uint32_t checksum;
        uint32_t window; /* PACK: the sender's; the pack has a checksum */
    };
    uint8_t channel;
} FrameHead;

void frame_put_head(uint8_t to[RELAY_HEAD_SIZE], const FrameHead *head);

/* NULL, or what is wrong with the head.  *head then keeps every limit. */
const char *frame_get_head(const uint8_t from[RELAY_HEAD_SIZE],
                           unsigned max_pages, FrameHead *head);

/* Where in a direction of the link a frame of a channel stands, if so many
 * bytes of that channel came before it. */
static inline uint64_t frame_place(unsigned channel, uint64_t position)
{
    return (uint64_t)channel << 56 | position;
}

/* A frame's checksum begins with its place... */
uint32_t frame_checksum_begin(uint64_t place);
/* ... and goes on with the bytes that it stands for. */
uint32_t frame_checksum_add(uint32_t checksum, const void *buf, size_t size);

/* A frame without pages, whose body is sent as it is; its channel is not set
 * yet. */
FrameHead frame_plain_head(unsigned type, uint64_t place, const void *body,
                           size_t size);

#endif
