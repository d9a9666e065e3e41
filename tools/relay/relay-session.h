/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One migration through this relay, from connection to connection. */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H

#include <glib.h>
#include <stdbool.h>

#include "ferry/channel.h"
#include "tools/relay/relay-args.h"
#include "tools/relay/relay-budget.h"
#include "tools/relay/relay-lines.h"
#include "tools/relay/relay-outcome.h"
#include "tools/relay/relay-sample.h"
#include "tools/relay/relay-turns.h"

typedef struct Session Session;

/* Migrations that a source's further connections can join. */
typedef struct Shares Shares;

Shares *shares_new(void);
void shares_free(Shares *shares); /* NULL is fine */

/* What the sessions of a relay share. */
typedef struct SessionShared {
    const RelayArgs *args; /* constant */
    Turns *turns;          /* this and those below: each has its own lock */
    Lines *lines;
    Shares *shares;
    Budget *budget;
} SessionShared;

/* near is the peer that connected to us, by that route or by none; the session
 * owns it from now on.  shared and route are borrowed. */
Session *session_new(const SessionShared *shared, unsigned number,
                     IoChannel *near, const RelayRoute *route);
void session_free(Session *session); /* NULL is fine */

/*
 * Relay until both directions have ended and everything is closed.  Blocks;
 * called once.  The outcome has been logged, with its reason.
 */
RelayOutcome session_run(Session *session);

/* The relay takes no new migration: take a peer only if it goes on with one.
 * Before session_run(). */
void session_take_resumes_only(Session *session);

/* May its link come back by another connection to this relay?  From any
 * thread. */
bool session_may_resume(Session *session);

/* Make the session fail soon.  From any thread.  session_will_abort() first, of
 * many sessions, lets all say goodbye to their peers at once. */
void session_will_abort(Session *session);
void session_abort(Session *session, const char *reason);

/* Has the peer said what it wants?  From any thread. */
bool session_has_begun(Session *session);

/* Is it one more connection of a migration's?  From any thread. */
bool session_has_joined(Session *session);

/* Was the session about a migration?  Not if the peer has said nothing, or was
 * refused, or was one more connection of a migration's.  After
 * session_run(). */
bool session_was_migration(const Session *session);

/* Was it a source's second connection, on which nothing was ever said?  Its
 * migration need not have begun.  After session_run(). */
bool session_was_unused(const Session *session);

/* What is known of it now.  False: not even whether it is a migration.  At any
 * time, from any thread. */
bool session_sample(Session *session, RelaySample *sample);

/* After session_run(): one line of JSON about it. */
char *session_report(Session *session);

#endif
