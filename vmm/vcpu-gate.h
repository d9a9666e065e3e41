/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate that a machine's CPU threads wait at.
 *
 * A thread runs
 *
 *     while (vcpu_gate_wait(gate)) {
 *         while (vcpu_gate_is_open(gate)) {
 *             run the CPU for a while
 *         }
 *     }
 *
 * Opening the gate lets all threads run.  Closing it waits until all are back.
 * Quitting makes vcpu_gate_wait() return false, so that they can be joined.
 */
#ifndef VMM_VCPU_GATE_H
#define VMM_VCPU_GATE_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define VCPU_GATE_FOREVER UINT64_MAX

typedef struct VcpuGate {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* any of the fields; waits use CLOCK_MONOTONIC */
    int open;         /* the owner sets under lock, threads read atomically */
    bool quit;        /* lock; the owner sets, threads read */
    unsigned threads; /* lock; how many there are; the owner counts */
    unsigned waiting; /* lock; how many are in vcpu_gate_wait(); they count */
} VcpuGate;

void vcpu_gate_init(VcpuGate *gate);
void vcpu_gate_destroy(VcpuGate *gate); /* all threads are joined */

/* Start one more thread, with a name of at most 15 bytes, before the gate is
 * first opened.  No signal is blocked in it. */
bool vcpu_gate_add_thread(VcpuGate *gate, pthread_t *thread, const char *name,
                          void *(*run)(void *), void *arg, GError **errp);

/* For the threads.  False: return from the thread's function. */
bool vcpu_gate_wait(VcpuGate *gate);
bool vcpu_gate_is_open(VcpuGate *gate);

/*
 * The same without the lock, for a caller that asks often.  Unlike
 * vcpu_gate_is_open() this may say "closed" before the kick has come.
 */
static inline bool vcpu_gate_looks_open(const VcpuGate *gate)
{
    return __atomic_load_n(&gate->open, __ATOMIC_RELAXED);
}

/* Sleep until host time deadline (guest_clock_host_now()) or until the gate
 * is closed. */
void vcpu_gate_sleep(VcpuGate *gate, uint64_t deadline);

/* For the owner.  kick, which may be NULL, makes the threads that run their
 * CPUs look at the gate.  It is called once, with the lock held. */
void vcpu_gate_open(VcpuGate *gate);
void vcpu_gate_close(VcpuGate *gate, void (*kick)(void *), void *opaque);
void vcpu_gate_quit(VcpuGate *gate); /* the gate is closed */

#endif
