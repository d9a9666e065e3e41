/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one migration has moved, and what its relay has waited for.
 *
 * Any thread may add to a counter, and read it.  Counters order
 * nothing else, so all accesses are relaxed.
 */
#ifndef RELAY_STATS_H
#define RELAY_STATS_H

#include <stdatomic.h>
#include <stdint.h>

typedef enum {
    RELAY_WAIT_QEMU, /* to read from QEMU, or to write to it */
    RELAY_WAIT_LINK,
    RELAY_WAIT_CPU,  /* the oldest batch is not done yet */
    RELAY_WAIT__COUNT
} RelayWait;

/* Where the stream stands.  Only a scanned stream whose RAM has begun has a
 * phase but the first. */
typedef enum {
    RELAY_PHASE_UNKNOWN,
    RELAY_PHASE_FIRST, /* pass through RAM */
    RELAY_PHASE_AGAIN, /* pages that the guest has changed meanwhile */
    RELAY_PHASE_STOPPED, /* the source has stopped its guest */
    RELAY_PHASE_POSTCOPY,
    RELAY_PHASE_HANDED_OVER, /* the destination may have all that it needs */
    RELAY_PHASE__COUNT
} RelayPhase;

typedef struct RelayStats {
    /* The forward thread's. */
    _Atomic uint64_t bytes_in;
    _Atomic uint64_t bytes_out;
    _Atomic uint64_t pages; /* packed or unpacked */
    _Atomic uint64_t history; /* bytes of it, once it is allocated */
    /* How pages are packed now; the texts are constants. */
    const char *_Atomic method; /* NULL: not here */
    const char *_Atomic reason; /* or NULL */
    _Atomic unsigned level;
    _Atomic int64_t waited[RELAY_WAIT__COUNT]; /* ns */
    /* How far it has come, of a stream that is scanned: see
     * relay-progress.c. */
    _Atomic RelayPhase phase;
    _Atomic uint64_t ram;         /* bytes, as the stream says */
    _Atomic uint64_t ram_passed;  /* bytes that the first pass is through */
    _Atomic uint64_t passes;      /* with the one that is on its way */
    _Atomic int64_t pass_began;   /* by clock_monotonic */
    _Atomic uint64_t pages_again; /* that came behind the first pass */
    _Atomic uint64_t dirty_rate;  /* bytes a second that the guest changed in */
    _Atomic uint64_t pass_rate;   /* the last but one whole pass, and that the
                                   * last one passed at; 0: not known */
    /* The reverse thread's. */
    _Atomic uint64_t reverse_bytes; /* QEMU's */
} RelayStats;

static inline void relay_stats_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline uint64_t relay_stats_get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void relay_stats_set(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, n, memory_order_relaxed);
}

/* In ns. */
static inline int64_t relay_stats_time(RelayStats *stats, RelayWait what)
{
    return atomic_load_explicit(&stats->waited[what], memory_order_relaxed);
}

void relay_stats_encoding(RelayStats *stats, const char *method,
                          unsigned level, const char *reason);

/* Count the time from `since`, by clock_monotonic, until now. */
void relay_stats_waited(RelayStats *stats, RelayWait what, int64_t since);

#endif
