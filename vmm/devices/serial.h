/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 16550A UART without its interrupt line.
 *
 * Every call is made with the lock of the port bus held.
 */
#ifndef VMM_DEVICES_SERIAL_H
#define VMM_DEVICES_SERIAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/vmstate.h"

#define SERIAL_REGISTERS 8
#define SERIAL_FIFO_SIZE 16

/* The other end of the line.  None of these may block. */
typedef struct SerialLine {
    void *opaque;
    bool (*can_send)(void *opaque);
    void (*send)(void *opaque, uint8_t byte);
    void (*has_room)(void *opaque); /* the FIFO was full and has room now */
} SerialLine;

typedef struct Serial {
    SerialLine line;
    uint8_t ier, fcr, lcr, mcr, scr, divisor_low, divisor_high;
    bool overrun;
    bool sent; /* the "transmitter empty" interrupt is pending */
    uint8_t fifo[SERIAL_FIFO_SIZE]; /* received, oldest first */
    uint8_t fifo_count;
} Serial;

extern const MigVMState serial_vmstate;

void serial_init(Serial *serial, const SerialLine *line);

/* reg is 0..7 */
uint8_t serial_read(Serial *serial, unsigned reg);
void serial_write(Serial *serial, unsigned reg, uint8_t value);

/* How many bytes from the line can be taken now; take one. */
unsigned serial_room(const Serial *serial);
void serial_receive(Serial *serial, uint8_t byte);

#endif
