/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/fake-host.h"

#include <string.h>
#include <sys/mman.h>

#include "ferry/error.h"
#include "ferry/migration.h"
#include "util/bitmap.h"

/* The device */

static bool extra_needed(const void *data)
{
    return ((const FakeDevice *)data)->extra_used;
}

static bool call_hook(FakeHost *host, FakePoint point, GError **errp)
{
    unsigned nth;

    pthread_mutex_lock(&host->lock);
    nth = ++host->calls[point];
    pthread_mutex_unlock(&host->lock);
    return !host->hook || host->hook(host, point, nth, errp);
}

static bool fake_pre_save(void *data, GError **errp)
{
    return call_hook(((FakeDevice *)data)->host, FAKE_PRE_SAVE, errp);
}

static bool fake_post_load(void *data, uint32_t version, GError **errp)
{
    return call_hook(((FakeDevice *)data)->host, FAKE_POST_LOAD, errp);
}

static const MigVMStateField extra_fields[] = {
    MIG_VMSTATE_U16(FakeDevice, extra),
    MIG_VMSTATE_END
};

static const MigVMState extra_state = {
    .name = "fake/extra",
    .version = 1,
    .minimum_version = 1,
    .fields = extra_fields,
    .needed = extra_needed,
};

static const MigVMState *const fake_subsections[] = { &extra_state, NULL };

static const MigVMStateField fake_fields[] = {
    MIG_VMSTATE_U64(FakeDevice, counter),
    MIG_VMSTATE_FIELD(MIG_FIELD_U32, FakeDevice, reg, 2, sizeof(uint32_t), 0,
                      NULL),
    MIG_VMSTATE_BOOL(FakeDevice, flag),
    MIG_VMSTATE_BUFFER(FakeDevice, fifo),
    MIG_VMSTATE_END
};

static const MigVMState fake_state = {
    .name = "fake",
    .version = 2,
    .minimum_version = 1,
    .fields = fake_fields,
    .subsections = fake_subsections,
    .pre_save = fake_pre_save,
    .post_load = fake_post_load,
};

/* The host interface */

static const MigRamBlock *fake_ram_blocks(void *opaque, size_t *count)
{
    FakeHost *host = opaque;

    *count = host->blocks;
    return host->block;
}

static const MigDevice *fake_devices(void *opaque, size_t *count)
{
    FakeHost *host = opaque;

    *count = 1;
    return &host->device;
}

static bool fake_log_start(void *opaque, GError **errp)
{
    FakeHost *host = opaque;

    if (!call_hook(host, FAKE_LOG_START, errp)) {
        return false;
    }
    pthread_mutex_lock(&host->lock);
    g_assert_false(host->logging);
    host->logging = true;
    pthread_mutex_unlock(&host->lock);
    return true;
}

static uint64_t block_pages(const FakeHost *host, size_t block)
{
    return host->block[block].length / MIG_PAGE_SIZE;
}

static void collect_words(FakeHost *host, uint64_t *dirty, uint64_t pages,
                          uint64_t *bitmap)
{
    pthread_mutex_lock(&host->lock);
    g_assert_true(host->logging);
    for (uint64_t i = 0; i < bitmap_words(pages); i++) {
        bitmap[i] |= dirty[i];
        dirty[i] = 0;
    }
    pthread_mutex_unlock(&host->lock);
}

static bool fake_log_collect(void *opaque, size_t block, uint64_t *bitmap,
                             GError **errp)
{
    FakeHost *host = opaque;

    if (block == 0 && !call_hook(host, FAKE_LOG_COLLECT, errp)) {
        return false;
    }
    collect_words(host, host->dirty[block], block_pages(host, block), bitmap);
    return true;
}

static bool fake_log_collect_part(void *opaque, const MigRamPart *part,
                                  uint64_t *bitmap, GError **errp)
{
    FakeHost *host = opaque;

    g_assert_cmpuint(part->first % 64, ==, 0);
    g_assert_cmpuint(part->first + part->pages, <=,
                     block_pages(host, part->block));
    if (!call_hook(host, FAKE_LOG_COLLECT_PART, errp)) {
        return false;
    }
    collect_words(host, host->dirty[part->block] + part->first / 64,
                  part->pages, bitmap);
    return true;
}

static void fake_log_stop(void *opaque)
{
    FakeHost *host = opaque;

    call_hook(host, FAKE_LOG_STOP, NULL);
    pthread_mutex_lock(&host->lock);
    g_assert_true(host->logging);
    host->logging = false;
    pthread_mutex_unlock(&host->lock);
}

static void set_running(FakeHost *host, bool running)
{
    pthread_mutex_lock(&host->lock);
    g_assert_true(host->running != running);
    host->running = running;
    pthread_mutex_unlock(&host->lock);
}

static bool fake_vm_stop(void *opaque, GError **errp)
{
    if (!call_hook(opaque, FAKE_VM_STOP, errp)) {
        return false;
    }
    set_running(opaque, false);
    return true;
}

static void fake_vm_resume(void *opaque)
{
    call_hook(opaque, FAKE_VM_RESUME, NULL);
    set_running(opaque, true);
}

static void fake_vm_start(void *opaque)
{
    call_hook(opaque, FAKE_VM_START, NULL);
    set_running(opaque, true);
}

static void fake_throttle(void *opaque, unsigned percent)
{
    FakeHost *host = opaque;

    pthread_mutex_lock(&host->lock);
    g_assert_cmpuint(percent, !=, host->throttle);
    host->throttle = percent;
    host->throttle_max = MAX(host->throttle_max, percent);
    pthread_mutex_unlock(&host->lock);
}

static void fake_event(void *opaque, const MigEvent *event)
{
    FakeHost *host = opaque;

    pthread_mutex_lock(&host->lock);
    if (event->type == MIG_EVENT_PASS) {
        g_assert_cmpuint(event->pass, ==, ++host->passes);
    } else {
        g_assert_cmpuint(host->nstates, <, FAKE_STATES_MAX);
        host->states[host->nstates++] = event->state;
    }
    pthread_mutex_unlock(&host->lock);
}

const MigHost fake_mig_host = {
    .machine = "fake-1.0",
    .ram_blocks = fake_ram_blocks,
    .devices = fake_devices,
    .dirty_log_start = fake_log_start,
    .dirty_log_collect = fake_log_collect,
    .dirty_log_collect_part = fake_log_collect_part,
    .dirty_log_stop = fake_log_stop,
    .throttle = fake_throttle,
    .vm_stop = fake_vm_stop,
    .vm_resume = fake_vm_resume,
    .vm_start = fake_vm_start,
    .event = fake_event,
};

/* Life */

FakeHost *fake_host_new(const uint64_t *pages, size_t blocks)
{
    static const char *const names[FAKE_BLOCKS_MAX] = { "ram0", "ram1" };
    FakeHost *host = g_new0(FakeHost, 1);

    g_assert_cmpuint(blocks, <=, FAKE_BLOCKS_MAX);
    pthread_mutex_init(&host->lock, NULL);
    host->blocks = blocks;
    for (size_t i = 0; i < blocks; i++) {
        uint64_t length = pages[i] * MIG_PAGE_SIZE;

        host->block[i] = (MigRamBlock){
            .name = names[i],
            .length = length,
            .host = mmap(NULL, length, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        };
        g_assert_true(host->block[i].host != MAP_FAILED);
        host->dirty[i] = bitmap_new(pages[i]);
    }
    host->state.host = host;
    host->device = (MigDevice){
        .name = "fake",
        .state = &fake_state,
        .data = &host->state,
    };
    return host;
}

void fake_host_free(FakeHost *host)
{
    if (host->has_guest) {
        fake_host_quiet_guest(host);
        pthread_join(host->guest, NULL);
    }
    g_assert_false(host->logging);
    g_assert_cmpuint(host->throttle, ==, 0);
    for (size_t i = 0; i < host->blocks; i++) {
        munmap(host->block[i].host, host->block[i].length);
        g_free(host->dirty[i]);
    }
    pthread_mutex_destroy(&host->lock);
    g_free(host);
}

/* What is in RAM */

static void fill_page(uint8_t *page, GRand *rand)
{
    switch (g_rand_int_range(rand, 0, 4)) {
    case 0: /* zero */
        break;
    case 1: /* does not compress */
        for (unsigned i = 0; i < MIG_PAGE_SIZE; i++) {
            page[i] = (uint8_t)g_rand_int_range(rand, 0, 256);
        }
        break;
    default: /* does */
        for (unsigned i = 0; i < MIG_PAGE_SIZE; i += 32) {
            g_snprintf((char *)page + i, 32, "page line %u of %u",
                       i / 32, g_rand_int_range(rand, 0, 1000));
        }
    }
}

void fake_host_fill(FakeHost *host, uint32_t seed)
{
    GRand *rand = g_rand_new_with_seed(seed);

    for (size_t i = 0; i < host->blocks; i++) {
        for (uint64_t p = 0; p < block_pages(host, i); p++) {
            fill_page(host->block[i].host + p * MIG_PAGE_SIZE, rand);
        }
    }
    host->state.counter = UINT64_C(0x0123456789abcdef) ^ seed;
    host->state.reg[0] = seed;
    host->state.reg[1] = ~seed;
    host->state.flag = true;
    memcpy(host->state.fifo, "0123456789abcdef", 16);
    g_rand_free(rand);
}

/*
 * The engine reads pages that the guest writes: that is the point of a live
 * migration, and no race to be reported.
 */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread")))
#endif
static void store_word(uint8_t *page, uint32_t value)
{
    *(volatile uint32_t *)(page + value % (MIG_PAGE_SIZE / 4) * 4) = value;
}

void fake_host_write(FakeHost *host, size_t block, uint64_t page,
                     uint32_t value)
{
    store_word(host->block[block].host + page * MIG_PAGE_SIZE, value);
    pthread_mutex_lock(&host->lock);
    if (host->logging) {
        bitmap_set(host->dirty[block], page);
    }
    pthread_mutex_unlock(&host->lock);
}

static bool guest_step(FakeHost *host, GRand *rand)
{
    size_t block = g_rand_int_range(rand, 0, (gint32)host->blocks);
    uint64_t page = g_rand_int_range(rand, 0,
                                     (gint32)block_pages(host, block));
    bool ends;

    /* Under the lock, so that a stopped guest does not write. */
    pthread_mutex_lock(&host->lock);
    ends = host->guest_ends;
    if (host->running && !ends) {
        /* Small numbers, so that the page goes on to be compressible. */
        store_word(host->block[block].host + page * MIG_PAGE_SIZE,
                   (uint32_t)g_rand_int_range(rand, 0, 4096));
        if (host->logging) {
            bitmap_set(host->dirty[block], page);
        }
    }
    pthread_mutex_unlock(&host->lock);
    return !ends;
}

static void *guest_main(void *arg)
{
    GRand *rand = g_rand_new_with_seed(1);

    while (guest_step(arg, rand)) {
        sched_yield();
    }
    g_rand_free(rand);
    return NULL;
}

void fake_host_start_guest(FakeHost *host)
{
    host->has_guest = true;
    g_assert_cmpint(pthread_create(&host->guest, NULL, guest_main, host), ==,
                    0);
}

void fake_host_quiet_guest(FakeHost *host)
{
    pthread_mutex_lock(&host->lock);
    host->guest_ends = true;
    pthread_mutex_unlock(&host->lock);
}

void fake_host_assert_same_devices(const FakeHost *a, const FakeHost *b)
{
    g_assert_cmpuint(a->state.counter, ==, b->state.counter);
    g_assert_cmpuint(a->state.reg[0], ==, b->state.reg[0]);
    g_assert_cmpuint(a->state.reg[1], ==, b->state.reg[1]);
    g_assert_cmpint(a->state.flag, ==, b->state.flag);
    g_assert_cmpmem(a->state.fifo, 16, b->state.fifo, 16);
    g_assert_cmpuint(a->state.extra, ==, b->state.extra);
}

void fake_host_assert_same(const FakeHost *a, const FakeHost *b)
{
    g_assert_cmpuint(a->blocks, ==, b->blocks);
    for (size_t i = 0; i < a->blocks; i++) {
        g_assert_cmpuint(a->block[i].length, ==, b->block[i].length);
        for (uint64_t p = 0; p < block_pages(a, i); p++) {
            g_assert_cmpmem(a->block[i].host + p * MIG_PAGE_SIZE,
                            MIG_PAGE_SIZE,
                            b->block[i].host + p * MIG_PAGE_SIZE,
                            MIG_PAGE_SIZE);
        }
    }
    fake_host_assert_same_devices(a, b);
}

unsigned fake_host_calls(FakeHost *host, FakePoint point)
{
    unsigned calls;

    pthread_mutex_lock(&host->lock);
    calls = host->calls[point];
    pthread_mutex_unlock(&host->lock);
    return calls;
}

bool fake_host_running(FakeHost *host)
{
    bool running;

    pthread_mutex_lock(&host->lock);
    running = host->running;
    pthread_mutex_unlock(&host->lock);
    return running;
}

char *fake_host_states(FakeHost *host)
{
    GString *text = g_string_new(NULL);

    pthread_mutex_lock(&host->lock);
    for (unsigned i = 0; i < host->nstates; i++) {
        g_string_append_printf(text, "%s%s", i ? "," : "",
                               mig_state_name(host->states[i]));
    }
    pthread_mutex_unlock(&host->lock);
    return g_string_free(text, FALSE);
}
