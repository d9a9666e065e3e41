/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the machine from its parts, and starts it. */
#include "vmm/machine.h"

#include <stdio.h>
#include <string.h>

#include "ferry/error.h"
#include "vmm/boot.h"
#include "vmm/elf-load.h"

/* Devices besides the CPUs. */
#define OTHER_DEVICES 4

/* The guest stopped by itself.  If it was stopped meanwhile, that counts. */
static void enter_if_running(Machine *machine, const char *state)
{
    pthread_mutex_lock(&machine->lock);
    if (machine->state == RUN_STATE_RUNNING) {
        machine_enter_locked(machine, run_state_find(state));
    }
    pthread_mutex_unlock(&machine->lock);
}

static void on_halted(void *opaque)
{
    machine_post(opaque, enter_if_running, "shutdown");
}

static void on_failed(void *opaque, unsigned cpu, const char *why)
{
    fprintf(stderr, "ferry-vm: CPU %u: %s\n", cpu, why);
    machine_post(opaque, enter_if_running, "internal-error");
}

/* Making it */

static bool load_kernel(Machine *machine, uint64_t *entry, GError **errp)
{
    const char *path = machine->args->kernel;
    g_autofree char *image = NULL;
    g_autoptr(GError) err = NULL;
    size_t size;

    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "-kernel: '%s' is not a file", path);
        return false;
    }
    if (!g_file_get_contents(path, &image, &size, &err)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "-kernel: %s",
                    err->message);
        return false;
    }
    if (!elf_load(&machine->ram, (uint8_t *)image, size, entry, errp)) {
        g_prefix_error(errp, "-kernel %s: ", path);
        return false;
    }
    return true;
}

static bool load_ram(Machine *machine, uint64_t *entry, GError **errp)
{
    const VmArgs *args = machine->args;

    if (args->ram_image &&
        !guest_ram_load_image(&machine->ram, args->ram_image, errp)) {
        g_prefix_error(errp, "-ram-image: ");
        return false;
    }
    boot_setup_ram(&machine->ram, args->cpus, args->append ? args->append : "");
    return load_kernel(machine, entry, errp);
}

static bool load_guest(Machine *machine, GError **errp)
{
    uint64_t entry;
    unsigned i;

    if (!load_ram(machine, &entry, errp)) {
        return false;
    }
    for (i = 0; i < machine->args->cpus; i++) {
        boot_setup_cpu(&machine->cpus[i], entry);
        if (!accel_load_cpu(machine->accel, &machine->cpus[i], errp)) {
            return false;
        }
    }
    return true;
}

static void list_devices(Machine *machine)
{
    const unsigned cpus = machine->args->cpus;
    const MigDevice others[OTHER_DEVICES] = {
        { "machine", 0, &machine_shape_vmstate, &machine->shape },
        { "globalstate", 0, &machine_global_vmstate, &machine->global },
        { "clock", 0, &guest_clock_vmstate, &machine->clock },
        { "serial", 0, &serial_vmstate, &machine->serial },
    };
    unsigned i;

    machine->device_count = OTHER_DEVICES + cpus;
    machine->devices = g_new(MigDevice, machine->device_count);
    memcpy(machine->devices, others, sizeof(others));
    for (i = 0; i < cpus; i++) {
        machine->devices[OTHER_DEVICES + i] = (MigDevice) {
            .name = "cpu", .instance = i, .state = &cpu_vmstate,
            .data = &machine->cpus[i],
        };
    }
}

static bool make_accel(Machine *machine, GError **errp)
{
    const VmArgs *args = machine->args;
    const AccelBoard board = {
        .ram = &machine->ram, .ports = &machine->ports,
        .cpu_count = args->cpus, .opaque = machine,
        .halted = on_halted, .failed = on_failed,
    };
    unsigned i;

    machine->accel = accel_new(&args->accel, &board, errp);
    if (!machine->accel) {
        return false;
    }
    machine->cpus = g_new(CpuState, args->cpus);
    for (i = 0; i < args->cpus; i++) {
        cpu_state_reset(&machine->cpus[i], machine->accel, i);
    }
    return true;
}

static bool make_parts(Machine *machine, GError **errp)
{
    const VmArgs *args = machine->args;

    if (!guest_ram_init(&machine->ram, args->ram_size, errp)) {
        return false;
    }
    machine->block = (MigRamBlock) {
        .name = "pc.ram", .host = machine->ram.host,
        .length = machine->ram.size,
    };
    machine->line = char_line_new(&args->serial, &machine->ports, errp);
    if (!machine->line) {
        g_prefix_error(errp, "-serial: ");
        return false;
    }
    return make_accel(machine, errp);
}

Machine *machine_new(const VmArgs *args, GError **errp)
{
    Machine *machine = g_new0(Machine, 1);

    machine->args = args;
    machine->state = args->incoming ? RUN_STATE_INMIGRATE : RUN_STATE_PRELAUNCH;
    machine->autostart = !args->paused;
    machine->shape.cpus_here = machine->shape.cpus = args->cpus;
    machine->loop = g_main_loop_new(NULL, FALSE);
    pthread_mutex_init(&machine->lock, NULL);
    port_bus_init(&machine->ports, &machine->serial, &machine->clock);
    machine_post_init(machine);
    machine_init_mig_hosts(machine);
    mig_options_init(&machine->options);
    if (!make_parts(machine, errp) ||
        (!args->incoming && !load_guest(machine, errp))) {
        machine_free(machine);
        return NULL;
    }
    list_devices(machine);
    return machine;
}

void machine_free(Machine *machine)
{
    if (!machine) {
        return;
    }
    machine_incoming_stop(machine);
    mig_free(machine->migration); /* may let the guest run again */
    accel_free(machine->accel);
    char_line_free(machine->line);
    guest_ram_destroy(&machine->ram);
    port_bus_destroy(&machine->ports);
    machine_post_destroy(machine);
    pthread_mutex_destroy(&machine->lock);
    g_main_loop_unref(machine->loop);
    g_free(machine->devices);
    g_free(machine->cpus);
    g_free(machine);
}

bool machine_launch(Machine *machine, GError **errp)
{
    const char *incoming = machine->args->incoming;

    if (incoming) {
        if (strcmp(incoming, "defer") == 0) {
            return true;
        }
        if (!machine_incoming_start(machine, incoming, errp)) {
            g_prefix_error(errp, "-incoming %s: ", incoming);
            return false;
        }
        return true;
    }
    if (!machine->args->paused) {
        pthread_mutex_lock(&machine->lock);
        machine_enter_locked(machine, RUN_STATE_RUNNING);
        pthread_mutex_unlock(&machine->lock);
    }
    return true;
}
