/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passes over what is dirty, with the guest running.  Each is measured, and
 * converge.c decides from what was measured: another pass, a wait for the
 * channel's queue, a slower guest, or the switch-over.
 */
#include "migration/source.h"

#include <math.h>

#include "migration/wire/section.h"
#include "migration/wire/wire.h"

#define RAM_SECTION    1u /* its number */
#define PAGE_RECORD    (MIG_PAGE_SIZE + 8) /* bytes of a plain page */
#define SHORTEST_PASS  (10 * NS_PER_MS) /* to measure a rate by */
#define DRAIN_LOOK     (5 * NS_PER_MS)  /* between looks at a queue */
#define MOST_DRAIN_MS  10000            /* to wait for one */

void source_begin_ram(Source *s, uint8_t type)
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

void source_end_ram(Source *s)
{
    section_put_footer(s->stream, RAM_SECTION);
}

/* What is known when a pass begins. */
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

/* What a pass was. */
typedef struct PassResult {
    int64_t length; /* ns */
    uint64_t written;
    PageCounts pages;
    bool idle; /* most pages had not changed, and were not sent */
} PassResult;

static PassResult pass_result(const Source *s, const PassStart *start)
{
    const PageCounts *before = &start->stats.pages;
    StatsData now;
    PassResult pass;

    stats_read(s->m->stats, &now);
    pass.length = MAX(clock_now(s->m->clock) - start->time, 1);
    pass.written = now.transferred - start->stats.transferred;
    pass.pages = (PageCounts){
        .zero = now.pages.zero - before->zero,
        .normal = now.pages.normal - before->normal,
        .compressed = now.pages.compressed - before->compressed,
        .zero_bytes = now.pages.zero_bytes - before->zero_bytes,
        .unchanged = now.pages.unchanged - before->unchanged,
        .xbzrle = now.pages.xbzrle - before->xbzrle,
    };
    pass.idle = pass.pages.unchanged >
                page_counts_all(&pass.pages) - pass.pages.unchanged;
    return pass;
}

/*
 * A pass that is shorter than a round trip only shows how fast the system takes
 * bytes into its queue.  In a longer one those bytes count that have left it.
 * An idle pass shows what the link can do at least.
 */
static void measure_rate(Source *s, const PassStart *start,
                         const PassResult *pass)
{
    int64_t shortest = MAX(SHORTEST_PASS, io_channel_round_trip(s->channel));
    double bytes = (double)pass->written, rate;

    if (pass->length < shortest && s->bytes_per_second != 0) {
        return;
    }
    if (pass->length >= shortest) {
        bytes += (double)start->queued;
        bytes -= (double)io_channel_queued(s->channel);
    }
    rate = MAX(bytes, 0) * NS_PER_S / (double)pass->length;
    s->bytes_per_second = pass->idle ? MAX(rate, s->bytes_per_second) : rate;
}

/* What a pass has cost, in bytes of stream.  An idle pass has cost time rather
 * than bytes, and counts as the bytes that the link takes in that time. */
static uint64_t cost_of(const Source *s, const PassResult *pass)
{
    uint64_t limit = ratelimit_get(s->m->limit);
    double rate = s->bytes_per_second;
    double room;

    if (!pass->idle) {
        return pass->written;
    }
    room = (limit ? MIN(rate, (double)limit) : rate) *
           ((double)pass->length / NS_PER_S);
    return MAX(pass->written, (uint64_t)room);
}

/*
 * What a page of the next pass will cost.  An idle pass may be the exception:
 * as long as there is only one, a page costs what it did before.
 */
static void measure_pages(Source *s, const PassResult *pass, uint64_t bytes)
{
    uint64_t pages = page_counts_all(&pass->pages);
    double before = s->last_per_page;

    if (s->pass == 1) {
        /* Leave the zero pages out: most were never used, and what the guest
         * dirties from now on is like the others. */
        pages -= pass->pages.zero;
        bytes -= pass->pages.zero_bytes;
    }
    s->last_per_page = pages ? (double)bytes / (double)pages : PAGE_RECORD;
    s->bytes_per_page = pass->idle ? MAX(s->last_per_page, before)
                                   : s->last_per_page;
}

/* Learn from a pass what the next one will cost.  Returns what it has cost. */
static uint64_t measure_pass(Source *s, const PassStart *start)
{
    PassResult pass = pass_result(s, start);
    uint64_t cost;

    measure_rate(s, start, &pass);
    cost = cost_of(s, &pass);
    measure_pages(s, &pass, cost);
    return cost;
}

/*
 * One section with all that is dirty now.  While the guest runs, what a file
 * got is on its disk before the next pass.  So the measured rate is the disk's
 * and not the memory's.  And the last sync, for which the guest stands still,
 * waits for the last pass only.
 */
bool source_send_pass(Source *s, uint8_t type, GError **errp)
{
    source_begin_ram(s, type);
    if (type == WIRE_END) {
        ram_save_settle(s->ram);
    }
    if (!ram_save_pass(s->ram, s->dirty, errp)) {
        return false;
    }
    source_end_ram(s);
    if (!stream_flush(s->stream, errp)) {
        return false;
    }
    stats_moved(&s->counted, stream_position(s->stream));
    return type == WIRE_END || io_channel_sync(s->channel, errp);
}

bool source_collect_dirty(Source *s, GError **errp)
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

void source_end_throttle(Source *s)
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
    uint64_t cost;

    event.pass = ++s->pass;
    if (m->host->event) {
        m->host->event(m->opaque, &event);
    }
    start_pass(s, &start);
    if (!source_send_pass(s, WIRE_PART, errp)) {
        return false;
    }
    cost = measure_pass(s, &start);
    if (!source_collect_dirty(s, errp)) {
        return false;
    }
    adapt_throttle(s, cost);
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
        .waits_for_go = return_path_has(s->rp, WIRE_FERRY_HANDOVER),
        .drains = s->drains,
        .drained = drained,
    };
    ConvergeDecision decision = converge_decide(&in);

    s->least_ms = MIN(s->least_ms, decision.rest_ms);
    stats_expect(m->stats, decision.expected_downtime_ms, decision.floor_ms);
    return decision;
}

/* Wait for the queue, but at most twice as long as it should take.  Nothing
 * here notices a link that has come to a stop: the next write that has to wait
 * will. */
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
    return source_collect_dirty(s, errp);
}

bool source_precopy(Source *s, GError **errp)
{
    Migration *m = s->m;
    ConvergeDecision decision;

    migration_set_state(m, MIG_STATE_ACTIVE);
    /* The list of blocks counts as a first look at the dirty log: everything is
     * dirty. */
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
