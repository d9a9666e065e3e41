/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The destination's thread accepts and reads item by item: the preamble,
 * commands at any time, the ram section's START, PARTs and END in that order,
 * devices after RAM has ended, EOF.  Then everything is loaded, and the
 * destination takes the guest over:
 *
 * A Ferry source (its PING said so) is told SHUT 0 and answers GO; the guest
 * runs only then.  Any other source with a return path is told SHUT 0, and the
 * guest runs.  A source without a return path is told nothing, and the guest
 * runs.
 *
 * An error ends the migration before the guest runs.  If there is a return
 * path, the source is told that the destination failed, and a Ferry is told
 * why.
 *
 * A source gives up a destination that takes and says nothing for too long.  A
 * destination that works on what it has taken (digests of RAM, devices) says
 * so, if the source has asked for that.
 */
#include "migration/internal.h"

#include "migration/pack/pack.h"
#include "migration/ram/digest.h"
#include "migration/ram/load.h"
#include "migration/wire/device.h"
#include "migration/wire/reader.h"
#include "migration/wire/return-message.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "util/thread.h"

/* Less than any stall-timeout, whose unit is a second. */
#define WORKING_INTERVAL (NS_PER_S / 4)

typedef enum {
    RAM_NOT_BEGUN,
    RAM_BEGUN,
    RAM_ENDED,
} RamPhase;

/* The thread's own: nobody else reads or sets any of it. */
typedef struct Dest {
    Migration *m;
    IoChannel *channel; /* the migration's */
    Stream *stream;
    StatsChannel counted; /* of stream */
    Stream *rp;         /* NULL: no return path, or SHUT was its last word */
    bool rp_asked;      /* the source has asked for a return path */
    bool ferry;         /* the source is a Ferry */
    bool says_working;  /* and wants to be told when this end is at work */
    int64_t said_working; /* when it was told last, by the clock */
    RamBlocks *blocks;
    RamLoad *ram;
    Reader *reader;
    Devices *devices;
    uint64_t *digest;   /* of each block; NULL: nobody has asked */
    RamPhase phase;
    const char *method; /* compress-method of the batches; NULL: none come */
    uint64_t summed;    /* the stream's position behind SUM; 0: none yet */
} Dest;

static bool dest_accept(Dest *d, GError **errp)
{
    const ReaderConfig config = { .max_ram = UINT64_MAX };
    Migration *m = d->m;
    const MigRamBlock *block;
    const MigDevice *device;
    size_t count;

    d->channel = migration_open_channel(m, errp);
    if (!d->channel) {
        return false;
    }
    d->stream = stream_new(d->channel);
    d->reader = reader_new(d->stream, &config);
    block = m->host->ram_blocks(m->opaque, &count);
    d->blocks = ram_blocks_new(block, count, errp);
    if (!d->blocks) {
        return false;
    }
    device = m->host->devices(m->opaque, &count);
    d->devices = devices_new(device, count, errp);
    if (!d->devices) {
        return false;
    }
    d->ram = ram_load_new(d->stream, d->blocks,
                          thread_count(m->options.value
                                           [MIG_OPT_DECOMPRESS_THREADS]),
                          &d->counted);
    migration_set_total(m, ram_blocks_bytes(d->blocks));
    migration_set_state(m, MIG_STATE_ACTIVE);
    return true;
}

/* This end has got a bit further: tell a source that wants to know. */
static bool show_progress(void *opaque, GError **errp)
{
    Dest *d = opaque;
    int64_t now;

    if (!d->says_working || !d->rp) {
        return true;
    }
    now = clock_now(d->m->clock);
    if (now - d->said_working < WORKING_INTERVAL) {
        return true;
    }
    d->said_working = now;
    return_path_put_pong(d->rp, WIRE_FERRY_WORK);
    return stream_flush(d->rp, errp);
}

/* Commands */

static uint64_t history_of(const Dest *d)
{
    return d->m->options.value[MIG_OPT_COMPRESS_HISTORY];
}

static bool answer_ping(Dest *d, uint32_t value, GError **errp)
{
    if (value == WIRE_FERRY_GO && d->ferry) {
        stream_bad(d->stream, errp, "GO before the end");
        return false;
    }
    if (!d->rp_asked) {
        stream_bad(d->stream, errp, "a PING without a return path");
        return false;
    }
    if (!d->rp) {
        return true;
    }
    if (value == WIRE_FERRY_HELLO) {
        d->ferry = true;
        return_path_put_pong(d->rp, WIRE_FERRY_FEATURES |
                                        WIRE_FERRY_HANDOVER |
                                        WIRE_FERRY_ZERO_RANGE |
                                        WIRE_FERRY_WORKING |
                                        codec_features() |
                                        WIRE_FERRY_VERIFY |
                                        pack_features(history_of(d)));
    }
    if (value == WIRE_FERRY_WORK && d->ferry) {
        d->says_working = true;
    }
    return_path_put_pong(d->rp, value);
    return stream_flush(d->rp, errp);
}

static bool compute_digests(Dest *d, GError **errp)
{
    const RamDigestConfig config = {
        .threads =
            thread_count(d->m->options.value[MIG_OPT_DECOMPRESS_THREADS]),
        .progress = show_progress,
        .opaque = d,
    };

    d->digest = g_new0(uint64_t, d->blocks->count);
    return ram_digest(d->blocks, &config, d->digest, errp);
}

/* Comes before devices are loaded, because these may write to RAM. */
static bool verify_block(Dest *d, const Command *command, GError **errp)
{
    const RamBlock *block = ram_blocks_find(d->blocks, command->block);

    if (d->phase != RAM_ENDED || !d->ferry) {
        stream_bad(d->stream, errp, "a digest of RAM before RAM has ended");
        return false;
    }
    if (!block) {
        g_autofree char *shown = g_strescape(command->block, NULL);

        stream_bad(d->stream, errp, "unknown RAM block '%s'", shown);
        return false;
    }
    if (!d->digest && !compute_digests(d, errp)) {
        return false;
    }
    if (d->digest[block->index] != command->digest) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "RAM block '%s' is not the same as at the source",
                    block->name);
        return false;
    }
    return true;
}

/* Between the list of blocks and the first page. */
static bool use_packs(Dest *d, uint32_t window, GError **errp)
{
    uint64_t history = history_of(d);

    if (window > pack_window(history, pack_features(history))) {
        stream_bad(d->stream, errp, "packs with a history of %u, which is more "
                   "than was offered", window);
        return false;
    }
    if (!d->ferry || d->phase != RAM_BEGUN ||
        !ram_load_use_packs(d->ram, window)) {
        stream_bad(d->stream, errp, "packs are announced in a wrong place");
        return false;
    }
    stream_sum_begin(d->stream);
    return true;
}

static bool load_command(Dest *d, Command *command, GError **errp)
{
    if (!section_get_command_body(d->stream, command, errp)) {
        return false;
    }
    switch (command->number) {
    case WIRE_CMD_OPEN_RETURN_PATH:
        if (d->rp_asked) {
            stream_bad(d->stream, errp, "the return path is open already");
            return false;
        }
        d->rp_asked = true;
        /* A source on a one-way channel may still ask, and gets no answer. */
        if (io_channel_is_two_way(d->channel)) {
            d->rp = stream_new(d->channel);
        }
        return true;
    case WIRE_CMD_PING:
        return answer_ping(d, command->value, errp);
    case WIRE_CMD_FERRY_PACKS:
        return use_packs(d, command->value, errp);
    case WIRE_CMD_FERRY_SUM:
        d->summed = stream_position(d->stream);
        return true;
    case WIRE_CMD_FERRY_VERIFY:
        return verify_block(d, command, errp);
    default:
        return true;
    }
}

/* Sections */

static bool wrong_order(Dest *d, const char *what, GError **errp)
{
    static const char *const where[] = {
        [RAM_NOT_BEGUN] = "before RAM has begun",
        [RAM_BEGUN] = "before RAM has ended",
        [RAM_ENDED] = "after RAM has ended",
    };

    stream_bad(d->stream, errp, "%s %s", what, where[d->phase]);
    return false;
}

/* When RAM begins, and not with the preamble: by then there can be a return
 * path to tell the source why it is refused. */
static bool choose_codec(Dest *d, GError **errp)
{
    const Codec *codec;

    if (!d->method) {
        return true;
    }
    codec = codec_for_batches(d->method, errp);
    if (codec) {
        ram_load_set_codec(d->ram, codec);
    }
    return codec != NULL;
}

static bool begin_ram(Dest *d, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    if (!item->is_ram || section->instance != WIRE_RAM_INSTANCE) {
        g_autofree char *shown = g_strescape(section->name, NULL);

        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "iterable section '%s', instance %u, is not supported",
                    shown, section->instance);
        return false;
    }
    if (section->version != WIRE_RAM_VERSION) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "the ram section has version %u, supported is %u",
                    section->version, WIRE_RAM_VERSION);
        return false;
    }
    if (d->phase != RAM_NOT_BEGUN) {
        return wrong_order(d, "a second START of the ram section", errp);
    }
    if (!choose_codec(d, errp)) {
        return false;
    }
    d->phase = RAM_BEGUN;
    return true;
}

static bool check_ram_pages(Dest *d, const Item *item, GError **errp)
{
    if (d->phase != RAM_BEGUN) {
        return wrong_order(d, "pages", errp);
    }
    if (!item->is_ram) {
        stream_bad(d->stream, errp, "section %u, which has not begun",
                   item->section.id);
        return false;
    }
    return true;
}

static bool begin_section(Dest *d, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    switch (section->type) {
    case WIRE_START:
        return begin_ram(d, item, errp);
    case WIRE_FULL:
        return d->phase == RAM_ENDED
                   ? devices_load(d->devices, d->stream, section, errp)
                   : wrong_order(d, "a device", errp);
    default:
        return check_ram_pages(d, item, errp);
    }
}

static bool load_blocks(Dest *d, Item *item, GError **errp)
{
    bool ok = ram_load_blocks(d->ram, item->blocks, errp);

    g_clear_pointer(&item->blocks, ram_list_free);
    return ok;
}

static bool load_record(Dest *d, const Item *item, GError **errp)
{
    if (!ram_load_record(d->ram, &item->record, errp)) {
        return false;
    }
    if (item->ends_ram) {
        d->phase = RAM_ENDED;
        return ram_load_drain(d->ram, errp);
    }
    return true;
}

static bool check_preamble(Dest *d, const Preamble *preamble, GError **errp)
{
    const Identity id = { d->m->host->machine, d->m->host->uuid };

    d->method = section_method(preamble);
    return section_check_preamble(preamble, &id, errp);
}

static bool load_item(Dest *d, Item *item, GError **errp)
{
    switch (item->type) {
    case ITEM_PREAMBLE:
        return check_preamble(d, &item->preamble, errp);
    case ITEM_COMMAND:
        return load_command(d, &item->command, errp);
    case ITEM_SECTION:
        return begin_section(d, item, errp);
    case ITEM_BLOCKS:
        return load_blocks(d, item, errp);
    case ITEM_RECORD:
        return load_record(d, item, errp);
    case ITEM_FOOTER:
        return show_progress(d, errp);
    default:
        g_assert_not_reached(); /* these come only after EOF */
    }
}

/* EOF has been read. */
static bool check_end(Dest *d, GError **errp)
{
    if (d->phase != RAM_ENDED) {
        return wrong_order(d, "the end of the stream", errp);
    }
    if (stream_has_sum(d->stream) &&
        d->summed != stream_position(d->stream) - 1) {
        stream_bad(d->stream, errp, "the end of the stream, without a "
                   "checksum");
        return false;
    }
    return devices_check_loaded(d->devices, errp);
}

/* Everything up to and including EOF. */
static bool dest_load(Dest *d, GError **errp)
{
    Item *item;

    while ((item = reader_next(d->reader, errp))) {
        if (item->type == ITEM_EOF) {
            return check_end(d, errp);
        }
        if (!load_item(d, item, errp)) {
            return false;
        }
    }
    return false;
}

/* Taking over */

static bool skip_description(Dest *d, GError **errp)
{
    const Item *item = reader_next(d->reader, errp);

    if (!item) {
        return false;
    }
    if (item->type != ITEM_DESCRIPTION) {
        stream_bad(d->stream, errp, "no vmdescription after the end");
        return false;
    }
    return stream_skip(d->stream, item->description, errp);
}

/* A source may say nothing else now. */
static bool wait_for_go(Dest *d, GError **errp)
{
    Item *item = reader_next(d->reader, errp);
    Command *command;

    if (!item) {
        return false;
    }
    if (item->type != ITEM_COMMAND) {
        stream_bad(d->stream, errp, "a second vmdescription instead of GO");
        return false;
    }
    command = &item->command;
    if (!section_get_command_body(d->stream, command, errp)) {
        return false;
    }
    if (command->number != WIRE_CMD_PING || command->value != WIRE_FERRY_GO) {
        stream_bad(d->stream, errp, "another command instead of GO");
        return false;
    }
    return true;
}

/* Nothing is said on it after SHUT. */
static bool end_return_path(Dest *d, GError **errp)
{
    bool ok = stream_flush(d->rp, errp);

    stream_free(g_steal_pointer(&d->rp));
    return ok;
}

static bool tell_loaded(Dest *d, GError **errp)
{
    if (!d->rp) {
        return true;
    }
    return_path_put_shut(d->rp, 0);
    return end_return_path(d, errp);
}

static bool dest_take_over(Dest *d, GError **errp)
{
    Migration *m = d->m;

    if (d->ferry && !skip_description(d, errp)) {
        return false;
    }
    /* A destination that has said SHUT 0 cannot be cancelled: the source may
     * give the guest up at once. */
    if (!migration_commit(m, errp) || !tell_loaded(d, errp)) {
        return false;
    }
    if (d->ferry && !wait_for_go(d, errp)) {
        g_prefix_error(errp, "the source did not hand the guest over: ");
        return false;
    }
    stats_moved(&d->counted, stream_position(d->stream));
    m->host->vm_start(m->opaque);
    return true;
}

/* The end */

/*
 * Read what a source that is not Ferry sends after the end (a vmdescription).
 * To close a socket with unread bytes could destroy what the source was told,
 * and to close a pipe would make the source's last write fail.  But do not
 * wait for the end of the channel.  It may never come, because other processes
 * can have inherited the other end of a pipe.
 */
static void drain_rest(Dest *d)
{
    if (!d->ferry && !skip_description(d, NULL)) {
        stream_drain(d->stream, WIRE_VMDESC_MAX, NULL);
    }
}

static void tell_failure(Dest *d, const GError *err)
{
    if (!d->rp || migration_is_cancelled(d->m)) {
        return;
    }
    if (d->ferry) {
        return_path_put_reason(d->rp, err->message);
    }
    return_path_put_shut(d->rp, 1);
    end_return_path(d, NULL);
}

static void dest_clean_up(Dest *d)
{
    g_free(d->digest);
    ram_load_free(d->ram);
    devices_free(d->devices);
    reader_free(d->reader);
    ram_blocks_free(d->blocks);
    stream_free(d->rp);
    stream_free(d->stream);
}

void dest_run(Migration *m)
{
    Dest d = { .m = m, .counted = { .stats = m->stats } };
    GError *err = NULL;

    if (dest_accept(&d, &err) && dest_load(&d, &err) &&
        dest_take_over(&d, &err)) {
        migration_conclude(m, NULL);
        drain_rest(&d);
    } else {
        tell_failure(&d, err);
        migration_conclude(m, err);
    }
    dest_clean_up(&d);
}
