/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's end of the serial line: joins a Serial to a Chardev.
 *
 * It never blocks a CPU.  What the guest sends goes into a bounded buffer,
 * which the default main context writes out as the other end takes it; while
 * it is full the serial port's transmitter is busy.  A socket serves one
 * client at a time, and without one what is sent is thrown away.
 */
#ifndef VMM_CHAR_LINE_H
#define VMM_CHAR_LINE_H

#include <glib.h>

#include "vmm/chardev.h"
#include "vmm/devices/port-bus.h"

typedef struct CharLine CharLine;

/* bus, whose serial port it initializes, must outlive it. */
CharLine *char_line_new(const Chardev *chardev, PortBus *bus, GError **errp);

/* The guest runs, or does not any more: read what there is for it, or leave it
 * where it is.  After a "no" the serial port is not touched from here. */
void char_line_want_input(CharLine *line, bool wanted);

/* Write out what is buffered, as far as that is possible at once.  From any
 * thread. */
void char_line_flush(CharLine *line);

/* Flushes.  The CPUs are stopped.  NULL is fine. */
void char_line_free(CharLine *line);

#endif
