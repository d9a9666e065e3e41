/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's devices: the serial port's registers and the clock. */
#include <string.h>

#include "vmm/devices/guest-clock.h"
#include "vmm/devices/port-bus.h"
#include "vmm/devices/serial.h"

/* A line that records. */
typedef struct Fixture {
    Serial serial;
    char sent[64];
    unsigned sent_count;
    unsigned room_calls;
    bool busy;
} Fixture;

static bool can_send(void *opaque)
{
    return !((Fixture *)opaque)->busy;
}

static void send_byte(void *opaque, uint8_t byte)
{
    Fixture *f = opaque;

    f->sent[f->sent_count++] = byte;
}

static void has_room(void *opaque)
{
    ((Fixture *)opaque)->room_calls++;
}

static void setup(Fixture *f)
{
    const SerialLine line = {
        .opaque = f, .can_send = can_send, .send = send_byte,
        .has_room = has_room,
    };

    memset(f, 0, sizeof(*f));
    serial_init(&f->serial, &line);
}

static void test_transmit(void)
{
    Fixture f;

    setup(&f);
    g_assert_cmphex(serial_read(&f.serial, 5), ==, 0x60);
    serial_write(&f.serial, 0, 'A');
    f.busy = true;
    g_assert_cmphex(serial_read(&f.serial, 5), ==, 0);
    serial_write(&f.serial, 0, 'B'); /* nobody looked: lost */
    f.busy = false;
    serial_write(&f.serial, 0, 'C');
    g_assert_cmpstr(f.sent, ==, "AC");
}

static void test_receive_without_fifo(void)
{
    Fixture f;

    setup(&f);
    g_assert_cmpuint(serial_room(&f.serial), ==, 1);
    serial_receive(&f.serial, 'x');
    g_assert_cmpuint(serial_room(&f.serial), ==, 0);
    g_assert_cmphex(serial_read(&f.serial, 5), ==, 0x61);
    g_assert_cmpuint(f.room_calls, ==, 0);
    g_assert_cmphex(serial_read(&f.serial, 0), ==, 'x');
    g_assert_cmpuint(f.room_calls, ==, 1);
    g_assert_cmphex(serial_read(&f.serial, 5), ==, 0x60);
    g_assert_cmphex(serial_read(&f.serial, 0), ==, 0);
}

static void test_fifo(void)
{
    Fixture f;
    unsigned i;

    setup(&f);
    serial_write(&f.serial, 2, 1);
    g_assert_cmphex(serial_read(&f.serial, 2), ==, 0xc1);
    g_assert_cmpuint(serial_room(&f.serial), ==, 16);
    for (i = 0; i < 16; i++) {
        serial_receive(&f.serial, i);
    }
    g_assert_cmpuint(serial_room(&f.serial), ==, 0);
    for (i = 0; i < 4; i++) {
        g_assert_cmphex(serial_read(&f.serial, 0), ==, i);
    }
    serial_write(&f.serial, 2, 3); /* clear the receiver */
    g_assert_cmpuint(serial_room(&f.serial), ==, 16);
    g_assert_cmphex(serial_read(&f.serial, 5) & 1, ==, 0);
}

static void test_loopback(void)
{
    Fixture f;

    setup(&f);
    serial_write(&f.serial, 4, 0x1a); /* loop, RTS, OUT2 */
    g_assert_cmphex(serial_read(&f.serial, 6), ==, 0x90); /* CTS, DCD */
    g_assert_cmpuint(serial_room(&f.serial), ==, 0);
    serial_write(&f.serial, 0, 'l');
    g_assert_cmphex(serial_read(&f.serial, 5), ==, 0x61);
    serial_write(&f.serial, 0, 'm'); /* one too many */
    g_assert_cmphex(serial_read(&f.serial, 5), ==, 0x63);
    g_assert_cmphex(serial_read(&f.serial, 5), ==, 0x61);
    g_assert_cmphex(serial_read(&f.serial, 0), ==, 'l');
    g_assert_cmpuint(f.sent_count, ==, 0);
    serial_write(&f.serial, 4, 0);
    g_assert_cmphex(serial_read(&f.serial, 6), ==, 0xb0);
}

static void test_divisor_and_scratch(void)
{
    Fixture f;

    setup(&f);
    serial_write(&f.serial, 7, 0x5a);
    serial_write(&f.serial, 1, 0xff);
    serial_write(&f.serial, 3, 0x83); /* DLAB */
    serial_write(&f.serial, 0, 12);
    serial_write(&f.serial, 1, 34);
    g_assert_cmpuint(serial_read(&f.serial, 0), ==, 12);
    g_assert_cmpuint(serial_read(&f.serial, 1), ==, 34);
    serial_write(&f.serial, 3, 0x03);
    g_assert_cmphex(serial_read(&f.serial, 1), ==, 0x0f);
    g_assert_cmphex(serial_read(&f.serial, 3), ==, 0x03);
    g_assert_cmphex(serial_read(&f.serial, 7), ==, 0x5a);
    g_assert_cmpuint(f.sent_count, ==, 0);
}

static void test_interrupt_identification(void)
{
    Fixture f;

    setup(&f);
    g_assert_cmphex(serial_read(&f.serial, 2), ==, 0x01);
    serial_write(&f.serial, 1, 0x07);
    g_assert_cmphex(serial_read(&f.serial, 2), ==, 0x02);
    g_assert_cmphex(serial_read(&f.serial, 2), ==, 0x01);
    serial_receive(&f.serial, 'x');
    g_assert_cmphex(serial_read(&f.serial, 2), ==, 0x04);
    serial_read(&f.serial, 0);
    serial_write(&f.serial, 0, 'y');
    g_assert_cmphex(serial_read(&f.serial, 2), ==, 0x02);
}

static void test_bad_fifo_is_refused(void)
{
    g_autoptr(GError) err = NULL;
    Fixture f;

    setup(&f);
    f.serial.fifo_count = 17;
    g_assert_false(serial_vmstate.post_load(&f.serial, 1, &err));
    g_assert_nonnull(err);
}

static void test_ports(void)
{
    GuestClock clock = { .ns = 1000000000 };
    PortBus bus;
    Fixture f;

    setup(&f);
    port_bus_init(&bus, &f.serial, &clock);
    g_assert_cmphex(port_bus_read(&bus, 0x608, 4), ==, 3579545);
    g_assert_cmphex(port_bus_read(&bus, 0x80, 4), ==, 0xffffffff);
    g_assert_cmpuint(port_bus_write(&bus, 0xfe10, 4, 1000), ==, 1000);
    g_assert_cmpuint(port_bus_write(&bus, 0xfe10, 1, 10), ==, 0);
    g_assert_cmpuint(port_bus_write(&bus, 0x3f8, 1, 'p'), ==, 0);
    g_assert_cmpstr(f.sent, ==, "p");
    /* 16 bits are two registers: IER and FCR. */
    port_bus_write(&bus, 0x3f9, 2, 0x0105);
    g_assert_cmphex(port_bus_read(&bus, 0x3f9, 2), ==, 0xc105);
    port_bus_destroy(&bus);
}

static void test_clock_stands_still(void)
{
    GuestClock clock = { .ns = 500 };

    g_assert_cmpuint(guest_clock_ns(&clock, 77), ==, 500);
    guest_clock_start(&clock, 1000);
    guest_clock_start(&clock, 2000); /* it runs already */
    g_assert_cmpuint(guest_clock_ns(&clock, 4000), ==, 3500);
    guest_clock_stop(&clock, 5000);
    guest_clock_stop(&clock, 6000); /* it is stopped already */
    g_assert_cmpuint(guest_clock_ns(&clock, 9000), ==, 4500);
    guest_clock_start(&clock, 10000);
    g_assert_cmpuint(guest_clock_ns(&clock, 10001), ==, 4501);
}

static void test_timer(void)
{
    static const struct {
        uint64_t ns;
        uint32_t ticks;
    } rows[] = {
        { 0, 0 },
        { 279, 0 }, { 280, 1 }, /* 279.37 ns a tick */
        { 999999999, 3579544 }, { 1000000000, 3579545 },
        /* an hour and a half, where 64 bits of ns * Hz would overflow */
        { 5400 * UINT64_C(1000000000), (uint32_t)(5400 * UINT64_C(3579545)) },
        { UINT64_MAX, (uint32_t)(18446744073 * UINT64_C(3579545) +
                                 709551615 * UINT64_C(3579545) / 1000000000) },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        const GuestClock clock = { .ns = rows[i].ns };

        g_assert_cmpuint(guest_clock_timer(&clock, 0), ==, rows[i].ticks);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/serial/transmit", test_transmit);
    g_test_add_func("/serial/receive-without-fifo", test_receive_without_fifo);
    g_test_add_func("/serial/fifo", test_fifo);
    g_test_add_func("/serial/loopback", test_loopback);
    g_test_add_func("/serial/divisor-and-scratch", test_divisor_and_scratch);
    g_test_add_func("/serial/interrupt-identification",
                    test_interrupt_identification);
    g_test_add_func("/serial/bad-fifo-is-refused", test_bad_fifo_is_refused);
    g_test_add_func("/ports", test_ports);
    g_test_add_func("/clock/stands-still", test_clock_stands_still);
    g_test_add_func("/clock/timer", test_timer);
    return g_test_run();
}
