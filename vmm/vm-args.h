/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of ferry-vm. */
#ifndef VMM_VM_ARGS_H
#define VMM_VM_ARGS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/monitor.h"
#include "vmm/accel.h"
#include "vmm/chardev.h"

typedef struct MonitorArg {
    MonKind kind;
    Chardev chardev;
} MonitorArg;

typedef struct VmArgs {
    uint64_t ram_size;
    unsigned cpus;
    AccelOptions accel;
    char *kernel, *append, *ram_image; /* NULL when not given */
    char *name, *incoming;             /* NULL when not given */
    bool has_uuid;
    uint8_t uuid[16];
    bool paused;
    bool help, version; /* was given: nothing else is checked */
    Chardev serial;
    GArray *monitors; /* of MonitorArg */
} VmArgs;

/* Fails with one line that names the option. */
bool vm_args_parse(VmArgs *args, int argc, char **argv, GError **errp);
void vm_args_clear(VmArgs *args); /* after either outcome */

char *vm_args_help(void);

#endif
