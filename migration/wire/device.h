/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The FULL sections of a host's devices, and their description. */
#ifndef MIGRATION_WIRE_DEVICE_H
#define MIGRATION_WIRE_DEVICE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/host.h"
#include "migration/wire/section.h"
#include "migration/wire/stream.h"

typedef struct Devices Devices;

/* MIG_ERROR_HOST when two devices have the same name and instance, or when a
 * device's name or description is not valid. */
Devices *devices_new(const MigDevice *device, size_t count, GError **errp);
void devices_free(Devices *devices);

/* Save all devices that are needed, each as a section, with ids from first_id
 * on. */
bool devices_save(Devices *devices, Stream *s, uint32_t first_id,
                  GError **errp);

/* Write the vmdescription of what devices_save() has just saved. */
void devices_describe(Devices *devices, Stream *s);

/* Load the content of a FULL section whose header has been read. */
bool devices_load(Devices *devices, Stream *s, const SectionHeader *section,
                  GError **errp);

/* Did the stream have every device that is always saved? */
bool devices_check_loaded(const Devices *devices, GError **errp);

#endif
