/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/vcpu-throttle.h, and that a pause ends when the gate closes. */
#include "vmm/vcpu-throttle.h"

#include "vmm/devices/guest-clock.h"
#include "vmm/vcpu-gate.h"

#define MS  UINT64_C(1000000)
#define DAY (UINT64_C(86400) * 1000 * MS)

static void test_share(void)
{
    static const struct {
        unsigned percent;
        uint64_t ran, pause;
    } rows[] = {
        { 0, 10 * MS, 0 },       { 0, 1000 * MS, 0 },
        { 1, 9999999, 0 },       { 1, 99 * MS, 1 * MS },
        { 20, 10 * MS, 2500000 }, { 50, 10 * MS, 10 * MS },
        { 50, 17 * MS, 17 * MS }, { 75, 10 * MS, 30 * MS },
        { 99, 10 * MS, 990 * MS }, { 99, 9999999, 0 },
        { 99, 30 * MS, 2970 * MS },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        const uint64_t begin = 5000 * MS, end = begin + rows[i].ran;
        VcpuThrottle throttle;

        g_test_message("%u %%, %" G_GUINT64_FORMAT " ns", rows[i].percent,
                       rows[i].ran);
        vcpu_throttle_set(&throttle, rows[i].percent);
        vcpu_throttle_ran(&throttle, begin, end);
        g_assert_true(vcpu_throttle_is_pausing(&throttle, end) ==
                      (rows[i].pause > 0));
        g_assert_false(
            vcpu_throttle_is_pausing(&throttle, end + rows[i].pause));
        g_assert_true(rows[i].pause == 0 ||
                      throttle.until == end + rows[i].pause);
    }
}

/* Time outside of the guest does not count, and slices add up. */
static void test_slices(void)
{
    uint64_t now = 1000 * MS, paused = 0;
    VcpuThrottle throttle;
    unsigned i;

    vcpu_throttle_set(&throttle, 80);
    for (i = 0; i < 100; i++) {
        g_assert_false(vcpu_throttle_is_pausing(&throttle, now));
        vcpu_throttle_ran(&throttle, now, now + 3 * MS);
        now += 3 * MS;
        if (vcpu_throttle_is_pausing(&throttle, now)) {
            paused += throttle.until - now;
            now = throttle.until;
        }
        now += 50 * MS; /* the guest idles */
    }
    g_assert_cmpuint(paused, ==, 300 * MS * 4);
}

static void test_set_ends_pause(void)
{
    const uint64_t now = 1000 * MS;
    VcpuThrottle throttle;

    vcpu_throttle_set(&throttle, 99);
    vcpu_throttle_ran(&throttle, now - 10 * MS, now);
    g_assert_true(vcpu_throttle_is_pausing(&throttle, now));
    vcpu_throttle_set(&throttle, 0);
    g_assert_false(vcpu_throttle_is_pausing(&throttle, now));
}

/* A thread that pauses for a day, as often as it may run. */
static void *pause_thread(void *opaque)
{
    VcpuGate *gate = opaque;

    while (vcpu_gate_wait(gate)) {
        vcpu_gate_sleep(gate, guest_clock_host_now() + DAY);
    }
    return NULL;
}

static void wait_until_running(VcpuGate *gate)
{
    unsigned waiting;

    do {
        pthread_mutex_lock(&gate->lock);
        waiting = gate->waiting;
        pthread_mutex_unlock(&gate->lock);
    } while (waiting > 0);
}

static void test_stop_ends_pause(void)
{
    pthread_t thread;
    VcpuGate gate;
    unsigned i;

    vcpu_gate_init(&gate);
    g_assert_true(
        vcpu_gate_add_thread(&gate, &thread, "pause", pause_thread, &gate,
                             NULL));
    for (i = 0; i < 100; i++) {
        vcpu_gate_open(&gate);
        wait_until_running(&gate);
        vcpu_gate_close(&gate, NULL, NULL); /* or we stand here for a day */
    }
    vcpu_gate_quit(&gate);
    pthread_join(thread, NULL);
    vcpu_gate_destroy(&gate);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/throttle/share", test_share);
    g_test_add_func("/throttle/slices", test_slices);
    g_test_add_func("/throttle/set-ends-pause", test_set_ends_pause);
    g_test_add_func("/throttle/stop-ends-pause", test_stop_ends_pause);
    return g_test_run();
}
