/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A gate: a thread that reaches it can be awaited, and can be made to stay. */
#ifndef TESTS_GATE_H
#define TESTS_GATE_H

#include <pthread.h>
#include <stdbool.h>

typedef struct Gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool reached;
    bool released;
} Gate;

void gate_init(Gate *gate);
void gate_reach(Gate *gate);   /* reach it, and go on */
void gate_pass(Gate *gate);    /* reach it, and wait for the release */
void gate_await(Gate *gate);   /* wait until it is reached */
/* The same, but not for longer; was it? */
bool gate_await_for(Gate *gate, unsigned ms);
void gate_release(Gate *gate);
void gate_destroy(Gate *gate);

#endif
