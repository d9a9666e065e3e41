/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A migration's link at the source, which all of its QEMU's connections share.
 *
 * The session of the first connection leads: the link, the threads behind it
 * and the outcome are its own.  A session whose QEMU connects by the same route
 * meanwhile joins: it opens a channel of the link, and is no migration by
 * itself.  The leader ends when all of them have.
 */
#ifndef RELAY_SESSION_SHARE_H
#define RELAY_SESSION_SHARE_H

#include "tools/relay/relay-link.h"
#include "tools/relay/relay-session-role.h"
#include "tools/relay/relay-trunk.h"

typedef struct Share Share;

/* One of QEMU's connections.  Its session reads these. */
typedef struct ShareChannel {
    unsigned number;
    Credit credit;
    Share *share;
    bool ended;       /* the link's reader: END has come back */
    Session *session; /* the share's lock; NULL: has left */
    Outlet *outlet;   /* the same */
    bool over;        /* the share's lock: DELIVERED or RESET has come, or the
                       * link is over, or this end has given it up */
    bool is_delivered;  /* the same: it was DELIVERED, and */
    uint64_t delivered; /* the same: what that said */
    bool answered;    /* the same: QEMU has all that came back */
} ShareChannel;

/* Find what the session may join by its route, or make it the leader of a new
 * share, which others wait for until share_open() or share_close().  NULL, and
 * an error, when another migration is on its way there.  Waits. */
Share *share_find(Session *s, GError **errp);
void share_free(Share *share); /* its leader's; NULL is fine */

/* The leader's: the link takes more than one channel.  It, and the trunk, are
 * borrowed.  The leader's connection is channel 0. */
ShareChannel *share_open(Share *share, LinkWriter *link, Trunk *trunk,
                         GError **errp);
/* No session can join any more.  May be repeated. */
void share_close(Share *share);
/* Wait until all that have joined have left; share_close() comes before.  If
 * the leader's was a migration stream, which has ended, the others are not
 * waited for long, and those on which nothing was said, which may be anybody's,
 * not at all.  The leader's findings are then those of all. */
void share_wait_alone(Share *share);
/* The link is over: end everybody's waits and connections.  From any thread. */
void share_break(Share *share);
/* Pass on what comes back, until the link ends; in the leader's reverse thread.
 * True when all channels were over then. */
bool share_read_link(Share *share, Stream *from, GError **errp);

/* Those who have joined: open a channel. */
ShareChannel *share_join(Share *share, Session *s, GError **errp);
/* The session, which may lead, has nothing to do with its channel any more,
 * even if it could not open one. */
void share_leave(Share *share, Session *s);
Trunk *share_trunk(const Share *share);
Session *share_leader(const Share *share);

/* Wait until the channel is over, and QEMU has all that came back.  False when
 * it was not delivered. */
bool share_wait_over(ShareChannel *c);
/* This end gives the channel up.  False when it was over already. */
bool share_give_up(ShareChannel *c);

#endif
