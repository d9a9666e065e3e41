/* SPDX-License-Identifier: GPL-2.0-or-later */
/* compress-method auto: which rung of a ladder is next.  A pure function of
 * numbers. */
#ifndef MIGRATION_PACK_CHOOSE_H
#define MIGRATION_PACK_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/pack/ladder.h"

/* What is seen before a job is filled, once a job that had pages was sent.  All
 * but now and the counts of jobs are sums since the beginning, of such jobs. */
typedef struct ChooseLook {
    int64_t now;      /* ns */
    uint64_t bytes;   /* that the link has taken, */
    uint64_t pages;   /* and which pages were in them, without zero pages */
    int64_t filled;   /* ns: they took to be filled, */
    int64_t sent;     /* the link took to take them, */
    int64_t waited;   /* and was kept waiting by the workers */
    unsigned ready;   /* jobs that are done, and wait for the link */
    unsigned pending; /* all that are submitted: as many as may be */
} ChooseLook;

/* Added to the nice value of threads that compress as it is chosen, so that
 * they take what the guest leaves of the CPUs. */
#define CHOOSE_NICE 10

typedef enum {
    CHOOSE_BEGIN, /* nothing is known yet */
    CHOOSE_LINK,  /* the link is slower than compression here */
    CHOOSE_CPU,   /* compression here is slower than the link */
    CHOOSE_PEER,  /* fewer bytes have not made it faster */
} ChooseReason;

/* As people are told it; NULL for CHOOSE_BEGIN. */
const char *choose_reason(ChooseReason reason);

/* What was seen in a stretch of time: bytes and pages in each ns, and parts of
 * 1. */
typedef struct ChooseWindow {
    double bytes, pages;
    double filled, sent; /* of the time */
    double ready;        /* of the jobs */
} ChooseWindow;

typedef struct ChoosePause {
    unsigned windows; /* that are left of it */
    unsigned next;    /* of the next one */
    double bytes;     /* in each ns, when it began */
} ChoosePause;

/* All fields but these two are choose.c's. */
typedef struct Choice {
    unsigned rung;
    ChooseReason reason;

    bool on_trial;
    unsigned from;       /* the rung that the trial has left, */
    ChooseReason reason_before; /* why that was chosen, */
    ChooseWindow before; /* and what was seen there */
    ChoosePause up, down; /* of trials */
    double link;         /* bytes in each ns that the link takes, and */
    double packed;       /* pages that rung 1 makes of them; 0: unknown */

    unsigned stale; /* looks until the last rung's jobs have gone */
    unsigned looks; /* in this window */
    ChooseLook first;
    uint64_t ready, pending; /* sums of the window */
} Choice;

/* On the lowest rung that compresses. */
void choose_begin(Choice *choice, const Ladder *ladder);

/* True when the choice has become another one. */
bool choose_look(Choice *choice, const Ladder *ladder, const ChooseLook *look);

/* There is no time for trials any more: back to what was chosen last. */
void choose_settle(Choice *choice);

#endif
