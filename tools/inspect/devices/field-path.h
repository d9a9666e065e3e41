/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One field of one device, as the user names it: DEVICE, or DEVICE/FIELD, or
 * DEVICE/FIELD/FIELD...  A device may have its instance behind it, and a field
 * its index, in brackets; without them all are meant.
 */
#ifndef TOOLS_INSPECT_FIELD_PATH_H
#define TOOLS_INSPECT_FIELD_PATH_H

#include "tools/inspect/devices/fields.h"

/* Does it name the device?  Returns the path of its fields, which is a part of
 * path and empty for all of them; NULL: another device. */
const char *field_path_device(const char *path, const InspectDevice *device);

/*
 * Tell only the fields that the path names, and those that are in them.  *found
 * says how many fields it named.  Otherwise as fields_walk().
 */
char *field_path_walk(const InspectDevice *device, const char *path,
                      const FieldsVisitor *visitor, unsigned *found);

#endif
