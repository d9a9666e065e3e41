/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does KVM work for our kind of guest, and is it fast?
 *
 * A machine of 2 MiB and one CPU, made and entered like a real one, counts down
 * and halts: 100,000 instructions, for which it gets 5 ms.  That is 20 million
 * a second, less than the software CPU does and a hundredth of what hardware
 * does.  A machine that has neither halted nor failed by then is slow.
 */
#include "vmm/kvm/kvm-probe.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "ferry/error.h"
#include "vmm/accel.h"
#include "vmm/boot.h"
#include "vmm/devices/guest-clock.h"

#define PROBE_RAM   0x200000u
#define PROBE_ENTRY 0x100000u
#define PROBE_NS    5000000u

/* mov $50000, %ecx; 1: dec %ecx; jnz 1b; hlt */
static const uint8_t probe_code[] = {
    0xb9, 0x50, 0xc3, 0x00, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0xf4,
};

typedef struct Probe {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    /* The CPU's thread sets, the caller waits for either. */
    bool halted; /* lock */
    char *why;   /* lock; why the guest failed */
} Probe;

static void probe_halted(void *opaque)
{
    Probe *probe = opaque;

    pthread_mutex_lock(&probe->lock);
    probe->halted = true;
    pthread_cond_signal(&probe->ended);
    pthread_mutex_unlock(&probe->lock);
}

static void probe_failed(void *opaque, unsigned cpu, const char *why)
{
    Probe *probe = opaque;

    pthread_mutex_lock(&probe->lock);
    probe->why = g_strdup(why);
    pthread_cond_signal(&probe->ended);
    pthread_mutex_unlock(&probe->lock);
}

static void wait_for_end(Probe *probe)
{
    uint64_t end = guest_clock_host_now() + PROBE_NS;
    struct timespec t = {
        .tv_sec = end / 1000000000u, .tv_nsec = end % 1000000000u,
    };
    int err = 0;

    pthread_mutex_lock(&probe->lock);
    while (!probe->halted && !probe->why && err == 0) {
        err = pthread_cond_clockwait(&probe->ended, &probe->lock,
                                     CLOCK_MONOTONIC, &t);
    }
    pthread_mutex_unlock(&probe->lock);
}

static bool run_probe(Probe *probe, GuestRam *ram, GError **errp)
{
    const AccelOptions options = { .kind = ACCEL_KVM };
    const AccelBoard board = {
        .ram = ram, .cpu_count = 1, .opaque = probe,
        .halted = probe_halted, .failed = probe_failed,
    };
    Accel *accel = accel_kvm_ops.new(&board, &options, errp);
    CpuState cpu;
    bool ok;

    if (!accel) {
        return false;
    }
    boot_setup_ram(ram, 1, "");
    memcpy(ram->host + PROBE_ENTRY, probe_code, sizeof(probe_code));
    cpu_state_reset(&cpu, accel, 0);
    boot_setup_cpu(&cpu, PROBE_ENTRY);
    ok = accel_load_cpu(accel, &cpu, errp);
    if (ok) {
        accel_start(accel);
        wait_for_end(probe);
    }
    accel_free(accel);
    return ok;
}

static KvmProbe probe_ram(GuestRam *ram, GError **errp)
{
    Probe probe = { .halted = false };
    bool ok;

    pthread_mutex_init(&probe.lock, NULL);
    pthread_cond_init(&probe.ended, NULL);
    ok = run_probe(&probe, ram, errp);
    pthread_cond_destroy(&probe.ended);
    pthread_mutex_destroy(&probe.lock);
    if (ok && probe.why) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "kvm: KVM cannot run a guest: %s", probe.why);
        ok = false;
    }
    g_free(probe.why);
    if (!ok) {
        return KVM_PROBE_BROKEN;
    }
    return probe.halted ? KVM_PROBE_FAST : KVM_PROBE_SLOW;
}

KvmProbe kvm_probe(GError **errp)
{
    GuestRam ram;
    KvmProbe result;

    if (!guest_ram_init(&ram, PROBE_RAM, errp)) {
        return KVM_PROBE_BROKEN;
    }
    result = probe_ram(&ram, errp);
    guest_ram_destroy(&ram);
    return result;
}
