/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A migration's link at the destination, from version 4 on: its channels, each
 * of which leads to a connection of QEMU's that this relay makes.
 */
#ifndef RELAY_SESSION_FAR_H
#define RELAY_SESSION_FAR_H

#include "tools/relay/relay-receive.h"
#include "tools/relay/relay-session-role.h"

typedef struct Far Far;

/* s->far is channel 0's connection, and link leads to the other relay. */
Far *far_new(Session *s, LinkWriter *link, GError **errp);
void far_free(Far *far); /* after far_join(); NULL is fine */

/* Where relay_receive_run() puts what comes. */
const ReceiveSink *far_sink(const Far *far);

/* Nothing more comes: wait, but not for long, until QEMU has all that has. */
void far_drain(Far *far);
/* End everybody's waits and connections.  From any thread. */
void far_abort(Far *far);
/* Wait, but not for long, until nobody writes to the link any more; after
 * far_abort().  False when somebody still does. */
bool far_is_quiet(Far *far);
/* Wait for all threads, and close all connections but s->far. */
void far_join(Far *far);

#endif
