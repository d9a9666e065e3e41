/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/vcpu-gate.h"

#include <errno.h>
#include <string.h>

#include "util/fail.h"

#define NS_PER_SECOND 1000000000u

void vcpu_gate_init(VcpuGate *gate)
{
    pthread_condattr_t attr;

    memset(gate, 0, sizeof(*gate));
    pthread_mutex_init(&gate->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&gate->changed, &attr);
    pthread_condattr_destroy(&attr);
}

void vcpu_gate_destroy(VcpuGate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->lock);
}

bool vcpu_gate_add_thread(VcpuGate *gate, pthread_t *thread, const char *name,
                          void *(*run)(void *), void *arg, GError **errp)
{
    int err = pthread_create(thread, NULL, run, arg);

    if (err) {
        errno = err;
        return fail_errno(errp, "cannot start the thread '%s'", name);
    }
    pthread_setname_np(*thread, name);
    pthread_mutex_lock(&gate->lock);
    gate->threads++;
    pthread_mutex_unlock(&gate->lock);
    return true;
}

bool vcpu_gate_wait(VcpuGate *gate)
{
    bool quit;

    pthread_mutex_lock(&gate->lock);
    gate->waiting++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open && !gate->quit) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    gate->waiting--;
    quit = gate->quit;
    pthread_mutex_unlock(&gate->lock);
    return !quit;
}

bool vcpu_gate_is_open(VcpuGate *gate)
{
    bool open;

    pthread_mutex_lock(&gate->lock);
    open = gate->open;
    pthread_mutex_unlock(&gate->lock);
    return open;
}

void vcpu_gate_sleep(VcpuGate *gate, uint64_t deadline)
{
    struct timespec t = {
        .tv_sec = deadline / NS_PER_SECOND,
        .tv_nsec = deadline % NS_PER_SECOND,
    };
    int err = 0;

    pthread_mutex_lock(&gate->lock);
    while (gate->open && err == 0) {
        if (deadline == VCPU_GATE_FOREVER) {
            pthread_cond_wait(&gate->changed, &gate->lock);
        } else {
            err = pthread_cond_timedwait(&gate->changed, &gate->lock, &t);
        }
    }
    pthread_mutex_unlock(&gate->lock);
}

static void set_open(VcpuGate *gate, bool open)
{
    __atomic_store_n(&gate->open, open, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&gate->changed);
}

void vcpu_gate_open(VcpuGate *gate)
{
    pthread_mutex_lock(&gate->lock);
    set_open(gate, true);
    pthread_mutex_unlock(&gate->lock);
}

void vcpu_gate_close(VcpuGate *gate, void (*kick)(void *), void *opaque)
{
    pthread_mutex_lock(&gate->lock);
    if (gate->open) {
        set_open(gate, false);
        if (kick) {
            kick(opaque);
        }
    }
    while (gate->waiting < gate->threads) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

void vcpu_gate_quit(VcpuGate *gate)
{
    pthread_mutex_lock(&gate->lock);
    g_assert(!gate->open);
    gate->quit = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}
