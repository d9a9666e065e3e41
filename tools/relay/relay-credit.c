/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-credit.h"

#include <gio/gio.h>

#include "util/thread.h"

void credit_init(Credit *credit, uint64_t limit)
{
    *credit = (Credit){ .limit = limit };
    pthread_mutex_init(&credit->lock, NULL);
    thread_cond_init(&credit->changed);
}

void credit_destroy(Credit *credit)
{
    pthread_cond_destroy(&credit->changed);
    pthread_mutex_destroy(&credit->lock);
}

void credit_grant(Credit *credit, uint64_t limit)
{
    pthread_mutex_lock(&credit->lock);
    if (limit > credit->limit) {
        credit->limit = limit;
        pthread_cond_broadcast(&credit->changed);
    }
    pthread_mutex_unlock(&credit->lock);
}

void credit_end(Credit *credit)
{
    pthread_mutex_lock(&credit->lock);
    credit->over = true;
    pthread_cond_broadcast(&credit->changed);
    pthread_mutex_unlock(&credit->lock);
}

bool credit_allows(Credit *credit, uint64_t position)
{
    bool ok;

    pthread_mutex_lock(&credit->lock);
    ok = !credit->over && position <= credit->limit;
    pthread_mutex_unlock(&credit->lock);
    return ok;
}

bool credit_wait(Credit *credit, uint64_t position, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&credit->lock);
    while (!credit->over && position > credit->limit) {
        pthread_cond_wait(&credit->changed, &credit->lock);
    }
    ok = !credit->over;
    pthread_mutex_unlock(&credit->lock);
    if (!ok) {
        g_set_error_literal(errp, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                            "the link has ended");
    }
    return ok;
}
