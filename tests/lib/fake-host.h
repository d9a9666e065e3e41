/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scripted host: RAM blocks, a dirty log and one device in memory, and a
 * hook that sees every call of the library before it takes effect.
 */
#ifndef TESTS_FAKE_HOST_H
#define TESTS_FAKE_HOST_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/host.h"

#define FAKE_BLOCKS_MAX 2u
#define FAKE_STATES_MAX 16u

typedef struct FakeHost FakeHost;

/* Where the hook is called. */
typedef enum {
    FAKE_LOG_START,
    FAKE_LOG_COLLECT, /* once per collection, not per block */
    FAKE_LOG_COLLECT_PART,
    FAKE_LOG_STOP,
    FAKE_VM_STOP,
    FAKE_VM_RESUME,
    FAKE_VM_START,
    FAKE_PRE_SAVE,
    FAKE_POST_LOAD,
    FAKE_POINTS
} FakePoint;

/* nth counts from 1 for each point.  False, with an error, makes the call fail
 * where it can. */
typedef bool FakeHook(FakeHost *host, FakePoint point, unsigned nth,
                      GError **errp);

typedef struct FakeDevice {
    uint64_t counter;
    uint32_t reg[2];
    bool flag;
    uint8_t fifo[16];
    bool extra_used; /* not saved itself: is the subsection needed? */
    uint16_t extra;
    FakeHost *host;
} FakeDevice;

struct FakeHost {
    MigRamBlock block[FAKE_BLOCKS_MAX];
    size_t blocks;
    FakeDevice state;
    MigDevice device;

    FakeHook *hook; /* may be NULL */
    void *hook_data;

    pthread_mutex_t lock;
    /* all below: lock */
    uint64_t *dirty[FAKE_BLOCKS_MAX];
    bool logging;
    bool running; /* the guest may write */
    unsigned calls[FAKE_POINTS];
    MigState states[FAKE_STATES_MAX]; /* in the order of their events */
    unsigned nstates;
    unsigned passes;
    unsigned throttle;     /* per cent */
    unsigned throttle_max; /* the highest so far */

    /* the guest's thread, where there is one */
    pthread_t guest;
    bool has_guest;
    bool guest_ends;
};

extern const MigHost fake_mig_host;

/* pages[i] is the size of block i, "ram0" and "ram1", all zero. */
FakeHost *fake_host_new(const uint64_t *pages, size_t blocks);
void fake_host_free(FakeHost *host);

/* Fill RAM with zero pages, pages that compress and pages that do not, and
 * the device with values; the same for the same seed. */
void fake_host_fill(FakeHost *host, uint32_t seed);

/* Write as the guest does: memory first, then the dirty log. */
void fake_host_write(FakeHost *host, size_t block, uint64_t page,
                     uint32_t value);

/* A guest that writes all over its RAM, in a thread, whenever it runs. */
void fake_host_start_guest(FakeHost *host);

/* It writes no more, for good. */
void fake_host_quiet_guest(FakeHost *host);

/* Compare RAM and device state. */
void fake_host_assert_same(const FakeHost *a, const FakeHost *b);
void fake_host_assert_same_devices(const FakeHost *a, const FakeHost *b);

unsigned fake_host_calls(FakeHost *host, FakePoint point);
bool fake_host_running(FakeHost *host);

/* "setup,active,device,completed"; to be freed by g_free(). */
char *fake_host_states(FakeHost *host);

#endif
