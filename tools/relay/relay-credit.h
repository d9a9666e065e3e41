/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many bytes of a channel may be sent in all: the other relay says so, as
 * its QEMU takes them.  So nobody ever waits for one channel where the bytes of
 * another one come in.
 *
 * All functions may be called from any thread.
 */
#ifndef RELAY_CREDIT_H
#define RELAY_CREDIT_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Credit {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t limit; /* lock */
    bool over;      /* lock; nothing may be sent any more */
} Credit;

void credit_init(Credit *credit, uint64_t limit);
void credit_destroy(Credit *credit);

/* A limit that is lower than the one before changes nothing. */
void credit_grant(Credit *credit, uint64_t limit);
void credit_end(Credit *credit);

/* May bytes up to this one be sent, now? */
bool credit_allows(Credit *credit, uint64_t position);
/* Wait until they may.  False, and G_IO_ERROR_CANCELLED: never. */
bool credit_wait(Credit *credit, uint64_t position, GError **errp);

#endif
