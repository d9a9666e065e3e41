/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of a session offer each other.  relay-session-common.c has what
 * every role needs, relay-session-peer.c finds the role, and there is a file for
 * each role: relay-session.c, above them, calls what its table says.
 */
#ifndef RELAY_SESSION_ROLE_H
#define RELAY_SESSION_ROLE_H

#include "tools/relay/relay-frame.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-log.h"
#include "tools/relay/relay-reverse.h"
#include "tools/relay/relay-session.h"

/* What a session does in its role. */
typedef struct SessionRole {
    /* The forward thread: from when the role is known to the end. */
    void (*run)(Session *s);
    /* The reverse thread, which session_start_reverse() starts. */
    bool (*reverse)(Session *s, GError **errp);
} SessionRole;

struct Session {
    const RelayArgs *args;
    Turns *turns;
    RelayRole role;      /* settled before the reverse thread starts, with */
    const SessionRole *does;
    RelayFindings findings;
    RelayStats stats;
    ReturnWatch watch;   /* the reverse thread's, until that has ended */
    IoChannel *near;     /* set and cleared under lock, by the forward thread */
    Stream *near_in;
    IoChannel *far;      /* the same */
    Stream *far_in;      /* send: the link, read by the reverse thread */
    LinkWriter back;     /* receive: the reverse thread's, then ours; in other
                          * roles it has no channel */
    pthread_t reverse;
    bool reverse_started;
    bool silent;         /* the peer has said nothing, and need not */
    bool claimed;        /* it has one of the places */
    bool led_on;         /* the other end has taken it */
    bool live;           /* it has been told to turns */
    bool second;         /* receive: the stream was not a first connection's */
    bool refused;        /* no place for it, or its peer is a stranger */
    RelayOutcome outcome; /* set at the end, with */
    char *why;            /* unless it has completed */
    char *command;        /* how the one that is far failed, or NULL */
    int64_t started, ended;
    uint64_t total;      /* bytes of QEMU's stream */

    GCancellable *stopped; /* session_abort() ends what waits for no bytes */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool settled;        /* lock; error will not change any more */
    GError *error;       /* lock, until settled; the first one */
    bool began;          /* lock; the peer has said what it wants */
    bool answered;       /* lock; send: then answer may be read */
    Hello answer;        /* set before answered */
    bool reverse_ended;  /* lock */
    uint64_t delivered;  /* set before reverse_ended */
};

/* Takes err.  False when there was one before, or when it is too late. */
bool session_fail(Session *s, GError *err);
bool session_failed(Session *s);
void session_abort_both(Session *s);

/* A bool of the session's that is under its lock. */
void session_set_flag(Session *s, bool *flag);
/* With forever, or until the time (ns) is over; was it set? */
bool session_wait_flag(Session *s, const bool *flag, bool forever,
                       int64_t time);

/* The thread that moves bytes back.  Without forever it is waited for
 * RELAY_LINGER_NS; has it ended? */
bool session_start_reverse(Session *s, GError **errp);
bool session_wait_reverse(Session *s, bool forever);
void session_join_reverse(Session *s);

/* A destination that is a command must end, and well.  False when not. */
bool session_wait_destination(Session *s);

/* To whom the migration goes: s->far. */
bool session_connect_far(Session *s, GError **errp);
/* That has worked, and the source may now connect once more. */
void session_went_on(Session *s);

/* Settle s->role by what the peer says, or that it says nothing. */
bool session_choose_role(Session *s, GError **errp);

extern const SessionRole session_role_send;
extern const SessionRole session_role_receive;
extern const SessionRole session_role_convert;

#endif
