/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames one by one, for the direction of the link that has no pool. */
#ifndef RELAY_LINK_H
#define RELAY_LINK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-frame.h"
#include "tools/relay/relay-outcome.h"

typedef struct LinkWriter {
    IoChannel *channel;
    uint64_t position; /* bytes that the frames so far stand for */
} LinkWriter;

/* size is at most RELAY_LITERAL_MAX. */
bool link_write_data(LinkWriter *link, const void *buf, size_t size,
                     GError **errp);
/* END or DELIVERED. */
bool link_write_total(LinkWriter *link, unsigned type, uint64_t total,
                      GError **errp);
/* reason may be NULL. */
bool link_write_verdict(LinkWriter *link, StreamEnd end, const char *reason,
                        GError **errp);
/* A failure is ignored: the migration has failed already. */
void link_write_abort(LinkWriter *link, const char *reason);

typedef struct LinkReader {
    Stream *stream;
    unsigned max_pages;
    uint64_t position;
} LinkReader;

/* Where *errp says that a connection has ended or broken, let it say whose: who
 * is "the other relay" or the like.  An error that says who already, or that
 * tells of an abort, of damage, or of what this relay lacks, is left as it
 * is. */
void link_blame(GError **errp, const char *who);

/* Read from the link.  An error says that the other relay went away. */
bool link_get_bytes(LinkReader *link, void *buf, size_t size, GError **errp);

/* Read a frame's head.  G_IO_ERROR_INVALID_DATA when it is damaged. */
bool link_read_head(LinkReader *link, FrameHead *head, GError **errp);

/* Read the body of a frame without pages, head->body bytes, and check it. */
bool link_read_plain(LinkReader *link, const FrameHead *head, uint8_t *body,
                     GError **errp);

/* Read and check the body of an END or DELIVERED. */
bool link_read_total(LinkReader *link, const FrameHead *head, uint64_t *total,
                     GError **errp);

/* Read and check the body of a VERDICT. */
bool link_read_verdict(LinkReader *link, const FrameHead *head,
                       Ending *ending, GError **errp);

/* Read and check the body of an ABORT, and set *errp to its reason. */
void link_read_abort(LinkReader *link, const FrameHead *head, GError **errp);

#endif
