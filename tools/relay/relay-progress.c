/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A source goes through its RAM in the order of its list of blocks, from the
 * first page to the last, and leaves out pages that the guest has not changed.
 * So a page that comes in front of an earlier one begins another pass, and all
 * pages behind the first pass are pages that come again.  One number, the place
 * of the last page, is all that has to be remembered, whatever the size of RAM
 * that a stream claims to have.
 *
 * Zero pages need not be seen: the place of the next page shows that they have
 * passed.
 *
 * The pages of a pass are those that the guest has changed during the pass
 * before it.  Divided by how long that one took, they are the rate at which the
 * guest changes pages; divided by how long they took themselves, the rate at
 * which pages pass.  If the guest is not slower than that, passes do not get
 * shorter, and the migration does not come to an end by itself.
 *
 * In postcopy pages come in the order in which the destination asks for them,
 * and each comes once.
 */
#include "tools/relay/relay-progress.h"

void progress_init(RelayProgress *p, RelayStats *stats, const Clock *clock)
{
    *p = (RelayProgress){ .stats = stats, .clock = clock };
}

void progress_clear(RelayProgress *p)
{
    g_clear_pointer(&p->start, g_free);
}

static RelayPhase phase_of(const RelayProgress *p)
{
    return atomic_load_explicit(&p->stats->phase, memory_order_relaxed);
}

static void enter_phase(RelayProgress *p, RelayPhase phase)
{
    RelayStats *stats = p->stats;

    if (phase > phase_of(p)) {
        if (phase > RELAY_PHASE_FIRST) {
            relay_stats_set(&stats->ram_passed, relay_stats_get(&stats->ram));
        }
        atomic_store_explicit(&stats->phase, phase, memory_order_relaxed);
    }
}

static void begin_pass(RelayProgress *p, int64_t now)
{
    p->pages = 0;
    p->began = now;
    p->next = 0;
    relay_stats_add(&p->stats->passes, 1);
    atomic_store_explicit(&p->stats->pass_began, now, memory_order_relaxed);
}

void progress_begin(RelayProgress *p, const RamBlocks *blocks)
{
    uint64_t start = 0;

    g_assert(!p->start);
    p->start = g_new(uint64_t, blocks->count + 1);
    for (unsigned i = 0; i < blocks->count; i++) {
        p->start[i] = start;
        start += blocks->block[i].pages * MIG_PAGE_SIZE;
    }
    relay_stats_set(&p->stats->ram, start);
    enter_phase(p, RELAY_PHASE_FIRST);
    begin_pass(p, clock_now(p->clock));
}

/* Bytes a second; 0 where no time has passed. */
static uint64_t rate(uint64_t pages, int64_t time)
{
    return time > 0 ? (uint64_t)((double)(pages * MIG_PAGE_SIZE) *
                                 (double)NS_PER_S / (double)time) : 0;
}

static void end_pass(RelayProgress *p, int64_t now)
{
    int64_t time = now - p->began;

    if (p->time > 0 && time > 0) {
        relay_stats_set(&p->stats->dirty_rate, rate(p->pages, p->time));
        relay_stats_set(&p->stats->pass_rate, rate(p->pages, time));
    }
    p->time = time;
    enter_phase(p, RELAY_PHASE_AGAIN);
}

void progress_page(RelayProgress *p, const RamBlock *block, uint64_t offset)
{
    uint64_t place;

    if (!p->start || phase_of(p) >= RELAY_PHASE_POSTCOPY) {
        return;
    }
    place = p->start[block->index] + offset;
    if (place < p->next) {
        int64_t now = clock_now(p->clock);

        end_pass(p, now);
        begin_pass(p, now);
    }
    p->next = place + MIG_PAGE_SIZE;
    p->pages++;
    if (relay_stats_get(&p->stats->passes) == 1) {
        relay_stats_set(&p->stats->ram_passed, p->next);
    } else {
        relay_stats_add(&p->stats->pages_again, 1);
    }
}

void progress_reached(RelayProgress *p, ScanPlace place)
{
    static const RelayPhase phase[] = {
        [SCAN_STANDS_STILL] = RELAY_PHASE_STOPPED,
        [SCAN_POSTCOPY] = RELAY_PHASE_POSTCOPY,
        [SCAN_COMPLETE] = RELAY_PHASE_HANDED_OVER,
    };

    if (place < G_N_ELEMENTS(phase)) {
        enter_phase(p, phase[place]);
    }
}
