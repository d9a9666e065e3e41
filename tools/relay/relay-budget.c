/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rate: each user has a time before which it must not write.  A write moves
 * it on by what its bytes take at the user's share.  A user that was idle does
 * not save up.
 */
#include "tools/relay/relay-budget.h"

#include <pthread.h>

#include "util/thread.h"

struct BudgetUser {
    Budget *budget;
    uint64_t memory; /* the budget's lock, as all of these */
    uint64_t line;   /* bytes of memory besides */
    int64_t wrote;   /* when it last wanted to write; 0: never */
    int64_t next;    /* not to write before */
};

struct Budget {
    BudgetConfig config; /* constant */
    pthread_mutex_t lock;
    pthread_cond_t never; /* for waits that only time ends */
    GPtrArray *users;     /* lock */
    uint64_t promised;    /* lock; bytes, of all users */
};

Budget *budget_new(const BudgetConfig *config)
{
    Budget *budget = g_new0(Budget, 1);

    budget->config = *config;
    budget->users = g_ptr_array_new();
    pthread_mutex_init(&budget->lock, NULL);
    thread_cond_init(&budget->never);
    return budget;
}

void budget_free(Budget *budget)
{
    if (budget) {
        g_assert(budget->users->len == 0 && budget->promised == 0);
        g_ptr_array_unref(budget->users);
        pthread_cond_destroy(&budget->never);
        pthread_mutex_destroy(&budget->lock);
        g_free(budget);
    }
}

BudgetUser *budget_join(Budget *budget)
{
    BudgetUser *user = g_new0(BudgetUser, 1);

    user->budget = budget;
    pthread_mutex_lock(&budget->lock);
    g_ptr_array_add(budget->users, user);
    pthread_mutex_unlock(&budget->lock);
    return user;
}

void budget_leave(BudgetUser *user)
{
    if (user) {
        Budget *budget = user->budget;

        pthread_mutex_lock(&budget->lock);
        budget->promised -= user->memory + user->line;
        g_ptr_array_remove_fast(budget->users, user);
        pthread_mutex_unlock(&budget->lock);
        g_free(user);
    }
}

static uint64_t left_locked(const Budget *budget)
{
    return budget->config.memory - MIN(budget->promised, budget->config.memory);
}

unsigned budget_promise(BudgetUser *user, unsigned pieces, size_t piece)
{
    Budget *budget = user->budget;

    pthread_mutex_lock(&budget->lock);
    budget->promised -= user->memory;
    if (budget->config.memory) {
        pieces = (unsigned)MIN((uint64_t)pieces, left_locked(budget) / piece);
    }
    user->memory = (uint64_t)pieces * piece;
    budget->promised += user->memory;
    pthread_mutex_unlock(&budget->lock);
    return pieces;
}

size_t budget_promise_line(BudgetUser *user, size_t least, size_t most)
{
    Budget *budget = user->budget;

    pthread_mutex_lock(&budget->lock);
    budget->promised -= user->line;
    user->line = most;
    if (budget->config.memory) {
        user->line = CLAMP(left_locked(budget) / 4, least, most);
    }
    budget->promised += user->line;
    pthread_mutex_unlock(&budget->lock);
    return (size_t)user->line;
}

static unsigned count_writers_locked(const Budget *budget, int64_t now)
{
    unsigned count = 0;

    for (unsigned i = 0; i < budget->users->len; i++) {
        const BudgetUser *user = budget->users->pdata[i];

        count += user->wrote && (now < user->next ||
                                 now - user->wrote < BUDGET_LATELY_NS);
    }
    return count;
}

/* They are about to be written. */
static void count_bytes_locked(BudgetUser *user, size_t bytes, int64_t now)
{
    const Budget *budget = user->budget;

    user->wrote = now;
    user->next = now + (int64_t)((double)bytes / (double)budget->config.rate *
                                 count_writers_locked(budget, now) *
                                 (double)NS_PER_S);
}

int64_t budget_pace_later(BudgetUser *user, size_t bytes)
{
    Budget *budget = user->budget;
    int64_t now, wait = 0;

    if (!budget->config.rate) {
        return 0;
    }
    pthread_mutex_lock(&budget->lock);
    now = clock_now(budget->config.clock);
    if (now < user->next) {
        user->wrote = now; /* it wants to */
        wait = user->next - now;
    } else {
        count_bytes_locked(user, bytes, now);
    }
    pthread_mutex_unlock(&budget->lock);
    return wait;
}

void budget_pace(BudgetUser *user, size_t bytes)
{
    Budget *budget = user->budget;
    const Clock *clock = budget->config.clock;
    int64_t now;

    if (!budget->config.rate) {
        return;
    }
    pthread_mutex_lock(&budget->lock);
    while ((now = clock_now(clock)) < user->next) {
        user->wrote = now; /* it wants to */
        clock->wait(clock, &budget->never, &budget->lock, user->next);
    }
    count_bytes_locked(user, bytes, now);
    pthread_mutex_unlock(&budget->lock);
}
