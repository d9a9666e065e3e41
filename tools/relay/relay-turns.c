/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-turns.h"

#include "tools/relay/relay-wire.h"
#include "util/clock.h"
#include "util/thread.h"

struct Turns {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    GArray *inside; /* lock; of unsigned, ascending */
    bool one_place;
    bool taken;     /* lock */
};

Turns *turns_new(bool one_place)
{
    Turns *turns = g_new0(Turns, 1);

    pthread_mutex_init(&turns->lock, NULL);
    thread_cond_init(&turns->changed);
    turns->one_place = one_place;
    turns->inside = g_array_new(FALSE, FALSE, sizeof(unsigned));
    return turns;
}

void turns_free(Turns *turns)
{
    if (turns) {
        g_array_unref(turns->inside);
        pthread_cond_destroy(&turns->changed);
        pthread_mutex_destroy(&turns->lock);
        g_free(turns);
    }
}

void turns_enter(Turns *turns, unsigned number)
{
    pthread_mutex_lock(&turns->lock);
    g_array_append_val(turns->inside, number);
    pthread_mutex_unlock(&turns->lock);
}

static bool is_first_locked(const Turns *turns, unsigned number)
{
    return !turns->inside->len ||
           g_array_index(turns->inside, unsigned, 0) >= number;
}

void turns_wait(Turns *turns, unsigned number)
{
    int64_t deadline = clock_now(&clock_monotonic) + RELAY_TURN_NS;

    pthread_mutex_lock(&turns->lock);
    while (!is_first_locked(turns, number) &&
           clock_now(&clock_monotonic) < deadline) {
        clock_monotonic.wait(&clock_monotonic, &turns->changed, &turns->lock,
                             deadline);
    }
    while (!is_first_locked(turns, number)) {
        g_array_remove_index(turns->inside, 0);
    }
    pthread_mutex_unlock(&turns->lock);
}

bool turns_claim(Turns *turns)
{
    bool ok;

    pthread_mutex_lock(&turns->lock);
    ok = !turns->one_place || !turns->taken;
    turns->taken = true;
    pthread_mutex_unlock(&turns->lock);
    return ok;
}

void turns_leave(Turns *turns, unsigned number)
{
    pthread_mutex_lock(&turns->lock);
    for (unsigned i = 0; i < turns->inside->len; i++) {
        if (g_array_index(turns->inside, unsigned, i) == number) {
            g_array_remove_index(turns->inside, i);
            pthread_cond_broadcast(&turns->changed);
            break;
        }
    }
    pthread_mutex_unlock(&turns->lock);
}
