/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table at the end has every option. */
#include "vmm/vm-args.h"

#include <string.h>

#include "ferry/host.h"
#include "util/args.h"
#include "vmm/boot.h"

#define MIB             (UINT64_C(1) << 20)
#define RAM_SIZE_MIN    (2 * MIB)
#define RAM_SIZE_MAX    (UINT64_C(1) << 40)
#define RAM_DEFAULT_MIB 128
#define CPUS_MAX        64

/* The shift of a size's suffix; -1 when the suffix is not known. */
static int suffix_shift(const char *suffix)
{
    const char *found;

    if (suffix[0] == '\0') {
        return 20;
    }
    found = suffix[1] ? NULL : strchr("KMGT", g_ascii_toupper(suffix[0]));
    return found ? 10 * (int)(found - "KMGT" + 1) : -1;
}

static bool set_memory(void *target, const char *name, char *const *values,
                       GError **errp)
{
    const char *value = values[0];
    char *end = NULL;
    uint64_t n = g_ascii_strtoull(value, &end, 10);
    int shift = suffix_shift(end);

    if (!g_ascii_isdigit(value[0]) || shift < 0 ||
        n > RAM_SIZE_MAX >> shift || n << shift < RAM_SIZE_MIN ||
        (n << shift) % MIG_PAGE_SIZE) {
        return args_fail(errp, "expected a size of 2M to 1T in whole pages "
                         "(4K), with a suffix K, M, G or T (none: M)");
    }
    *(uint64_t *)target = n << shift;
    return true;
}

static bool set_cpus(void *target, const char *name, char *const *values,
                     GError **errp)
{
    guint64 n;

    if (!g_ascii_string_to_unsigned(values[0], 10, 1, CPUS_MAX, &n, NULL)) {
        return args_fail(errp, "expected a number from 1 to 64");
    }
    *(unsigned *)target = (unsigned)n;
    return true;
}

static bool set_accel(void *target, const char *name, char *const *values,
                      GError **errp)
{
    static const struct {
        const char *text;
        AccelOptions accel;
    } rows[] = {
        { "kvm", { ACCEL_KVM, DIRTY_LOG_DEFAULT } },
        { "soft", { ACCEL_SOFT, DIRTY_LOG_DEFAULT } },
        { "soft,dirty-log=pagemap", { ACCEL_SOFT, DIRTY_LOG_PAGEMAP } },
        { "soft,dirty-log=hook", { ACCEL_SOFT, DIRTY_LOG_HOOK } },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!strcmp(values[0], rows[i].text)) {
            *(AccelOptions *)target = rows[i].accel;
            return true;
        }
    }
    if (g_str_has_prefix(values[0], "soft,dirty-log=")) {
        return args_fail(errp, "expected dirty-log=pagemap or dirty-log=hook");
    }
    if (strchr(values[0], ',')) {
        return args_fail(errp, "expected kvm, soft or "
                         "soft,dirty-log=pagemap|hook");
    }
    return args_fail(errp, "expected kvm or soft");
}

static bool set_append(void *target, const char *name, char *const *values,
                       GError **errp)
{
    if (strlen(values[0]) > BOOT_COMMAND_LINE_MAX) {
        return args_fail(errp, "expected at most 4095 bytes");
    }
    return args_text(target, name, values, errp);
}

static bool set_uuid(void *target, const char *name, char *const *values,
                     GError **errp)
{
    VmArgs *args = target;
    const char *value = values[0];
    unsigned digits = 0;

    if (!g_uuid_string_is_valid(value)) {
        return args_fail(errp, "failed to parse UUID string: wrong format");
    }
    for (; *value; value++) {
        if (*value != '-') {
            uint8_t *byte = &args->uuid[digits++ / 2];

            *byte = *byte << 4 | g_ascii_xdigit_value(*value);
        }
    }
    args->has_uuid = true;
    return true;
}

static bool add_monitor(void *target, const char *name, char *const *values,
                        GError **errp)
{
    GArray *monitors = *(GArray **)target;
    MonitorArg monitor = {
        .kind = strcmp(name, "qmp") ? MON_HMP : MON_QMP,
    };

    if (!chardev_parse(&monitor.chardev, values[0], errp)) {
        return false;
    }
    g_array_append_val(monitors, monitor);
    if (monitor.chardev.kind == CHARDEV_FILE) {
        return args_fail(errp, "expected stdio, null or a socket");
    }
    return true;
}

static bool set_serial(void *target, const char *name, char *const *values,
                       GError **errp)
{
    chardev_clear(target);
    return chardev_parse(target, values[0], errp);
}

#define TARGET(member) offsetof(VmArgs, member)

static const ArgsOption options[] = {
    { "m", "SIZE", "bytes of RAM: suffix K, M, G or T, default M (128M)",
      set_memory, TARGET(ram_size) },
    { "smp", "N", "number of CPUs, 1 to 64 (1)", set_cpus, TARGET(cpus) },
    { "accel", "kvm|soft[,dirty-log=pagemap|hook]",
      "what runs the CPUs (kvm where it works and is fast, else soft)",
      set_accel, TARGET(accel) },
    { "kernel", "FILE", "the guest, a 64-bit ELF executable", args_text,
      TARGET(kernel) },
    { "append", "STRING", "the guest's command line", set_append,
      TARGET(append) },
    { "ram-image", "FILE", "fill RAM with this file before the guest is "
      "loaded", args_text, TARGET(ram_image) },
    { "S", NULL, "do not start the guest: 'cont' does", args_flag,
      TARGET(paused) },
    { "name", "NAME", "the guest's name", args_text, TARGET(name) },
    { "uuid", "UUID", "the guest's UUID, for the capability validate-uuid",
      set_uuid },
    { "incoming", "URI|defer", "wait for a migration from URI, or for "
      "'migrate_incoming'; -kernel and -ram-image are not loaded", args_text,
      TARGET(incoming) },
    { "monitor", "CHARDEV", "a monitor for people (none); may be repeated",
      add_monitor, TARGET(monitors) },
    { "qmp", "CHARDEV", "a monitor for programs (none); may be repeated",
      add_monitor, TARGET(monitors) },
    { "serial", "CHARDEV", "the guest's serial port (null)", set_serial,
      TARGET(serial) },
    { "help", NULL, "show this help, as -h does", args_last_flag,
      TARGET(help) },
    { "version", NULL, "show the version and the encoders", args_last_flag,
      TARGET(version) },
    { NULL },
};

static const ArgsProgram program = {
    .usage = "Usage: ferry-vm [options]\n"
             "A small x86-64 machine whose guest can be migrated.\n\n",
    .notes = "\nCHARDEV is stdio, null, file:PATH (-serial only),\n"
             "unix:PATH,server=on[,wait=off] or tcp:HOST:PORT,server=on"
             "[,wait=off].\n",
    .dash = "-",
    .options = options,
};

static unsigned count_stdio(const VmArgs *args)
{
    unsigned i, count = args->serial.kind == CHARDEV_STDIO;

    for (i = 0; i < args->monitors->len; i++) {
        count += g_array_index(args->monitors, MonitorArg, i).chardev.kind ==
                 CHARDEV_STDIO;
    }
    return count;
}

/* Which options exclude or need each other. */
static bool check_together(const VmArgs *args, GError **errp)
{
    if (!args->kernel && !args->incoming) {
        return args_fail(errp, "nothing to run: give -kernel or -incoming");
    }
    if (count_stdio(args) > 1) {
        return args_fail(errp, "only one of -monitor, -qmp and -serial can "
                         "use stdio");
    }
    return true;
}

static void clear_monitor(void *monitor)
{
    chardev_clear(&((MonitorArg *)monitor)->chardev);
}

bool vm_args_parse(VmArgs *args, int argc, char **argv, GError **errp)
{
    *args = (VmArgs){
        .ram_size = RAM_DEFAULT_MIB * MIB,
        .cpus = 1,
        .monitors = g_array_new(FALSE, FALSE, sizeof(MonitorArg)),
    };
    g_array_set_clear_func(args->monitors, clear_monitor);
    return args_parse(&program, args, argv, errp) &&
           (args->help || args->version || check_together(args, errp));
}

void vm_args_clear(VmArgs *args)
{
    g_free(args->kernel);
    g_free(args->append);
    g_free(args->ram_image);
    g_free(args->name);
    g_free(args->incoming);
    chardev_clear(&args->serial);
    g_clear_pointer(&args->monitors, g_array_unref);
}

char *vm_args_help(void)
{
    return args_help(&program);
}
