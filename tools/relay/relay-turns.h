/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections that came one after the other go on in that order.
 *
 * QEMU before 8.0 takes whoever connects first for the main channel of a
 * multifd migration.  So a session connects onward only when those before it
 * have, though it does not wait for ever: somebody may connect and say nothing.
 *
 * Where there is but one place, the first who has something to say gets it.
 */
#ifndef RELAY_TURNS_H
#define RELAY_TURNS_H

#include <glib.h>
#include <stdbool.h>

typedef struct Turns Turns;

Turns *turns_new(bool one_place);
void turns_free(Turns *turns); /* NULL is fine */

/* A session begins; its number is higher than that of any before. */
void turns_enter(Turns *turns, unsigned number);
/* Wait until none with a lower number is left, or RELAY_TURN_NS: nobody waits
 * for those any more then. */
void turns_wait(Turns *turns, unsigned number);
/* May a session go on?  False when the one place is taken. */
bool turns_claim(Turns *turns);
/* It has been connected onward, or never will be.  May be repeated. */
void turns_leave(Turns *turns, unsigned number);

#endif
