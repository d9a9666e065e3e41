/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saves, loads and describes the state that a MigVMState is for. */
#ifndef MIGRATION_WIRE_VMSTATE_IO_H
#define MIGRATION_WIRE_VMSTATE_IO_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "ferry/vmstate.h"
#include "migration/wire/stream.h"

bool vmstate_needed(const MigVMState *state, const void *data);

/* Save the fields, then the subsections that are needed. */
bool vmstate_save(Stream *s, const MigVMState *state, void *data,
                  GError **errp);
bool vmstate_load(Stream *s, const MigVMState *state, void *data,
                  uint32_t version, GError **errp);

/* To the object that the builder has open, add the members "vmsd_name",
 * "version", "fields" and "subsections" of what vmstate_save() saves. */
void vmstate_describe(JsonBuilder *json, const MigVMState *state,
                      const void *data);

#endif
