/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections that came one after the other go on in that order.
 *
 * QEMU before 8.0 takes the first connection for the main channel of a multifd
 * migration.  So a session connects onward only when those before it have.  It
 * does not wait forever, because a peer may connect and say nothing.
 *
 * A session whose peer has something to say takes a place, of which there are
 * only so many.  Where there is only one place, it is taken for good.
 *
 * A connection that says nothing may be QEMU's second one for postcopy-preempt,
 * but only while a migration is live.  So live sessions are counted here, too.
 *
 * All functions may be called from any thread.
 */
#ifndef RELAY_TURNS_H
#define RELAY_TURNS_H

#include <gio/gio.h>
#include <glib.h>
#include <stdbool.h>

typedef struct Turns Turns;

Turns *turns_new(unsigned places);
void turns_free(Turns *turns); /* NULL is fine */

/* A session begins.  Its number is higher than any before. */
void turns_enter(Turns *turns, unsigned number);
/* Wait until no session with a lower number is left.  After RELAY_TURN_NS this
 * session and all later ones stop waiting for those, unless it is known that
 * they are about to connect onward: turns_begin(). */
void turns_wait(Turns *turns, unsigned number);
/* The session is about to connect onward, by this way: any pointer.  It waits
 * for others of the same way as long as it takes, and not for those of other
 * ways. */
void turns_begin(Turns *turns, unsigned number, const void *way);
/* Take a place.  False when all are taken. */
bool turns_claim(Turns *turns);
/* A session that had a place has ended. */
void turns_give_back(Turns *turns);
/* The session is connected onward, or never will be.  May be repeated. */
void turns_leave(Turns *turns, unsigned number);

/* A source's session is connected onward; it has ended. */
void turns_begin_live(Turns *turns);
void turns_end_live(Turns *turns);
/* Cancelled as soon as there is a live session.  Returns a reference. */
GCancellable *turns_live(Turns *turns);

#endif
