/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's I/O ports, and the lock of the devices behind them.
 *
 * A CPU's thread reads and writes ports.  These functions take the lock, so
 * that one thread at a time uses a device.  Other users of a device (the serial
 * port's receiver) take the lock themselves.
 */
#ifndef VMM_DEVICES_PORT_BUS_H
#define VMM_DEVICES_PORT_BUS_H

#include <pthread.h>
#include <stdint.h>

#include "vmm/devices/guest-clock.h"
#include "vmm/devices/serial.h"

typedef struct PortBus {
    pthread_mutex_t lock; /* protects the devices */
    Serial *serial;
    GuestClock *clock;
} PortBus;

void port_bus_init(PortBus *bus, Serial *serial, GuestClock *clock);
void port_bus_destroy(PortBus *bus);

/* size is 1, 2 or 4.  Ports without a device read as ones. */
uint32_t port_bus_read(PortBus *bus, uint16_t port, unsigned size);

/* Returns for how many microseconds the CPU may sleep now: 0, except for a
 * write to the idle port. */
uint32_t port_bus_write(PortBus *bus, uint16_t port, unsigned size,
                        uint32_t value);

#endif
