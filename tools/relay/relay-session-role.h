/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of a session offer each other.  relay-session-common.c has
 * what every role needs, relay-session-peer.c finds the role, and each role has
 * a file of its own.  relay-session.c, above them, has the table of roles.
 */
#ifndef RELAY_SESSION_ROLE_H
#define RELAY_SESSION_ROLE_H

#include <stdatomic.h>

#include "tools/relay/relay-credit.h"
#include "tools/relay/relay-frame.h"
#include "tools/relay/relay-line.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-log.h"
#include "tools/relay/relay-outlet.h"
#include "tools/relay/relay-reverse.h"
#include "tools/relay/relay-session.h"

#define RELAY_DRAINS "this relay is about to end, and takes no new migration"

/* What a session does in its role. */
typedef struct SessionRole {
    /* In the forward thread, from when the role is known to the end. */
    void (*run)(Session *s);
    /* In the reverse thread, which session_start_reverse() starts. */
    bool (*reverse)(Session *s, GError **errp);
    /* Optional.  End the waits of the role's own threads; from any thread. */
    void (*abort)(Session *s);
    /* Optional.  Free what is the role's own. */
    void (*free)(Session *s);
} SessionRole;

/*
 * The forward thread calls session_run(), and starts and joins the reverse
 * thread.  Fields without a note are the forward thread's, and the main
 * thread's once it has joined that one.
 */
struct Session {
    const RelayArgs *args; /* constant */
    Turns *turns;          /* this, lines and shares: each has its own lock */
    Lines *lines;
    Shares *shares;
    BudgetUser *budget;    /* the budget has a lock */
    const RelayRoute *route; /* or NULL; receive: set when SESSION has come */
    RelayRoute own_route;  /* receive: if it is in a folder of routes */
    RelayRole role;        /* set before the reverse thread starts */
    const SessionRole *does; /* the same; set under lock */
    struct Share *share;     /* send: of this migration's link, which it leads,
                              * or has joined; set under lock */
    struct Far *far_channels; /* receive: from version 4 on; set under lock */
    unsigned number;         /* of the connection */
    RelayFindings findings;
    RelayStats stats;    /* atomic; any thread reads */
    ReturnWatch watch;   /* the reverse thread's until that has ended */
    IoChannel *near;     /* set and cleared by the forward thread under lock, */
    IoChannel *far;      /* while no reverse thread runs; others take lock */
    IoChannel *line;     /* the one of the two that is a line, or NULL: set as
                          * they are, and at the sender by the reverse thread
                          * before answered */
    SessionKey key;      /* if there is a line */
    LineCounts line_counts; /* at its end */
    bool source_gone;    /* lock; send: the forward thread sets */
    atomic_bool handed_over; /* send: the destination may have all */
    bool resumes_only;   /* constant: refuse every peer that does not, */
    bool resumes;        /* receive: the peer goes on with another session */
    bool may_resume;     /* lock; receive: the forward thread sets and clears:
                          * this one's line is one that others go on with */
    Stream *near_in;
    Stream *far_in;      /* send: the link; the reverse thread's once started */
    LinkWriter link;     /* what this relay writes to the other one */
    pthread_t reverse;
    bool reverse_started;
    bool silent;         /* the peer has said nothing, and need not */
    atomic_bool is_main; /* the peer begins as a migration stream does */
    bool joined;         /* it is one more connection of another session's; set
                          * under lock */
    atomic_bool spoke;   /* joined: the peer has said something */
    bool claimed;        /* has one of turns' places */
    bool led_on;         /* the far end has taken the migration */
    bool live;           /* turns counts it as live */
    bool second;         /* receive: the stream was not a first connection's */
    bool refused;        /* there is no place, or the peer is a stranger */
    RelayOutcome outcome; /* this and why: set at the end */
    char *why;            /* NULL if RELAY_COMPLETED */
    char *command;        /* how the command at the far end failed, or NULL */
    int64_t started, ended;
    uint64_t total;      /* bytes of QEMU's streams */
    unsigned connections; /* of QEMU's, at each end */

    GCancellable *stopped; /* session_abort() cancels, from any thread; ends
                            * waits that are not for bytes */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* session_set_flag() has set one */
    bool settled;        /* lock; the forward thread sets; error is final */
    GError *error;       /* lock; any thread sets, only the first one counts */
    bool began;          /* lock; the forward thread sets, any reads: the peer
                          * has said what it wants */
    unsigned window;     /* receive: what it has offered */
    bool answered;       /* lock; the reverse thread sets */
    Hello answer;        /* send: the reverse thread sets, before answered;
                          * the forward thread reads after it */
    bool reverse_ended;  /* lock; the reverse thread sets */
    bool prepared;       /* lock; send: the forward thread sets, when it has the
                          * answer, and share what it needs */
    bool link_ended;     /* lock; receive: the forward thread reads no more */
    uint64_t delivered;  /* send: set before and read after reverse_ended */
};

/* Takes err.  False when another error came first, or after settle(). */
bool session_fail(Session *s, GError *err);
bool session_failed(Session *s);
void session_abort_both(Session *s);

/* Set a bool of the session's under its lock, and wake those that wait. */
void session_set_flag(Session *s, bool *flag);
/* Wait for a flag, forever or for time ns.  Was it set? */
bool session_wait_flag(Session *s, const bool *flag, bool forever,
                       int64_t time);

/* Close s->near or s->far, if it is not closed yet. */
void session_close(Session *s, IoChannel **channel);

/* The reverse thread.  Without forever the wait is RELAY_LINGER_NS long; it
 * returns whether the thread has ended. */
bool session_start_reverse(Session *s, GError **errp);
bool session_wait_reverse(Session *s, bool forever);
void session_join_reverse(Session *s);

/* Let a line take the place of *channel, which is s->near or s->far, and *in
 * read from it.  After a failure both are freed. */
bool session_make_line(Session *s, IoChannel **channel, Stream **in,
                       const LineConfig *config, GError **errp);

/* Nobody here can know who may run the guest: tell a person. */
void session_warn_of_two(const Session *s);

/* How many packs of history this session may have here, if the other relay has
 * memory for so many. */
unsigned session_window(Session *s, unsigned most);

/* A destination that is a command must end without an error.  False
 * otherwise. */
bool session_wait_destination(Session *s);

/* The peer has said what it wants: wait until those before it are connected
 * onward. */
void session_wait_turn(Session *s);
/* Claim a place, wait for this session's turn, and connect s->far. */
bool session_connect_far(Session *s, GError **errp);
/* One more connection to where s->far leads. */
IoChannel *session_connect_qemu(const Session *s, GCancellable *cancel,
                                GError **errp);
/* The far end has taken the migration: the source may connect once more. */
void session_went_on(Session *s);

/* Set s->role by what the peer says, or because it says nothing. */
bool session_choose_role(Session *s, GError **errp);

extern const SessionRole session_role_send;
extern const SessionRole session_role_receive;
extern const SessionRole session_role_convert;

#endif
