/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections that came one after the other go on in that order.
 *
 * QEMU before 8.0 takes whoever connects first for the main channel of a
 * multifd migration.  So a session connects onward only when those before it
 * have, though it does not wait for ever: somebody may connect and say nothing.
 *
 * There are so many places, and who has something to say gets one; the only
 * one there is is taken for good.
 *
 * And a connection that says nothing may be QEMU's second one for
 * postcopy-preempt, if there is a first: whether there is a source whose
 * migration is on its way, a live one, is known here as well.
 */
#ifndef RELAY_TURNS_H
#define RELAY_TURNS_H

#include <gio/gio.h>
#include <glib.h>
#include <stdbool.h>

typedef struct Turns Turns;

Turns *turns_new(unsigned places);
void turns_free(Turns *turns); /* NULL is fine */

/* A session begins; its number is higher than that of any before. */
void turns_enter(Turns *turns, unsigned number);
/* Wait until none with a lower number is left, or RELAY_TURN_NS: nobody waits
 * for those any more then. */
void turns_wait(Turns *turns, unsigned number);
/* May a session go on?  False when all places are taken. */
bool turns_claim(Turns *turns);
/* Somebody who had one has ended. */
void turns_give_back(Turns *turns);
/* It has been connected onward, or never will be.  May be repeated. */
void turns_leave(Turns *turns, unsigned number);

/* A source's session has been connected onward; and has ended. */
void turns_begin_live(Turns *turns);
void turns_end_live(Turns *turns);
/* It is cancelled as soon as there is a live one; a reference. */
GCancellable *turns_live(Turns *turns);

#endif
