/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table has every option: its name, its value, its help and what it does.
 * Options start with one dash, as QEMU's do, or with two.
 */
#include "vmm/vm-args.h"

#include <string.h>

#include "ferry/error.h"
#include "ferry/host.h"
#include "vmm/boot.h"

#define MIB             (UINT64_C(1) << 20)
#define RAM_SIZE_MIN    (2 * MIB)
#define RAM_SIZE_MAX    (UINT64_C(1) << 40)
#define RAM_DEFAULT_MIB 128
#define CPUS_MAX        64

typedef struct VmOption {
    const char *name;
    const char *value; /* what help calls it; NULL: there is none */
    const char *help;
    bool (*set)(VmArgs *args, const char *value, GError **errp);
} VmOption;

static bool bad_value(const char *expected, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION, "expected %s", expected);
    return false;
}

static bool keep_text(char **member, const char *value)
{
    g_free(*member);
    *member = g_strdup(value);
    return true;
}

/* The shift of a size's suffix; -1 when it is none. */
static int suffix_shift(const char *suffix)
{
    const char *found;

    if (suffix[0] == '\0') {
        return 20;
    }
    found = suffix[1] ? NULL : strchr("KMGT", g_ascii_toupper(suffix[0]));
    return found ? 10 * (int)(found - "KMGT" + 1) : -1;
}

static bool set_memory(VmArgs *args, const char *value, GError **errp)
{
    char *end = NULL;
    uint64_t n = g_ascii_strtoull(value, &end, 10);
    int shift = suffix_shift(end);

    if (!g_ascii_isdigit(value[0]) || shift < 0 ||
        n > RAM_SIZE_MAX >> shift || n << shift < RAM_SIZE_MIN ||
        (n << shift) % MIG_PAGE_SIZE) {
        return bad_value("a size of 2M to 1T in whole pages (4K), with a "
                         "suffix K, M, G or T (none: M)", errp);
    }
    args->ram_size = n << shift;
    return true;
}

static bool set_cpus(VmArgs *args, const char *value, GError **errp)
{
    guint64 n;

    if (!g_ascii_string_to_unsigned(value, 10, 1, CPUS_MAX, &n, NULL)) {
        return bad_value("a number from 1 to 64", errp);
    }
    args->cpus = n;
    return true;
}

static bool set_dirty_log(AccelOptions *accel, const char *value, GError **errp)
{
    if (strcmp(value, "pagemap") == 0) {
        accel->dirty_log = DIRTY_LOG_PAGEMAP;
    } else if (strcmp(value, "hook") == 0) {
        accel->dirty_log = DIRTY_LOG_HOOK;
    } else {
        return bad_value("dirty-log=pagemap or dirty-log=hook", errp);
    }
    return true;
}

static bool set_accel(VmArgs *args, const char *value, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", 2);
    const char *kind = parts[0] ? parts[0] : "";

    if (strcmp(kind, "kvm") == 0) {
        args->accel.kind = ACCEL_KVM;
    } else if (strcmp(kind, "soft") == 0) {
        args->accel.kind = ACCEL_SOFT;
    } else {
        return bad_value("kvm or soft", errp);
    }
    if (!parts[1]) {
        return true;
    }
    if (args->accel.kind != ACCEL_SOFT ||
        !g_str_has_prefix(parts[1], "dirty-log=")) {
        return bad_value("kvm, soft or soft,dirty-log=pagemap|hook", errp);
    }
    return set_dirty_log(&args->accel, parts[1] + strlen("dirty-log="), errp);
}

static bool set_kernel(VmArgs *args, const char *value, GError **errp)
{
    return keep_text(&args->kernel, value);
}

static bool set_append(VmArgs *args, const char *value, GError **errp)
{
    if (strlen(value) > BOOT_COMMAND_LINE_MAX) {
        return bad_value("at most 4095 bytes", errp);
    }
    return keep_text(&args->append, value);
}

static bool set_ram_image(VmArgs *args, const char *value, GError **errp)
{
    return keep_text(&args->ram_image, value);
}

static bool set_paused(VmArgs *args, const char *value, GError **errp)
{
    args->paused = true;
    return true;
}

static bool set_name(VmArgs *args, const char *value, GError **errp)
{
    return keep_text(&args->name, value);
}

static bool set_uuid(VmArgs *args, const char *value, GError **errp)
{
    unsigned digits = 0;

    if (!g_uuid_string_is_valid(value)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "failed to parse UUID string: wrong format");
        return false;
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

static bool set_incoming(VmArgs *args, const char *value, GError **errp)
{
    return keep_text(&args->incoming, value);
}

static bool add_monitor(VmArgs *args, MonKind kind, const char *value,
                        GError **errp)
{
    MonitorArg monitor = { .kind = kind };

    if (!chardev_parse(&monitor.chardev, value, errp)) {
        return false;
    }
    g_array_append_val(args->monitors, monitor);
    if (monitor.chardev.kind == CHARDEV_FILE) {
        return bad_value("stdio, null or a socket", errp);
    }
    return true;
}

static bool set_monitor(VmArgs *args, const char *value, GError **errp)
{
    return add_monitor(args, MON_HMP, value, errp);
}

static bool set_qmp(VmArgs *args, const char *value, GError **errp)
{
    return add_monitor(args, MON_QMP, value, errp);
}

static bool set_serial(VmArgs *args, const char *value, GError **errp)
{
    chardev_clear(&args->serial);
    return chardev_parse(&args->serial, value, errp);
}

static bool set_help(VmArgs *args, const char *value, GError **errp)
{
    args->help = true;
    return true;
}

static bool set_version(VmArgs *args, const char *value, GError **errp)
{
    args->version = true;
    return true;
}

static const VmOption vm_options[] = {
    { "m", "SIZE", "bytes of RAM: suffix K, M, G or T, default M (128M)",
      set_memory },
    { "smp", "N", "number of CPUs, 1 to 64 (1)", set_cpus },
    { "accel", "kvm|soft[,dirty-log=pagemap|hook]",
      "what runs the CPUs (kvm where it works and is fast, else soft)",
      set_accel },
    { "kernel", "FILE", "the guest, a 64-bit ELF executable", set_kernel },
    { "append", "STRING", "the guest's command line", set_append },
    { "ram-image", "FILE", "what RAM is filled with before the guest is "
      "loaded", set_ram_image },
    { "S", NULL, "do not start the guest: 'cont' does", set_paused },
    { "name", "NAME", "the guest's name", set_name },
    { "uuid", "UUID", "the guest's UUID, for the capability validate-uuid",
      set_uuid },
    { "incoming", "URI|defer", "wait for a migration from URI, or for "
      "'migrate_incoming'; -kernel and -ram-image are not loaded",
      set_incoming },
    { "monitor", "CHARDEV", "a monitor for people (none); may be repeated",
      set_monitor },
    { "qmp", "CHARDEV", "a monitor for programs (none); may be repeated",
      set_qmp },
    { "serial", "CHARDEV", "the guest's serial port (null)", set_serial },
    { "h", NULL, "show this help", set_help },
    { "help", NULL, "the same", set_help },
    { "version", NULL, "show the version and the encoders", set_version },
};

static const VmOption *find_option(const char *arg, GError **errp)
{
    const char *name = arg;
    size_t i;

    if (name[0] == '-') {
        name += name[1] == '-' ? 2 : 1;
        for (i = 0; i < G_N_ELEMENTS(vm_options); i++) {
            if (strcmp(vm_options[i].name, name) == 0) {
                return &vm_options[i];
            }
        }
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION, "%s: invalid option", arg);
    return NULL;
}

static unsigned count_stdio(const VmArgs *args)
{
    unsigned i, count = args->serial.kind == CHARDEV_STDIO;

    for (i = 0; i < args->monitors->len; i++) {
        count += g_array_index(args->monitors, MonitorArg, i).chardev.kind ==
                 CHARDEV_STDIO;
    }
    return count;
}

/* What no single option can see. */
static bool check_together(const VmArgs *args, GError **errp)
{
    if (!args->kernel && !args->incoming) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "nothing to run: give -kernel or -incoming");
        return false;
    }
    if (count_stdio(args) > 1) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "only one of -monitor, -qmp and -serial can use stdio");
        return false;
    }
    return true;
}

static bool parse_one(VmArgs *args, char ***arg, GError **errp)
{
    const VmOption *option = find_option(**arg, errp);
    const char *value = NULL;

    if (!option) {
        return false;
    }
    if (option->value) {
        value = *++*arg;
        if (!value) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                        "-%s: requires an argument", option->name);
            return false;
        }
    }
    if (!option->set(args, value, errp)) {
        g_prefix_error(errp, "-%s %s: ", option->name, value);
        return false;
    }
    return true;
}

static void clear_monitor(void *monitor)
{
    chardev_clear(&((MonitorArg *)monitor)->chardev);
}

bool vm_args_parse(VmArgs *args, int argc, char **argv, GError **errp)
{
    char **arg;

    memset(args, 0, sizeof(*args));
    args->ram_size = RAM_DEFAULT_MIB * MIB;
    args->cpus = 1;
    args->monitors = g_array_new(FALSE, FALSE, sizeof(MonitorArg));
    g_array_set_clear_func(args->monitors, clear_monitor);
    for (arg = argv + 1; *arg && !args->help && !args->version; arg++) {
        if (!parse_one(args, &arg, errp)) {
            return false;
        }
    }
    return args->help || args->version || check_together(args, errp);
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
    GString *text = g_string_new(
        "Usage: ferry-vm [options]\n"
        "A small x86-64 machine whose guest can be migrated.\n\n");
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(vm_options); i++) {
        const VmOption *o = &vm_options[i];

        g_string_append_printf(text, "-%s%s%s\n        %s\n", o->name,
                               o->value ? " " : "", o->value ? o->value : "",
                               o->help);
    }
    g_string_append(text,
        "\nCHARDEV is stdio, null, file:PATH (-serial only),\n"
        "unix:PATH,server=on[,wait=off] or tcp:HOST:PORT,server=on"
        "[,wait=off].\n");
    return g_string_free(text, FALSE);
}
