/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-turns.h"

#include "tools/relay/relay-wire.h"
#include "util/clock.h"
#include "util/thread.h"

typedef struct Inside {
    unsigned number;
    bool begun;      /* turns_begin() */
    const void *way; /* if begun */
} Inside;

struct Turns {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* inside has lost a number */
    GArray *inside; /* lock; of Inside, by number: sessions not yet onward */
    unsigned places; /* constant */
    unsigned taken;  /* lock; of places */
    unsigned live;   /* lock; how many sessions are live */
    GCancellable *is_live; /* lock; cancelled while live > 0 */
};

Turns *turns_new(unsigned places)
{
    Turns *turns = g_new0(Turns, 1);

    pthread_mutex_init(&turns->lock, NULL);
    thread_cond_init(&turns->changed);
    turns->places = places;
    turns->is_live = g_cancellable_new();
    turns->inside = g_array_new(FALSE, FALSE, sizeof(Inside));
    return turns;
}

void turns_free(Turns *turns)
{
    if (turns) {
        g_array_unref(turns->inside);
        g_object_unref(turns->is_live);
        pthread_cond_destroy(&turns->changed);
        pthread_mutex_destroy(&turns->lock);
        g_free(turns);
    }
}

void turns_enter(Turns *turns, unsigned number)
{
    const Inside inside = { .number = number };

    pthread_mutex_lock(&turns->lock);
    g_array_append_val(turns->inside, inside);
    pthread_mutex_unlock(&turns->lock);
}

static Inside *at(const Turns *turns, unsigned i)
{
    return &g_array_index(turns->inside, Inside, i);
}

/* NULL: it has left. */
static Inside *find_locked(const Turns *turns, unsigned number)
{
    for (unsigned i = 0; i < turns->inside->len; i++) {
        if (at(turns, i)->number == number) {
            return at(turns, i);
        }
    }
    return NULL;
}

static bool is_waited_for(const Inside *before, const Inside *mine)
{
    return !before->begun ||
           (mine && mine->begun && before->way == mine->way);
}

static bool is_first_locked(const Turns *turns, unsigned number)
{
    const Inside *mine = find_locked(turns, number);

    for (unsigned i = 0; i < turns->inside->len; i++) {
        if (at(turns, i)->number < number &&
            is_waited_for(at(turns, i), mine)) {
            return false;
        }
    }
    return true;
}

/* Those who may never say anything are not waited for any more. */
static void drop_silent_locked(Turns *turns, unsigned number)
{
    for (unsigned i = turns->inside->len; i-- > 0; ) {
        if (at(turns, i)->number < number && !at(turns, i)->begun) {
            g_array_remove_index(turns->inside, i);
        }
    }
}

void turns_wait(Turns *turns, unsigned number)
{
    int64_t deadline = clock_now(&clock_monotonic) + RELAY_TURN_NS;

    pthread_mutex_lock(&turns->lock);
    while (!is_first_locked(turns, number)) {
        if (clock_now(&clock_monotonic) < deadline) {
            clock_monotonic.wait(&clock_monotonic, &turns->changed,
                                 &turns->lock, deadline);
            continue;
        }
        drop_silent_locked(turns, number);
        if (!is_first_locked(turns, number)) {
            pthread_cond_wait(&turns->changed, &turns->lock);
        }
    }
    pthread_mutex_unlock(&turns->lock);
}

void turns_begin(Turns *turns, unsigned number, const void *way)
{
    Inside *mine;

    pthread_mutex_lock(&turns->lock);
    mine = find_locked(turns, number);
    if (mine) {
        mine->begun = true;
        mine->way = way;
        pthread_cond_broadcast(&turns->changed);
    }
    pthread_mutex_unlock(&turns->lock);
}

bool turns_claim(Turns *turns)
{
    bool ok;

    pthread_mutex_lock(&turns->lock);
    ok = turns->taken < turns->places;
    turns->taken += ok;
    pthread_mutex_unlock(&turns->lock);
    return ok;
}

void turns_give_back(Turns *turns)
{
    pthread_mutex_lock(&turns->lock);
    if (turns->places > 1) {
        turns->taken--;
    }
    pthread_mutex_unlock(&turns->lock);
}

void turns_leave(Turns *turns, unsigned number)
{
    pthread_mutex_lock(&turns->lock);
    for (unsigned i = 0; i < turns->inside->len; i++) {
        if (at(turns, i)->number == number) {
            g_array_remove_index(turns->inside, i);
            pthread_cond_broadcast(&turns->changed);
            break;
        }
    }
    pthread_mutex_unlock(&turns->lock);
}

void turns_begin_live(Turns *turns)
{
    pthread_mutex_lock(&turns->lock);
    if (turns->live++ == 0) {
        g_cancellable_cancel(turns->is_live);
    }
    pthread_mutex_unlock(&turns->lock);
}

void turns_end_live(Turns *turns)
{
    pthread_mutex_lock(&turns->lock);
    if (--turns->live == 0) {
        g_object_unref(turns->is_live);
        turns->is_live = g_cancellable_new();
    }
    pthread_mutex_unlock(&turns->lock);
}

GCancellable *turns_live(Turns *turns)
{
    GCancellable *live;

    pthread_mutex_lock(&turns->lock);
    live = g_object_ref(turns->is_live);
    pthread_mutex_unlock(&turns->lock);
    return live;
}
