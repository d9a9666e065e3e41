/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's end of the serial line: joins a Serial to a Chardev.
 *
 * It never blocks a CPU.  The guest's bytes go into a bounded buffer, which the
 * default main context writes out as the other end takes them.  While the
 * buffer is full, the serial port's transmitter is busy.  A socket serves one
 * client at a time; without a client the guest's bytes are thrown away.
 */
#ifndef VMM_CHAR_LINE_H
#define VMM_CHAR_LINE_H

#include <glib.h>

#include "vmm/chardev.h"
#include "vmm/devices/port-bus.h"

typedef struct CharLine CharLine;

/* bus, whose serial port this initializes, must outlive the line. */
CharLine *char_line_new(const Chardev *chardev, PortBus *bus, GError **errp);

/* Tell whether the guest runs: read its input, or leave it where it is.  After
 * false the line does not touch the serial port. */
void char_line_want_input(CharLine *line, bool wanted);

/* Write out as much of the buffer as possible at once.  From any thread. */
void char_line_flush(CharLine *line);

/* Flushes.  The CPUs are stopped.  NULL is fine. */
void char_line_free(CharLine *line);

#endif
