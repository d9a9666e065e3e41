/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints a device with its fields to standard output. */
#ifndef TOOLS_INSPECT_FIELDS_PRINT_H
#define TOOLS_INSPECT_FIELDS_PRINT_H

#include "tools/inspect/devices/fields.h"
#include "tools/inspect/json-out.h"
#include "tools/inspect/streams/inspect-report.h"

/*
 * The fields that a path names, as in field-path.h; "" is all of them.  Both
 * return how many it named.  For programs the path may be NULL: no fields.
 */
unsigned fields_print_text(const InspectDevice *device, const char *path);
unsigned fields_print_json(Out *o, const InspectDevice *device,
                           const char *path);

/* Its value alone. */
void field_print_json(Out *o, const char *name, const Field *field);

#endif
