/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/vm-args.h: the command line of ferry-vm. */
#include "vmm/vm-args.h"

#include <string.h>

#define MIB ((uint64_t)1 << 20)

/* Parse the words of a line, which "ferry-vm" is put before. */
static bool parse(VmArgs *args, const char *line, GError **errp)
{
    g_autofree char *all = g_strconcat("ferry-vm ", line, NULL);
    g_auto(GStrv) argv = g_strsplit(all, " ", -1);

    return vm_args_parse(args, g_strv_length(argv), argv, errp);
}

static void test_defaults(void)
{
    VmArgs args;

    g_assert_true(parse(&args, "-kernel k", NULL));
    g_assert_cmpuint(args.ram_size, ==, 128 * MIB);
    g_assert_cmpuint(args.cpus, ==, 1);
    g_assert_cmpint(args.accel.kind, ==, ACCEL_DEFAULT);
    g_assert_cmpint(args.accel.dirty_log, ==, DIRTY_LOG_DEFAULT);
    g_assert_cmpint(args.serial.kind, ==, CHARDEV_NULL);
    g_assert_cmpuint(args.monitors->len, ==, 0);
    g_assert_cmpstr(args.kernel, ==, "k");
    g_assert_null(args.incoming);
    g_assert_false(args.has_uuid);
    g_assert_false(args.paused);
    vm_args_clear(&args);
}

static void test_everything(void)
{
    const MonitorArg *monitor;
    VmArgs args;

    g_assert_true(parse(&args,
        "-m 1G --smp 64 -accel soft,dirty-log=hook -kernel k -append a -S "
        "-name n -incoming defer -ram-image i -monitor stdio "
        "-qmp unix:/p,server=on,wait=off -qmp tcp:[::1]:4444,server=on "
        "-serial file:/f", NULL));
    g_assert_cmpuint(args.ram_size, ==, 1024 * MIB);
    g_assert_cmpuint(args.cpus, ==, 64);
    g_assert_cmpint(args.accel.kind, ==, ACCEL_SOFT);
    g_assert_cmpint(args.accel.dirty_log, ==, DIRTY_LOG_HOOK);
    g_assert_cmpstr(args.append, ==, "a");
    g_assert_cmpstr(args.name, ==, "n");
    g_assert_cmpstr(args.incoming, ==, "defer");
    g_assert_cmpstr(args.ram_image, ==, "i");
    g_assert_true(args.paused);
    g_assert_cmpint(args.serial.kind, ==, CHARDEV_FILE);
    g_assert_cmpstr(args.serial.path, ==, "/f");
    g_assert_cmpuint(args.monitors->len, ==, 3);
    monitor = &g_array_index(args.monitors, MonitorArg, 0);
    g_assert_cmpint(monitor[0].kind, ==, MON_HMP);
    g_assert_cmpint(monitor[0].chardev.kind, ==, CHARDEV_STDIO);
    g_assert_cmpint(monitor[1].kind, ==, MON_QMP);
    g_assert_cmpstr(monitor[1].chardev.path, ==, "/p");
    g_assert_cmpstr(monitor[2].chardev.host, ==, "::1");
    g_assert_cmpuint(monitor[2].chardev.port, ==, 4444);
    vm_args_clear(&args);
}

static void test_uuid(void)
{
    static const uint8_t bytes[16] = {
        0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
        0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
    };
    VmArgs args;

    /* The last one counts. */
    g_assert_true(parse(&args,
        "-kernel k -uuid ffffffff-ffff-ffff-ffff-ffffffffffff "
        "-uuid 00112233-4455-6677-8899-AABBccddeeff", NULL));
    g_assert_true(args.has_uuid);
    g_assert_cmpmem(args.uuid, sizeof(args.uuid), bytes, sizeof(bytes));
    vm_args_clear(&args);
}

static void test_sizes(void)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } rows[] = {
        { "2", 2 * MIB }, { "2m", 2 * MIB }, { "2048K", 2 * MIB },
        { "1T", MIB << 20 }, { "2T", 0 }, { "65T", 0 },
        { "2052k", 2 * MIB + 4096 }, { "2049K", 0 }, { "1", 0 }, { "0", 0 },
        { "", 0 }, { "-4", 0 }, { "4X", 0 }, { "4MB", 0 }, { "G", 0 },
        { "99999999999999999999", 0 }, { "18014398509481985K", 0 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strdup_printf("-kernel k -m %s",
                                                rows[i].text);
        VmArgs args;
        bool ok = parse(&args, line, NULL);

        g_test_message("-m %s", rows[i].text);
        g_assert_true(ok == (rows[i].bytes != 0));
        g_assert_true(!ok || args.ram_size == rows[i].bytes);
        vm_args_clear(&args);
    }
}

static void test_refused(void)
{
    static const char *const rows[][2] = {
        { "", "nothing to run: give -kernel or -incoming" },
        { "-foo", "-foo: invalid option" },
        { "-kernel k x", "x: invalid option" },
        { "-kernel", "-kernel: requires an argument" },
        { "-smp 0", "-smp 0: expected a number from 1 to 64" },
        { "-smp 65", "-smp 65: expected a number from 1 to 64" },
        { "-uuid 00112233445566778899aabbccddeeff",
          "-uuid 00112233445566778899aabbccddeeff: failed to parse UUID "
          "string: wrong format" },
        { "-accel tcg", "-accel tcg: expected kvm or soft" },
        { "-accel kvm,dirty-log=hook", "-accel kvm,dirty-log=hook: expected "
          "kvm, soft or soft,dirty-log=pagemap|hook" },
        { "-monitor unix:/x", "-monitor unix:/x: only listening sockets are "
          "supported: add server=on" },
        { "-qmp unix:/x,server=on,wait=on", "-qmp unix:/x,server=on,wait=on: "
          "the machine never waits for a client, use wait=off instead of "
          "'wait=on'" },
        { "-qmp unix:,server=on", "-qmp unix:,server=on: no path in 'unix:'" },
        { "-serial foo", "-serial foo: unknown character device 'foo'" },
        { "-serial null,x", "-serial null,x: unknown option 'x'" },
        { "-monitor file:/x", "-monitor file:/x: expected stdio, null or a "
          "socket" },
        { "-kernel k -monitor stdio -serial stdio",
          "only one of -monitor, -qmp and -serial can use stdio" },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *line = g_strdup(rows[i][0]);
        char *none[] = { (char *)"ferry-vm", NULL };
        VmArgs args;

        g_assert_false(line[0] ? parse(&args, line, &err)
                               : vm_args_parse(&args, 1, none, &err));
        g_assert_cmpstr(err->message, ==, rows[i][1]);
        vm_args_clear(&args);
    }
}

static void test_help(void)
{
    g_autofree char *help = vm_args_help();
    VmArgs args;

    g_assert_true(parse(&args, "-help -nonsense", NULL));
    g_assert_true(args.help);
    vm_args_clear(&args);
    g_assert_nonnull(strstr(help, "-ram-image FILE\n"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/args/defaults", test_defaults);
    g_test_add_func("/args/everything", test_everything);
    g_test_add_func("/args/uuid", test_uuid);
    g_test_add_func("/args/sizes", test_sizes);
    g_test_add_func("/args/refused", test_refused);
    g_test_add_func("/args/help", test_help);
    return g_test_run();
}
