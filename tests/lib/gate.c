/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/gate.h"

#include <time.h>

void gate_init(Gate *gate)
{
    *gate = (Gate){ .reached = false };
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
}

void gate_reach(Gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->reached = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

void gate_pass(Gate *gate)
{
    gate_reach(gate);
    pthread_mutex_lock(&gate->lock);
    while (!gate->released) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

void gate_await(Gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    while (!gate->reached) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

bool gate_await_for(Gate *gate, unsigned ms)
{
    struct timespec until;
    bool reached;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&gate->lock);
    while (!gate->reached &&
           pthread_cond_timedwait(&gate->changed, &gate->lock, &until) == 0) {
    }
    reached = gate->reached;
    pthread_mutex_unlock(&gate->lock);
    return reached;
}

void gate_release(Gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->released = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

void gate_destroy(Gate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->lock);
}
