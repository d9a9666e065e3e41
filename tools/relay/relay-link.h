/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames one by one: of the direction of the link that has no pool, and those
 * that stand for no bytes. */
#ifndef RELAY_LINK_H
#define RELAY_LINK_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-frame.h"
#include "tools/relay/relay-outcome.h"

/*
 * A direction of the link, which several threads may write frames to.  A frame
 * is written as a whole, so a thread waits at most for one that is on its way.
 */
typedef struct LinkWriter {
    IoChannel *channel;   /* borrowed; set before anybody writes */
    pthread_mutex_t lock; /* while a frame is written */
    uint64_t position[RELAY_CHANNELS]; /* lock; bytes that the frames of each
                                        * channel stood for */
} LinkWriter;

void link_writer_init(LinkWriter *link, IoChannel *to);
void link_writer_destroy(LinkWriter *link);

/* A whole frame of DATA or PACK, whose head was made with `position`, which is
 * the channel's.  The array is used as scratch space. */
bool link_write_made(LinkWriter *link, unsigned channel, uint64_t bytes,
                     GOutputVector *frame, size_t count, GError **errp);
/* size is at most RELAY_LITERAL_MAX. */
bool link_write_data(LinkWriter *link, unsigned channel, const void *buf,
                     size_t size, GError **errp);
/* END, DELIVERED or CREDIT. */
bool link_write_total(LinkWriter *link, unsigned channel, unsigned type,
                      uint64_t total, GError **errp);
bool link_write_open(LinkWriter *link, unsigned channel, GError **errp);
/* reason may be NULL. */
bool link_write_verdict(LinkWriter *link, StreamEnd end, const char *reason,
                        GError **errp);
/* Failures are ignored: something has failed already. */
void link_write_reset(LinkWriter *link, unsigned channel, const char *reason);
void link_write_abort(LinkWriter *link, const char *reason);

typedef struct LinkReader {
    Stream *stream;
    unsigned max_pages;
    uint64_t position[RELAY_CHANNELS]; /* as LinkWriter's */
} LinkReader;

/* Where *errp says that a connection has ended or broken, let it say whose: who
 * is "the other relay" or the like.  An error that says who already, or that
 * tells of an abort, of damage, or of what this relay lacks, is left as it
 * is. */
void link_blame(GError **errp, const char *who);

/* Read from the link.  An error says that the other relay went away. */
bool link_get_bytes(LinkReader *link, void *buf, size_t size, GError **errp);

/* The frame that was read should not stand there.  Returns false. */
bool link_bad_frame(GError **errp);

/* Read a frame's head.  G_IO_ERROR_INVALID_DATA when it is damaged. */
bool link_read_head(LinkReader *link, FrameHead *head, GError **errp);

/* Read the body of a frame without pages, head->body bytes, and check it. */
bool link_read_plain(LinkReader *link, const FrameHead *head, uint8_t *body,
                     GError **errp);

/* Read and check the body of an END, DELIVERED or CREDIT. */
bool link_read_total(LinkReader *link, const FrameHead *head, uint64_t *total,
                     GError **errp);

/* The same of an END, which says how many bytes its channel had. */
bool link_read_end(LinkReader *link, const FrameHead *head, GError **errp);

/* Read and check the body of a VERDICT. */
bool link_read_verdict(LinkReader *link, const FrameHead *head,
                       Ending *ending, GError **errp);

/* Read and check the body of an ABORT or RESET: a reason, for people, to be
 * freed.  NULL if that fails. */
char *link_read_reason(LinkReader *link, const FrameHead *head, GError **errp);

/* Read and check the body of an ABORT, and set *errp to its reason. */
void link_read_abort(LinkReader *link, const FrameHead *head, GError **errp);

#endif
