/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that embeds libferry, built by test_install.py from what is
 * installed: it moves eight pages and one device to a file, and from there to
 * memory of its own, once as they are and once compressed.
 *
 *   embed PATH
 */
#include <ferry/migration.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 8

typedef struct Toy {
    uint8_t *ram;
    MigRamBlock block;
    MigDevice device;
    uint64_t count; /* the device */
    bool stopped, started;
} Toy;

static const MigVMStateField toy_fields[] = {
    MIG_VMSTATE_U64(Toy, count),
    MIG_VMSTATE_END
};

static const MigVMState toy_state = {
    .name = "toy", .version = 1, .minimum_version = 1, .fields = toy_fields,
};

static const MigRamBlock *toy_ram_blocks(void *opaque, size_t *count)
{
    Toy *toy = opaque;

    *count = 1;
    return &toy->block;
}

static const MigDevice *toy_devices(void *opaque, size_t *count)
{
    Toy *toy = opaque;

    *count = 1;
    return &toy->device;
}

/* Nobody writes while the migration runs. */
static bool toy_dirty_log_start(void *opaque, GError **errp)
{
    return true;
}

static bool toy_dirty_log_collect(void *opaque, size_t block,
                                  uint64_t *bitmap, GError **errp)
{
    return true;
}

static void toy_dirty_log_stop(void *opaque)
{
}

static bool toy_vm_stop(void *opaque, GError **errp)
{
    ((Toy *)opaque)->stopped = true;
    return true;
}

static void toy_vm_resume(void *opaque)
{
    ((Toy *)opaque)->stopped = false;
}

static void toy_vm_start(void *opaque)
{
    ((Toy *)opaque)->started = true;
}

static const MigHost toy_host = {
    .machine = "toy",
    .ram_blocks = toy_ram_blocks,
    .devices = toy_devices,
    .dirty_log_start = toy_dirty_log_start,
    .dirty_log_collect = toy_dirty_log_collect,
    .dirty_log_stop = toy_dirty_log_stop,
    .vm_stop = toy_vm_stop,
    .vm_resume = toy_vm_resume,
    .vm_start = toy_vm_start,
};

static void toy_init(Toy *toy)
{
    memset(toy, 0, sizeof(*toy));
    toy->ram = g_aligned_alloc0(PAGES, MIG_PAGE_SIZE, MIG_PAGE_SIZE);
    toy->block = (MigRamBlock){ "toy.ram", toy->ram, PAGES * MIG_PAGE_SIZE };
    toy->device = (MigDevice){ "toy", 0, &toy_state, toy };
}

/* err, which may be NULL, is looked at after ok was computed. */
static void need(bool ok, const char *what, GError *const *err)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what,
                err && *err ? (*err)->message : "no");
        exit(EXIT_FAILURE);
    }
}

static void send_to(Toy *toy, const char *text, bool compress)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(IoUri) uri = io_uri_parse(text, &err);
    MigOptions options;
    Migration *m;

    need(uri != NULL, "io_uri_parse", &err);
    mig_options_init(&options);
    options.value[MIG_OPT_COMPRESS] = compress;
    m = mig_new(&toy_host, toy, &options);
    need(mig_send_to(m, uri, &err) && mig_wait(m, &err), "sending", &err);
    mig_free(m);
    need(toy->stopped, "stopped", NULL);
}

static void receive_from(Toy *toy, const char *text)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(IoUri) uri = io_uri_parse(text, &err);
    IoListener *listener = io_listener_new(uri, &err);
    MigOptions options;
    Migration *m;

    need(listener != NULL, "io_listener_new", &err);
    mig_options_init(&options);
    m = mig_new(&toy_host, toy, &options);
    need(mig_receive_from(m, listener, &err) && mig_wait(m, &err),
         "receiving", &err);
    mig_free(m);
    need(toy->started, "started", NULL);
}

static void move_toy(const char *uri, bool compress)
{
    Toy from, to;

    toy_init(&from);
    toy_init(&to);
    for (unsigned i = 0; i < PAGES / 2 * MIG_PAGE_SIZE; i++) {
        from.ram[i] = (uint8_t)(i / 7);
    }
    from.count = 42;
    send_to(&from, uri, compress);
    receive_from(&to, uri);
    need(memcmp(from.ram, to.ram, PAGES * MIG_PAGE_SIZE) == 0, "RAM", NULL);
    need(to.count == 42, "device", NULL);
    g_aligned_free(from.ram);
    g_aligned_free(to.ram);
}

int main(int argc, char **argv)
{
    g_autofree char *uri = g_strdup_printf("file:%s", argv[1]);

    move_toy(uri, false);
    move_toy(uri, true);
    printf("moved by libferry %s\n", mig_version());
    return EXIT_SUCCESS;
}
