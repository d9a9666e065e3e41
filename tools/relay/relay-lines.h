/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lines of this relay's sessions that another connection may go on with.
 *
 * All functions may be called from any thread.
 */
#ifndef RELAY_LINES_H
#define RELAY_LINES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "tools/relay/relay-resume.h"

typedef struct Lines Lines;

Lines *lines_new(void);
void lines_free(Lines *lines); /* empty by then; NULL is fine */

/* peer: whose certificate the sender has, as io_channel_tls_peer() says; NULL:
 * the link is not encrypted. */
void lines_add(Lines *lines, const SessionKey *key, IoChannel *line,
               const char *peer);

/* Waits until nobody holds the line.  A line that is not there is fine. */
void lines_remove(Lines *lines, IoChannel *line);

/* The line of the session with that id, and its key, for the same peer; it is
 * there until lines_release().  NULL: there is none. */
IoChannel *lines_hold(Lines *lines, const uint8_t id[RELAY_ID_SIZE],
                      const char *peer, SessionKey *key);
void lines_release(Lines *lines, IoChannel *line);

#endif
