/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Send a guest that QEMU has saved, as a program that embeds libferry would.
 *
 *   send-guest FOLDER URI [OPTION=VALUE...]
 *
 * saved_guest.py lays the guest out in FOLDER.  The file "guest" there says
 * which machine it has, and which files hold its RAM and its devices:
 *
 *   machine NAME
 *   block FILE NAME
 *   device FILE INSTANCE VERSION NAME
 *
 * A device of QEMU is bytes to us: a description of one buffer, as long as
 * that device's state, sends them under the device's own head.
 *
 * Where there is a FILE.before, the block begins with what that has, and a
 * thread plays the guest: it writes the pages that differ, now as they were
 * before and now as they are in FILE, over and over again while the engine
 * reads them.  Every look at the dirty log waits until all of them have been
 * written, so that there is always something left to send.  When pass
 * PLAY_UNTIL begins, or the guest is stopped, they stay as they are in FILE.
 */
#include <ferry/migration.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAY_UNTIL 4
#define WORD_BITS  64

/* A block's RAM: what MigRamBlock.host is, and what becomes of it. */
typedef struct Memory {
    const char *before; /* NULL: nothing is written */
    const char *after;
    GArray *differ;  /* of size_t: the pages in which the two do */
    uint64_t *dirty; /* set by the player, taken by collect; atomic */
} Memory;

typedef struct Device {
    MigVMState state;
    MigVMStateField fields[2];
    char *data;
} Device;

typedef struct Guest {
    const char *folder;
    char *machine;
    GArray *blocks;   /* of MigRamBlock */
    GArray *memory;   /* of Memory, in the same order */
    GArray *devices;  /* of MigDevice; each has a Device */
    GPtrArray *files; /* of GMappedFile */
    unsigned passes;  /* the migration's thread only */
    bool playing;     /* the same: there is a player */
    pthread_t player;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool settle;     /* under lock: the player is to come to an end */
    unsigned rounds; /* under lock: times that all pages were written */
} Guest;

/* err, which may be NULL, is looked at after ok was computed. */
static void need(bool ok, const char *what, GError *const *err)
{
    if (!ok) {
        fprintf(stderr, "send-guest: %s: %s\n", what,
                err && *err ? (*err)->message : "no");
        exit(EXIT_FAILURE);
    }
}

/* Reading FOLDER */

/* A private copy of a file, mapped. */
static GMappedFile *map_file(Guest *g, const char *name)
{
    g_autofree char *path = g_build_filename(g->folder, name, NULL);
    g_autoptr(GError) err = NULL;
    GMappedFile *file = g_mapped_file_new(path, true, &err);

    need(file != NULL, path, &err);
    g_ptr_array_add(g->files, file);
    return file;
}

static bool has_file(const Guest *g, const char *name)
{
    g_autofree char *path = g_build_filename(g->folder, name, NULL);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void compare_pages(Memory *memory, uint64_t length)
{
    for (size_t page = 0; page < length / MIG_PAGE_SIZE; page++) {
        size_t at = page * MIG_PAGE_SIZE;

        if (memcmp(memory->before + at, memory->after + at, MIG_PAGE_SIZE)) {
            g_array_append_val(memory->differ, page);
        }
    }
}

static void add_block(Guest *g, const char *file, const char *name)
{
    g_autofree char *older = g_strconcat(file, ".before", NULL);
    GMappedFile *after = map_file(g, file), *host = after;
    MigRamBlock block = {
        .name = g_strdup(name),
        .length = g_mapped_file_get_length(after),
    };
    Memory memory = {
        .after = g_mapped_file_get_contents(after),
        .differ = g_array_new(false, false, sizeof(size_t)),
        .dirty = g_new0(uint64_t, block.length / MIG_PAGE_SIZE / WORD_BITS + 1),
    };

    if (has_file(g, older)) {
        memory.before = g_mapped_file_get_contents(map_file(g, older));
        host = map_file(g, older);
        need(g_mapped_file_get_length(host) == block.length, older, NULL);
        compare_pages(&memory, block.length);
    }
    block.host = (uint8_t *)g_mapped_file_get_contents(host);
    g_array_append_val(g->blocks, block);
    g_array_append_val(g->memory, memory);
}

static void add_device(Guest *g, char **word)
{
    g_autofree char *path = g_build_filename(g->folder, word[1], NULL);
    g_autoptr(GError) err = NULL;
    Device *d = g_new0(Device, 1);
    MigDevice device = {
        .name = g_strdup(word[4]),
        .state = &d->state,
        .instance = (uint32_t)g_ascii_strtoull(word[2], NULL, 10),
    };
    size_t size;

    need(g_file_get_contents(path, &d->data, &size, &err), path, &err);
    device.data = d->data;
    d->fields[0] = (MigVMStateField){
        .name = "bytes",
        .type = MIG_FIELD_BUFFER,
        .size = size,
        .count = 1,
    };
    d->state = (MigVMState){
        .name = device.name,
        .fields = d->fields,
        .version = (uint32_t)g_ascii_strtoull(word[3], NULL, 10),
    };
    g_array_append_val(g->devices, device);
}

static void add_line(Guest *g, const char *line)
{
    g_auto(GStrv) word = g_strsplit(line, " ", 5);
    unsigned count = g_strv_length(word);

    if (count == 2 && !strcmp(word[0], "machine")) {
        g->machine = g_strdup(word[1]);
    } else if (count == 3 && !strcmp(word[0], "block")) {
        add_block(g, word[1], word[2]);
    } else if (count == 5 && !strcmp(word[0], "device")) {
        add_device(g, word);
    } else {
        need(count == 0, line, NULL);
    }
}

static void guest_init(Guest *g, const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "guest", NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) line = NULL;

    *g = (Guest){
        .folder = folder,
        .blocks = g_array_new(false, false, sizeof(MigRamBlock)),
        .memory = g_array_new(false, false, sizeof(Memory)),
        .devices = g_array_new(false, false, sizeof(MigDevice)),
        .files =
            g_ptr_array_new_with_free_func((GDestroyNotify)g_mapped_file_unref),
    };
    need(g_file_get_contents(path, &text, NULL, &err), path, &err);
    line = g_strsplit(text, "\n", -1);
    for (char **l = line; *l; l++) {
        add_line(g, *l);
    }
    need(g->machine != NULL, "a machine", NULL);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
}

static void guest_destroy(Guest *g)
{
    for (guint i = 0; i < g->devices->len; i++) {
        MigDevice *d = &g_array_index(g->devices, MigDevice, i);

        g_free(d->data);
        g_free((char *)d->name);
        g_free((Device *)d->state);
    }
    for (guint i = 0; i < g->blocks->len; i++) {
        g_free((char *)g_array_index(g->blocks, MigRamBlock, i).name);
        g_array_free(g_array_index(g->memory, Memory, i).differ, true);
        g_free(g_array_index(g->memory, Memory, i).dirty);
    }
    g_array_free(g->devices, true);
    g_array_free(g->blocks, true);
    g_array_free(g->memory, true);
    g_ptr_array_free(g->files, true);
    g_free(g->machine);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
}

/* The guest at work */

static void write_page(const Memory *memory, const MigRamBlock *block,
                       size_t page, const char *from)
{
    size_t at = page * MIG_PAGE_SIZE;

    memcpy(block->host + at, from + at, MIG_PAGE_SIZE);
    __atomic_fetch_or(&memory->dirty[page / WORD_BITS],
                      UINT64_C(1) << (page % WORD_BITS), __ATOMIC_SEQ_CST);
}

/* Write all pages that differ, as they are before or after. */
static void write_round(Guest *g, bool after)
{
    for (guint i = 0; i < g->memory->len; i++) {
        const Memory *memory = &g_array_index(g->memory, Memory, i);

        for (guint j = 0; j < memory->differ->len; j++) {
            write_page(memory, &g_array_index(g->blocks, MigRamBlock, i),
                       g_array_index(memory->differ, size_t, j),
                       after ? memory->after : memory->before);
        }
    }
}

/* True when the player is to go on. */
static bool finish_round(Guest *g)
{
    bool go_on;

    pthread_mutex_lock(&g->lock);
    g->rounds++;
    go_on = !g->settle;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    return go_on;
}

static void *play(void *opaque)
{
    Guest *g = opaque;
    bool after = false;

    do {
        after = !after;
        write_round(g, after);
    } while (finish_round(g));
    write_round(g, true);
    return NULL;
}

static void settle(Guest *g)
{
    pthread_mutex_lock(&g->lock);
    g->settle = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void stop_playing(Guest *g)
{
    settle(g);
    if (g->playing) {
        pthread_join(g->player, NULL);
        g->playing = false;
    }
}

/* Wait until the player has written every page since the call. */
static void wait_round(Guest *g)
{
    unsigned begin;

    pthread_mutex_lock(&g->lock);
    begin = g->rounds;
    /* The round that is under way had begun before. */
    while (!g->settle && g->rounds - begin < 2) {
        pthread_cond_wait(&g->changed, &g->lock);
    }
    pthread_mutex_unlock(&g->lock);
}

/* The host interface */

static const MigRamBlock *guest_ram_blocks(void *opaque, size_t *count)
{
    Guest *g = opaque;

    *count = g->blocks->len;
    return (const MigRamBlock *)(void *)g->blocks->data;
}

static const MigDevice *guest_devices(void *opaque, size_t *count)
{
    Guest *g = opaque;

    *count = g->devices->len;
    return (const MigDevice *)(void *)g->devices->data;
}

static bool guest_dirty_log_start(void *opaque, GError **errp)
{
    Guest *g = opaque;

    for (guint i = 0; i < g->memory->len && !g->playing; i++) {
        g->playing = g_array_index(g->memory, Memory, i).differ->len > 0;
    }
    if (g->playing) {
        need(!pthread_create(&g->player, NULL, play, g), "a thread", NULL);
    }
    return true;
}

static bool guest_dirty_log_collect(void *opaque, size_t block,
                                    uint64_t *bitmap, GError **errp)
{
    Guest *g = opaque;
    uint64_t pages =
        g_array_index(g->blocks, MigRamBlock, block).length / MIG_PAGE_SIZE;
    uint64_t *dirty = g_array_index(g->memory, Memory, block).dirty;

    if (block == 0 && g->playing) {
        wait_round(g);
    }
    for (uint64_t i = 0; i * WORD_BITS < pages; i++) {
        bitmap[i] |= __atomic_exchange_n(&dirty[i], 0, __ATOMIC_SEQ_CST);
    }
    return true;
}

static void guest_dirty_log_stop(void *opaque)
{
    stop_playing(opaque);
}

static bool guest_vm_stop(void *opaque, GError **errp)
{
    stop_playing(opaque);
    return true;
}

static void guest_vm_resume(void *opaque)
{
    /* It has done all that it does. */
}

static void guest_event(void *opaque, const MigEvent *event)
{
    Guest *g = opaque;

    if (event->type == MIG_EVENT_PASS) {
        g->passes = event->pass;
        if (event->pass >= PLAY_UNTIL) {
            settle(g);
        }
    }
}

/* The program */

static void set_option(MigOptions *options, const char *text)
{
    g_auto(GStrv) word = g_strsplit(text, "=", 2);
    g_autoptr(GError) err = NULL;
    const MigOption *option = mig_option_find(word[0], true, NULL);

    if (!option) {
        option = mig_option_find(word[0], false, &err);
    }
    need(option && word[1] &&
             mig_options_set_text(options, option, word[1], &err),
         text, &err);
}

static void report(const Guest *g, const MigInfo *info)
{
    const char *encoder = info->compression.encoder;

    printf("{\"passes\": %u, \"compressed\": %" G_GUINT64_FORMAT
           ", \"normal\": %" G_GUINT64_FORMAT
           ", \"duplicate\": %" G_GUINT64_FORMAT
           ", \"transferred\": %" G_GUINT64_FORMAT
           ", \"xbzrle\": %" G_GUINT64_FORMAT ", \"encoder\": \"%s\"}\n",
           g->passes, info->compression.pages, info->ram.normal,
           info->ram.duplicate, info->ram.transferred,
           info->xbzrle_cache.pages, encoder ? encoder : "");
}

static void send_guest(Guest *g, const char *where, const MigOptions *options)
{
    const MigHost host = {
        .machine = g->machine,
        .ram_blocks = guest_ram_blocks,
        .devices = guest_devices,
        .dirty_log_start = guest_dirty_log_start,
        .dirty_log_collect = guest_dirty_log_collect,
        .dirty_log_stop = guest_dirty_log_stop,
        .vm_stop = guest_vm_stop,
        .vm_resume = guest_vm_resume,
        .event = guest_event,
    };
    g_autoptr(GError) err = NULL;
    g_autoptr(IoUri) uri = io_uri_parse(where, &err);
    Migration *m;
    MigInfo info;

    need(uri != NULL, where, &err);
    m = mig_new(&host, g, options);
    need(mig_send_to(m, uri, &err) && mig_wait(m, &err), "sending", &err);
    mig_query(m, &info);
    report(g, &info);
    mig_info_clear(&info);
    mig_free(m);
}

int main(int argc, char **argv)
{
    MigOptions options;
    Guest g;

    if (argc < 3) {
        fprintf(stderr, "usage: send-guest FOLDER URI [OPTION=VALUE...]\n");
        return EXIT_FAILURE;
    }
    mig_options_init(&options);
    for (int i = 3; i < argc; i++) {
        set_option(&options, argv[i]);
    }
    guest_init(&g, argv[1]);
    send_guest(&g, argv[2], &options);
    guest_destroy(&g);
    return EXIT_SUCCESS;
}
