/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The source's thread runs through one sequence:
 *
 *     connect          the channel, the streams of both directions
 *     begin            dirty log on, preamble, the list of RAM blocks
 *     precopy          passes over the dirty pages, guest running, until the
 *                      rest can move within the downtime limit
 *     switch over      guest stopped, the last pass, devices
 *     hand over        the destination says that it has everything; from the
 *                      answer on the guest is its
 *
 * Each step fails with an error.  Then the guest, where it was stopped, runs on
 * at once, and clean-up is the same whatever was the last that succeeded.
 *
 * Hand-over.  A destination that has loaded everything says so on the return
 * path, and a Ferry then waits for GO.  Until it is sent the guest can only
 * run here; once it is sent, only there.
 *
 * Every other destination may run the guest as soon as it has read EOF: a QEMU,
 * which then says SHUT, and whatever reads a one-way channel, which says
 * nothing.  So the commit point lies before EOF: nobody can cancel from there
 * on, and what happens then decides who has the guest.
 *
 *     SHUT 0, or a one-way channel that took all    the destination has it
 *     another SHUT, or a command that says so       the guest runs on here
 *     no answer                                     unknown: it stays stopped
 *                                                   here, and a person decides
 *
 * Nobody runs what is in a file: there the commit point is behind the last
 * sync.
 */
#include "migration/internal.h"

#include <math.h>
#include <string.h>

#include "migration/converge.h"
#include "migration/pack/codec.h"
#include "migration/ram/digest.h"
#include "migration/ram/save.h"
#include "migration/return-path.h"
#include "migration/wire/device.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"

#define RAM_SECTION    1u
#define FIRST_DEVICE   2u
#define PAGE_RECORD    (MIG_PAGE_SIZE + 8) /* bytes of a plain page */
/* A command's own word ends below this status.  From here on a shell says that
 * one of its commands was killed, and ssh that it has lost the connection. */
#define LEAST_UNKNOWN  126
#define SHORTEST_PASS  (10 * NS_PER_MS) /* to measure a rate by */
#define DRAIN_LOOK     (5 * NS_PER_MS)  /* between looks at a queue */
#define MOST_DRAIN_MS  10000            /* to wait for one */

typedef struct Source {
    Migration *m;
    IoChannel *channel; /* the migration's */
    Stream *stream;
    ReturnPath *rp;     /* NULL: one-way */
    bool met;           /* the destination has answered */
    RamBlocks *blocks;
    RamDirty *dirty;
    Devices *devices;
    RamSave *ram;
    bool logging;       /* the dirty log is on */
    bool stopped;       /* the guest is */
    bool exposed;       /* the destination may run it without our leave */
    unsigned pass;
    int64_t collected;  /* when the dirty log was collected last */
    ThrottleDecision throttle;
    /* as measured by the passes so far */
    double bytes_per_page;
    double bytes_per_second;
    /* of converge_decide() */
    double least_ms;
    unsigned drains;
} Source;

static bool source_connect(Source *s, GError **errp)
{
    static const ReturnPathEar ear = {
        .alive = migration_peer_alive,
        .failed = migration_peer_failed,
    };
    Migration *m = s->m;

    if (!stall_start(m->stall, migration_stalled, m, errp)) {
        return false;
    }
    stall_wait(m->stall, true);
    s->channel = migration_open_channel(m, errp);
    stall_wait(m->stall, false);
    if (!s->channel) {
        return false;
    }
    s->stream = stream_new(s->channel);
    if (!io_channel_is_file(s->channel)) { /* a disk is not a destination */
        stream_set_watch(s->stream, stall_wait, m->stall);
    }
    stream_set_pacer(s->stream, ratelimit_wait, m->limit);
    if (m->options.value[MIG_OPT_RETURN_PATH] &&
        io_channel_is_two_way(s->channel)) {
        s->rp = return_path_new(s->channel, &ear, m, errp);
        return s->rp != NULL;
    }
    return true;
}

static bool source_ask_host(Source *s, GError **errp)
{
    Migration *m = s->m;
    const MigRamBlock *block;
    const MigDevice *device;
    size_t count;

    block = m->host->ram_blocks(m->opaque, &count);
    s->blocks = ram_blocks_new(block, count, errp);
    if (!s->blocks) {
        return false;
    }
    device = m->host->devices(m->opaque, &count);
    s->devices = devices_new(device, count, errp);
    if (!s->devices) {
        return false;
    }
    s->dirty = ram_dirty_new(s->blocks);
    s->ram = ram_save_new(s->stream, s->blocks, &m->options, m->stats, errp);
    migration_set_total(m, ram_blocks_bytes(s->blocks));
    return s->ram != NULL;
}

static void put_ram_header(Source *s, uint8_t type)
{
    SectionHeader section = {
        .type = type,
        .id = RAM_SECTION,
        .name = WIRE_RAM_NAME,
        .instance = WIRE_RAM_INSTANCE,
        .version = WIRE_RAM_VERSION,
    };

    section_put_header(s->stream, &section);
}

/* A destination that does not answer must not cost the guest a stop: the
 * channel may take everything without anybody reading it. */
static bool get_answer(Source *s, GError **errp)
{
    bool ok;

    stall_wait(s->m->stall, true);
    ok = return_path_wait_answer(s->rp, errp);
    stall_wait(s->m->stall, false);
    return ok;
}

static const Codec *codec_of(const Source *s)
{
    return codec_by_method(s->m->options.value[MIG_OPT_COMPRESS_METHOD]);
}

/* The compress-method that only a Ferry reads; NULL when it is not used. */
static const char *batch_method(const Source *s)
{
    bool batches = s->m->options.value[MIG_OPT_COMPRESS] &&
                   codec_of(s)->batch_pages > 1;

    return batches ? codec_of(s)->name : NULL;
}

/* Is the other end a Ferry that waits for GO?  Known when it has answered. */
static bool wants_go(const Source *s)
{
    return s->rp && (return_path_features(s->rp) & WIRE_FERRY_HANDOVER);
}

/* Does it say when it is at work, being asked? */
static bool says_working(const Source *s)
{
    return return_path_features(s->rp) & WIRE_FERRY_WORKING;
}

static bool meet_peer(Source *s, GError **errp)
{
    uint16_t features;

    if (!get_answer(s, errp)) {
        return false;
    }
    s->met = true;
    features = return_path_features(s->rp);
    if (batch_method(s) && !(features & codec_of(s)->feature)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    features ? "the destination's Ferry was built without "
                               "compress-method %s; use another"
                             : "the destination is not Ferry: compress-method "
                               "%s needs it; use zlib",
                    batch_method(s));
        return false;
    }
    if (features & WIRE_FERRY_ZERO_RANGE) {
        ram_save_use_ranges(s->ram);
    }
    if (says_working(s)) {
        section_put_ping(s->stream, WIRE_FERRY_WORK);
    }
    return true;
}

/* Can what was asked for be done with this destination? */
static bool check_verify(Source *s, GError **errp)
{
    const char *lacks = NULL;

    if (!s->m->options.value[MIG_OPT_VERIFY]) {
        return true;
    }
    if (!s->rp) {
        lacks = "a return path";
    } else if (!(return_path_features(s->rp) & WIRE_FERRY_VERIFY)) {
        lacks = "a Ferry with xxhash as destination";
    } else if (!ram_digest_features()) {
        lacks = "xxhash, which this Ferry was built without";
    }
    if (lacks) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "capability verify needs %s", lacks);
    }
    return !lacks;
}

static bool source_begin(Source *s, GError **errp)
{
    Migration *m = s->m;
    Identity id = { .machine = m->host->machine };

    if (m->options.value[MIG_OPT_VALIDATE_UUID]) {
        id.uuid = m->host->uuid;
    }
    if (!mig_options_check(&m->options, errp) || !source_ask_host(s, errp)) {
        return false;
    }
    id.method = batch_method(s);
    /* Now, because who says nothing for long is taken for a stranger, and the
     * dirty log of a large guest may take long. */
    section_put_preamble(s->stream, &id);
    if (s->rp) {
        section_put_open_return_path(s->stream);
        section_put_ping(s->stream, WIRE_FERRY_HELLO);
    }
    if (!stream_flush(s->stream, errp)) {
        return false;
    }
    s->logging = m->host->dirty_log_start(m->opaque, errp);
    if (!s->logging) {
        g_prefix_error(errp, "cannot start the dirty log: ");
        return false;
    }
    ram_dirty_find_untouched(s->dirty, m->host, m->opaque);
    ram_dirty_follow(s->dirty, m->host, m->opaque);
    s->collected = clock_now(m->clock);
    put_ram_header(s, WIRE_START);
    ram_save_setup(s->ram);
    section_put_footer(s->stream, RAM_SECTION);
    return stream_flush(s->stream, errp) && (!s->rp || meet_peer(s, errp)) &&
           check_verify(s, errp);
}

/* Precopy */

/* What there is when a pass begins. */
typedef struct PassStart {
    int64_t time;
    uint64_t queued;
    StatsData stats;
} PassStart;

static void start_pass(Source *s, PassStart *start)
{
    start->time = clock_now(s->m->clock);
    start->queued = io_channel_queued(s->channel);
    stats_read(s->m->stats, &start->stats);
}

/*
 * A pass that is shorter than a round trip only shows how fast the system takes
 * what it then has to send.  In a longer one what counts is what arrived.
 */
static void measure_rate(Source *s, const PassStart *start, uint64_t written)
{
    int64_t length = MAX(clock_now(s->m->clock) - start->time, 1);
    int64_t shortest = MAX(SHORTEST_PASS, io_channel_round_trip(s->channel));
    double bytes = (double)written;

    if (length < shortest && s->bytes_per_second != 0) {
        return;
    }
    if (length >= shortest) {
        bytes += (double)start->queued;
        bytes -= (double)io_channel_queued(s->channel);
    }
    s->bytes_per_second = MAX(bytes, 0) * NS_PER_S / (double)length;
}

/* Learn from a pass what the next one will cost. */
static void measure_pass(Source *s, const PassStart *start)
{
    const StatsData *before = &start->stats;
    StatsData after;
    uint64_t bytes, zero, pages;

    stats_read(s->m->stats, &after);
    bytes = after.transferred - before->transferred;
    zero = after.pages.zero - before->pages.zero;
    pages = after.pages.normal - before->pages.normal +
            after.pages.compressed - before->pages.compressed;
    if (s->pass > 1) {
        pages += zero;
    } else {
        /* Pages that were never used.  What gets dirty is like the others. */
        bytes -= after.pages.zero_bytes - before->pages.zero_bytes;
    }
    s->bytes_per_page = pages ? (double)bytes / (double)pages : PAGE_RECORD;
    measure_rate(s, start, after.transferred - before->transferred);
}

/*
 * One section with all that is dirty now.  As long as the guest runs, a file is
 * on its disk before the next one: so the rate that is measured is the disk's
 * and not the memory's, and the last sync, for which the guest stands still,
 * has no more to wait for than the last pass.
 */
static bool send_pass(Source *s, uint8_t type, GError **errp)
{
    put_ram_header(s, type);
    if (!ram_save_pass(s->ram, s->dirty, errp)) {
        return false;
    }
    section_put_footer(s->stream, RAM_SECTION);
    if (!stream_flush(s->stream, errp)) {
        return false;
    }
    stats_moved(s->m->stats, stream_position(s->stream));
    return type == WIRE_END || io_channel_sync(s->channel, errp);
}

static bool collect_dirty(Source *s, GError **errp)
{
    Migration *m = s->m;
    int64_t now = clock_now(m->clock);
    int64_t length = MAX(now - s->collected, 1);
    uint64_t added;

    if (!ram_dirty_collect(s->dirty, m->host, m->opaque, &added, errp)) {
        g_prefix_error(errp, "cannot collect the dirty log: ");
        return false;
    }
    s->collected = now;
    stats_sync(m->stats, ram_dirty_pages(s->dirty),
               (uint64_t)((double)added * NS_PER_S / (double)length));
    return true;
}

/* Auto-converge: slow a guest that writes faster than we send. */
static void adapt_throttle(Source *s, uint64_t sent_bytes)
{
    Migration *m = s->m;
    const uint64_t *value = m->options.value;
    ThrottleInput in = {
        .dirtied_bytes = (uint64_t)((double)ram_dirty_pages(s->dirty) *
                                    s->bytes_per_page),
        .sent_bytes = sent_bytes,
        .threshold = (unsigned)value[MIG_OPT_THROTTLE_TRIGGER_THRESHOLD],
        .high_passes = s->throttle.high_passes,
        .percent = s->throttle.percent,
        .initial = (unsigned)value[MIG_OPT_CPU_THROTTLE_INITIAL],
        .increment = (unsigned)value[MIG_OPT_CPU_THROTTLE_INCREMENT],
        .max = (unsigned)value[MIG_OPT_MAX_CPU_THROTTLE],
        .tailslow = value[MIG_OPT_CPU_THROTTLE_TAILSLOW],
    };

    if (!value[MIG_OPT_AUTO_CONVERGE] || !m->host->throttle) {
        return;
    }
    s->throttle = converge_throttle(&in);
    if (s->throttle.percent != in.percent) {
        m->host->throttle(m->opaque, s->throttle.percent);
        migration_set_throttle(m, s->throttle.percent);
    }
}

static void end_throttle(Source *s)
{
    if (s->throttle.percent) {
        s->throttle.percent = 0;
        s->m->host->throttle(s->m->opaque, 0);
        migration_set_throttle(s->m, 0);
    }
}

static bool source_pass(Source *s, GError **errp)
{
    Migration *m = s->m;
    MigEvent event = { .type = MIG_EVENT_PASS, .state = MIG_STATE_ACTIVE };
    PassStart start;

    event.pass = ++s->pass;
    if (m->host->event) {
        m->host->event(m->opaque, &event);
    }
    start_pass(s, &start);
    if (!send_pass(s, WIRE_PART, errp)) {
        return false;
    }
    measure_pass(s, &start);
    if (!collect_dirty(s, errp)) {
        return false;
    }
    adapt_throttle(s, stream_position(s->stream) -
                          start.stats.transferred);
    return true;
}

static ConvergeDecision decide(Source *s, bool drained)
{
    Migration *m = s->m;
    ConvergeInput in = {
        .dirty_pages = ram_dirty_pages(s->dirty),
        .bytes_per_page = s->bytes_per_page,
        .bytes_per_second = s->bytes_per_second,
        .max_bandwidth = ratelimit_get(m->limit),
        .downtime_limit_ms = migration_downtime_limit_ms(m),
        .least_ms = s->least_ms,
        .queued = io_channel_queued(s->channel),
        .round_trip_ms = (double)io_channel_round_trip(s->channel) / NS_PER_MS,
        .waits_for_go = wants_go(s),
        .drains = s->drains,
        .drained = drained,
    };
    ConvergeDecision decision = converge_decide(&in);

    s->least_ms = MIN(s->least_ms, decision.rest_ms);
    stats_expect(m->stats, decision.expected_downtime_ms, decision.floor_ms);
    return decision;
}

/* Wait for the queue, but at most twice as long as it should take.  A link that
 * has come to a stop is not noticed here, but by the next write that has to
 * wait. */
static bool drain_queue(Source *s, const ConvergeDecision *d, GError **errp)
{
    Migration *m = s->m;
    int64_t now = clock_now(m->clock);
    int64_t end = now + (int64_t)MIN(2 * d->drain_ms, MOST_DRAIN_MS) *
                        NS_PER_MS;

    s->drains++;
    while (now < end && (double)io_channel_queued(s->channel) > d->drain_to) {
        if (!migration_sleep(m, MIN(now + DRAIN_LOOK, end), errp)) {
            return false;
        }
        now = clock_now(m->clock);
    }
    return collect_dirty(s, errp);
}

static bool source_precopy(Source *s, GError **errp)
{
    Migration *m = s->m;
    ConvergeDecision decision;

    migration_set_state(m, MIG_STATE_ACTIVE);
    /* The list of blocks counts as the first look at what is dirty: all. */
    stats_sync(m->stats, ram_dirty_pages(s->dirty), 0);
    s->least_ms = INFINITY;
    do {
        if (!source_pass(s, errp)) {
            return false;
        }
        decision = decide(s, false);
        while (decision.drain_ms > 0) {
            if (!drain_queue(s, &decision, errp)) {
                return false;
            }
            decision = decide(s, true);
        }
    } while (!decision.switch_over);
    return true;
}

/* Switch-over */

/* With capability verify: what the destination's RAM must be now. */
static bool send_digests(Source *s, GError **errp)
{
    const uint64_t *value = s->m->options.value;
    const RamDigestConfig config = {
        .threads = (unsigned)value[MIG_OPT_COMPRESS_THREADS],
    };
    g_autofree uint64_t *digest = g_new0(uint64_t, s->blocks->count);

    if (!value[MIG_OPT_VERIFY]) {
        return true;
    }
    if (!ram_digest(s->blocks, &config, digest, errp)) {
        return false;
    }
    for (unsigned i = 0; i < s->blocks->count; i++) {
        section_put_verify(s->stream, s->blocks->block[i].name, digest[i]);
    }
    return true;
}

/*
 * The commit point, unless the destination waits for GO or is a file, and the
 * end of the stream.  What comes before the end is written first: as long as
 * that can fail the destination cannot have the guest.
 */
static bool send_end(Source *s, GError **errp)
{
    if (!wants_go(s) && !io_channel_is_file(s->channel)) {
        if (!stream_flush(s->stream, errp) || !migration_commit(s->m, errp)) {
            return false;
        }
        s->exposed = true;
    }
    if (s->rp) {
        return_path_expect_shut(s->rp);
    }
    stream_put_u8(s->stream, WIRE_EOF);
    devices_describe(s->devices, s->stream);
    if (!stream_flush(s->stream, errp)) {
        return false;
    }
    stats_moved(s->m->stats, stream_position(s->stream));
    return true;
}

static bool source_switch_over(Source *s, GError **errp)
{
    Migration *m = s->m;

    migration_mark_stopped(m);
    s->stopped = m->host->vm_stop(m->opaque, errp);
    if (!s->stopped) {
        g_prefix_error(errp, "cannot stop the guest: ");
        return false;
    }
    stats_stopped(m->stats);
    ram_dirty_follow(s->dirty, NULL, NULL); /* nothing writes any more */
    if (m->options.value[MIG_OPT_PAUSE_BEFORE_SWITCHOVER]) {
        migration_set_state(m, MIG_STATE_PRE_SWITCHOVER);
        if (!migration_wait_continue(m, errp)) {
            return false;
        }
    }
    migration_set_state(m, MIG_STATE_DEVICE);
    return collect_dirty(s, errp) && send_pass(s, WIRE_END, errp) &&
           send_digests(s, errp) &&
           devices_save(s->devices, s->stream, FIRST_DEVICE, errp) &&
           send_end(s, errp);
}

/*
 * Nobody paces these few bytes, and a cancel may still abort them: as long as
 * the system has not taken all of them, the destination cannot have GO.
 */
static bool send_go(Source *s, GError **errp)
{
    stream_set_pacer(s->stream, NULL, NULL);
    section_put_ping(s->stream, WIRE_FERRY_GO);
    if (!stream_flush(s->stream, errp)) {
        return false;
    }
    stats_moved(s->m->stats, stream_position(s->stream));
    return true;
}

/*
 * Whatever reads a one-way channel runs the guest when it has read all.  A
 * guest in a file is safe when the disk has it, and nobody has it before.
 */
static bool finish_one_way(Source *s, GError **errp)
{
    return io_channel_sync(s->channel, errp) &&
           (s->exposed || migration_commit(s->m, errp)) &&
           io_channel_finish(s->channel, errp);
}

static bool get_shut(Source *s, GError **errp)
{
    bool ok;

    /* It may compute digests, and a Ferry of before 0.2 cannot say so. */
    stall_wait(s->m->stall, !s->m->options.value[MIG_OPT_VERIFY] ||
                                says_working(s));
    ok = return_path_wait(s->rp, errp);
    stall_wait(s->m->stall, false);
    return ok;
}

static bool source_hand_over(Source *s, GError **errp)
{
    if (!(s->rp ? get_shut(s, errp) : finish_one_way(s, errp)) ||
        (wants_go(s) && !send_go(s, errp))) {
        return false;
    }
    migration_mark_handed_over(s->m);
    return true;
}

/* The end */

/* Is it certain that the destination does not run the guest?  err: why the
 * migration failed. */
static bool is_still_ours(Source *s, const GError *err)
{
    if (!s->exposed) {
        return true;
    }
    if (s->rp) {
        return return_path_has_refused(s->rp);
    }
    return err->domain == G_SPAWN_EXIT_ERROR && err->code < LEAST_UNKNOWN;
}

/* The guest runs on here; nothing is asked or told before it does. */
static void source_roll_back(Source *s)
{
    Migration *m = s->m;

    if (s->stopped) {
        migration_await_event(m);
        m->host->vm_resume(m->opaque);
    }
}

/* Does this error only say that the channel is gone? */
static bool is_channel_error(const GError *err)
{
    return g_error_matches(err, MIG_ERROR, MIG_ERROR_IO) ||
           g_error_matches(err, MIG_ERROR, MIG_ERROR_EOF);
}

/* What made a step fail: where the destination did nothing, or said why it
 * failed, that; where the return path broke first, how. */
static void find_first_cause(Source *s, GError **err)
{
    bool aborted = g_error_matches(*err, MIG_ERROR, MIG_ERROR_CANCELLED);
    GError *cause = NULL;

    if (stall_found(s->m->stall, &cause)) {
        g_error_free(*err);
        *err = cause;
        return;
    }
    if (!s->rp || migration_is_cancelled(s->m) ||
        !(aborted || is_channel_error(*err))) {
        return;
    }
    if (!return_path_find_cause(s->rp, &cause)) {
        return;
    }
    if (aborted || !is_channel_error(cause)) {
        g_error_free(*err);
        *err = cause;
    } else {
        g_error_free(cause);
    }
}

/* A destination that refuses what it has read so far says why in its own log
 * only: there is no return path to say it on yet. */
static void explain_silence(Source *s, GError **err)
{
    g_autofree char *method = NULL;
    g_autofree char *text = NULL;

    if (!s->rp || s->met || !is_channel_error(*err)) {
        return;
    }
    if (batch_method(s)) {
        method = g_strdup_printf("; compress-method %s needs a Ferry there, "
                                 "else use zlib", batch_method(s));
    }
    text = g_strdup_printf("the destination left before it had answered (%s): "
                           "its own log may say why%s", (*err)->message,
                           method ? method : "");
    g_clear_error(err);
    g_set_error_literal(err, MIG_ERROR, MIG_ERROR_PEER, text);
}

static void explain_unknown(GError **err)
{
    g_autofree char *text = g_strdup_printf(
        "nobody knows whether the destination runs the guest: the connection "
        "failed when the end of the stream was being sent, or was (%s).  The "
        "guest stays stopped here; look at the destination, and let it go on "
        "here (cont) only if it does not run there", (*err)->message);

    g_clear_error(err);
    g_set_error_literal(err, MIG_ERROR, MIG_ERROR_OUTCOME, text);
}

static void source_fail(Source *s, GError **err)
{
    bool ours = is_still_ours(s, *err);

    if (ours) {
        source_roll_back(s);
    }
    find_first_cause(s, err);
    explain_silence(s, err);
    if (!ours) {
        explain_unknown(err);
    }
}

static void source_clean_up(Source *s)
{
    Migration *m = s->m;

    return_path_free(s->rp);
    stall_stop(m->stall);
    end_throttle(s);
    if (s->logging) {
        m->host->dirty_log_stop(m->opaque);
    }
    ram_save_free(s->ram);
    devices_free(s->devices);
    ram_dirty_free(s->dirty);
    ram_blocks_free(s->blocks);
    stream_free(s->stream);
}

void *source_main(void *arg)
{
    Source s = { .m = arg };
    GError *err = NULL;
    bool ok = source_connect(&s, &err) && source_begin(&s, &err) &&
              source_precopy(&s, &err) && source_switch_over(&s, &err) &&
              source_hand_over(&s, &err);

    if (!ok) {
        source_fail(&s, &err);
    }
    source_clean_up(&s);
    migration_conclude(s.m, err);
    migration_finish(s.m);
    return NULL;
}
