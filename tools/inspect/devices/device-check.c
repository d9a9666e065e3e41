/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/devices/device-check.h"

#include "tools/inspect/devices/fields.h"

void device_check_all(InspectReport *report)
{
    static const FieldsVisitor nobody;

    for (unsigned i = 0; i < report->devices->len; i++) {
        InspectDevice *d = &g_array_index(report->devices, InspectDevice, i);
        g_autofree char *shown = g_strescape(d->name, NULL);

        d->fault = fields_walk(d, &nobody);
        if (d->fault) {
            g_ptr_array_add(report->warnings, g_strdup_printf(
                "device '%s' (instance %u) is not as the vmdescription says: "
                "it %s", shown, d->instance, d->fault));
        }
    }
}
