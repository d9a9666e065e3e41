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
 * Opened, all threads run; closing waits until all are back; quitting makes
 * wait return false, so that they can be joined.
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
    int open;         /* written with the lock held, read atomically */
    bool quit;        /* lock */
    unsigned threads; /* lock: those that there are */
    unsigned waiting; /* lock: those in vcpu_gate_wait() */
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
 * The same without the lock, for where it is asked often.  Unlike
 * vcpu_gate_is_open() it may say "closed" before the kick has come.
 */
static inline bool vcpu_gate_looks_open(const VcpuGate *gate)
{
    return __atomic_load_n(&gate->open, __ATOMIC_RELAXED);
}

/* Sleep until host time deadline (guest_clock_host_now()) or until the gate
 * is closed. */
void vcpu_gate_sleep(VcpuGate *gate, uint64_t deadline);

/* For the owner.  kick, which may be NULL, is to make a thread that runs its
 * CPU look at the gate; it is called once, with the lock held. */
void vcpu_gate_open(VcpuGate *gate);
void vcpu_gate_close(VcpuGate *gate, void (*kick)(void *), void *opaque);
void vcpu_gate_quit(VcpuGate *gate); /* closed */

#endif
