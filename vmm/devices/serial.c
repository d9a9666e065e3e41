/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers of a 16550A (National Semiconductor, PC16550D data sheet).
 *
 * The baud rate is kept but means nothing: bytes leave at once.  While the line
 * cannot take more, the transmitter is busy.  A guest that polls the line
 * status waits then, and the CPU's thread never does.  A guest that does not
 * look loses the byte, as it would with a real UART.
 */
#include "vmm/devices/serial.h"

#include <string.h>

#include "ferry/error.h"

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR,
       REG_SCR };

#define IER_RECEIVED    0x01
#define IER_SENT        0x02
#define IER_LINE_STATUS 0x04
#define IER_MASK        0x0f

#define IIR_NONE        0x01
#define IIR_SENT        0x02
#define IIR_RECEIVED    0x04
#define IIR_LINE_STATUS 0x06
#define IIR_TIMEOUT     0x0c
#define IIR_FIFO        0xc0

#define FCR_ENABLE      0x01
#define FCR_CLEAR_RX    0x02
#define FCR_KEPT        0xc9 /* enable, DMA mode, trigger level */

#define LCR_DLAB        0x80

#define MCR_DTR         0x01
#define MCR_RTS         0x02
#define MCR_OUT1        0x04
#define MCR_OUT2        0x08
#define MCR_LOOP        0x10
#define MCR_MASK        0x1f

#define LSR_READY       0x01
#define LSR_OVERRUN     0x02
#define LSR_THR_EMPTY   0x20
#define LSR_TX_EMPTY    0x40

#define MSR_CTS         0x10
#define MSR_DSR         0x20
#define MSR_RI          0x40
#define MSR_DCD         0x80

static bool serial_post_load(void *data, uint32_t version, GError **errp)
{
    const Serial *serial = data;

    if (serial->fifo_count > SERIAL_FIFO_SIZE) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "%u bytes in the serial port's FIFO, which holds %d",
                    serial->fifo_count, SERIAL_FIFO_SIZE);
        return false;
    }
    return true;
}

static const MigVMStateField serial_fields[] = {
    MIG_VMSTATE_U8(Serial, ier),
    MIG_VMSTATE_U8(Serial, fcr),
    MIG_VMSTATE_U8(Serial, lcr),
    MIG_VMSTATE_U8(Serial, mcr),
    MIG_VMSTATE_U8(Serial, scr),
    MIG_VMSTATE_U8(Serial, divisor_low),
    MIG_VMSTATE_U8(Serial, divisor_high),
    MIG_VMSTATE_BOOL(Serial, overrun),
    MIG_VMSTATE_BOOL(Serial, sent),
    MIG_VMSTATE_BUFFER(Serial, fifo),
    MIG_VMSTATE_U8(Serial, fifo_count),
    MIG_VMSTATE_END
};

const MigVMState serial_vmstate = {
    .name = "serial", .version = 1, .minimum_version = 1,
    .fields = serial_fields, .post_load = serial_post_load,
};

void serial_init(Serial *serial, const SerialLine *line)
{
    memset(serial, 0, sizeof(*serial));
    serial->line = *line;
    serial->divisor_low = 1; /* 115200 baud */
}

static unsigned fifo_limit(const Serial *serial)
{
    return serial->fcr & FCR_ENABLE ? SERIAL_FIFO_SIZE : 1;
}

unsigned serial_room(const Serial *serial)
{
    unsigned limit = fifo_limit(serial);

    if (serial->mcr & MCR_LOOP || serial->fifo_count >= limit) {
        return 0;
    }
    return limit - serial->fifo_count;
}

static void fifo_put(Serial *serial, uint8_t byte)
{
    if (serial->fifo_count >= fifo_limit(serial)) {
        serial->overrun = true;
    } else {
        serial->fifo[serial->fifo_count++] = byte;
    }
}

void serial_receive(Serial *serial, uint8_t byte)
{
    g_assert(serial_room(serial) > 0);
    fifo_put(serial, byte);
}

static uint8_t fifo_get(Serial *serial)
{
    uint8_t byte = serial->fifo[0];

    if (serial->fifo_count == 0) {
        return 0;
    }
    serial->fifo_count--;
    memmove(serial->fifo, serial->fifo + 1, serial->fifo_count);
    return byte;
}

/* Called after anything that may have made room in the FIFO. */
static void tell_room(Serial *serial, unsigned room_before)
{
    if (room_before == 0 && serial_room(serial) > 0) {
        serial->line.has_room(serial->line.opaque);
    }
}

static void transmit(Serial *serial, uint8_t byte)
{
    if (serial->mcr & MCR_LOOP) {
        fifo_put(serial, byte);
    } else if (serial->line.can_send(serial->line.opaque)) {
        serial->line.send(serial->line.opaque, byte);
    }
    serial->sent = true;
}

static uint8_t read_lsr(Serial *serial)
{
    uint8_t lsr = serial->fifo_count ? LSR_READY : 0;

    if (serial->overrun) {
        lsr |= LSR_OVERRUN;
    }
    serial->overrun = false;
    if (serial->mcr & MCR_LOOP ||
        serial->line.can_send(serial->line.opaque)) {
        lsr |= LSR_THR_EMPTY | LSR_TX_EMPTY;
    }
    return lsr;
}

static uint8_t read_iir(Serial *serial)
{
    uint8_t fifo = serial->fcr & FCR_ENABLE ? IIR_FIFO : 0;

    if (serial->ier & IER_LINE_STATUS && serial->overrun) {
        return fifo | IIR_LINE_STATUS;
    }
    if (serial->ier & IER_RECEIVED && serial->fifo_count) {
        return fifo | (fifo ? IIR_TIMEOUT : IIR_RECEIVED);
    }
    if (serial->ier & IER_SENT && serial->sent) {
        serial->sent = false;
        return fifo | IIR_SENT;
    }
    return fifo | IIR_NONE;
}

/* The modem lines: always ready, or in loopback our own outputs. */
static uint8_t read_msr(const Serial *serial)
{
    uint8_t mcr = serial->mcr;

    if (!(mcr & MCR_LOOP)) {
        return MSR_CTS | MSR_DSR | MSR_DCD;
    }
    return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
           (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static uint8_t read_data(Serial *serial)
{
    unsigned room = serial_room(serial);
    uint8_t byte;

    if (serial->lcr & LCR_DLAB) {
        return serial->divisor_low;
    }
    byte = fifo_get(serial);
    tell_room(serial, room);
    return byte;
}

uint8_t serial_read(Serial *serial, unsigned reg)
{
    switch (reg) {
    case REG_DATA:
        return read_data(serial);
    case REG_IER:
        return serial->lcr & LCR_DLAB ? serial->divisor_high : serial->ier;
    case REG_IIR:
        return read_iir(serial);
    case REG_LCR:
        return serial->lcr;
    case REG_MCR:
        return serial->mcr;
    case REG_LSR:
        return read_lsr(serial);
    case REG_MSR:
        return read_msr(serial);
    case REG_SCR:
        return serial->scr;
    }
    g_assert_not_reached();
}

static void write_fcr(Serial *serial, uint8_t value)
{
    /* Turning the FIFOs on or off empties them. */
    if (value & FCR_CLEAR_RX || (value ^ serial->fcr) & FCR_ENABLE) {
        serial->fifo_count = 0;
    }
    serial->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
}

static void write_data(Serial *serial, uint8_t value)
{
    if (serial->lcr & LCR_DLAB) {
        serial->divisor_low = value;
    } else {
        transmit(serial, value);
    }
}

static void write_ier(Serial *serial, uint8_t value)
{
    if (serial->lcr & LCR_DLAB) {
        serial->divisor_high = value;
        return;
    }
    /* To enable this interrupt while the transmitter is empty raises it. */
    if (value & ~serial->ier & IER_SENT) {
        serial->sent = true;
    }
    serial->ier = value & IER_MASK;
}

void serial_write(Serial *serial, unsigned reg, uint8_t value)
{
    unsigned room = serial_room(serial);

    switch (reg) {
    case REG_DATA:
        write_data(serial, value);
        break;
    case REG_IER:
        write_ier(serial, value);
        break;
    case REG_IIR: /* a write goes to FCR */
        write_fcr(serial, value);
        break;
    case REG_LCR:
        serial->lcr = value;
        break;
    case REG_MCR:
        serial->mcr = value & MCR_MASK;
        break;
    case REG_LSR:
    case REG_MSR:
        break; /* read-only */
    case REG_SCR:
        serial->scr = value;
        break;
    default:
        g_assert_not_reached();
    }
    tell_room(serial, room);
}
