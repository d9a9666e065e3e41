/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which device is behind which port: docs/machine.md, "Ports". */
#include "vmm/devices/port-bus.h"

#define PORT_SERIAL  0x3f8
#define PORT_TIMER   0x608
#define PORT_IDLE    0xfe10

void port_bus_init(PortBus *bus, Serial *serial, GuestClock *clock)
{
    pthread_mutex_init(&bus->lock, NULL);
    bus->serial = serial;
    bus->clock = clock;
}

void port_bus_destroy(PortBus *bus)
{
    pthread_mutex_destroy(&bus->lock);
}

static uint8_t read_byte(PortBus *bus, uint16_t port)
{
    if (port >= PORT_SERIAL && port < PORT_SERIAL + SERIAL_REGISTERS) {
        return serial_read(bus->serial, port - PORT_SERIAL);
    }
    return 0xff;
}

uint32_t port_bus_read(PortBus *bus, uint16_t port, unsigned size)
{
    uint32_t value = 0;
    unsigned i;

    pthread_mutex_lock(&bus->lock);
    if (port == PORT_TIMER && size == 4) {
        value = guest_clock_timer(bus->clock, guest_clock_host_now());
    } else {
        for (i = 0; i < size; i++) {
            value |= (uint32_t)read_byte(bus, port + i) << (8 * i);
        }
    }
    pthread_mutex_unlock(&bus->lock);
    return value;
}

static void write_byte(PortBus *bus, uint16_t port, uint8_t value)
{
    if (port >= PORT_SERIAL && port < PORT_SERIAL + SERIAL_REGISTERS) {
        serial_write(bus->serial, port - PORT_SERIAL, value);
    }
}

uint32_t port_bus_write(PortBus *bus, uint16_t port, unsigned size,
                        uint32_t value)
{
    unsigned i;

    if (port == PORT_IDLE && size == 4) {
        return value;
    }
    pthread_mutex_lock(&bus->lock);
    for (i = 0; i < size; i++) {
        write_byte(bus, port + i, value >> (8 * i));
    }
    pthread_mutex_unlock(&bus->lock);
    return 0;
}
