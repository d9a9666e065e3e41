/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A destination that has loaded everything says so on the return path.  A Ferry
 * then waits for GO.  Until GO is sent the guest can only run here; once it is
 * sent, only there.
 *
 * Every other destination may run the guest as soon as it has read EOF: a QEMU,
 * which then says SHUT, and whatever reads a one-way channel, which says
 * nothing.  So the commit point lies before EOF.  From there on nobody can
 * cancel, and what happens decides who has the guest.
 *
 *     SHUT 0, or a one-way channel that took all    the destination has it
 *     another SHUT, or a command that says so       the guest runs on here
 *     no answer                                     unknown: it stays stopped
 *                                                   here, and a person decides
 *
 * Nobody runs what is in a file, so there the commit point comes after the last
 * sync.
 */
#include "migration/source.h"

#include "migration/ram/digest.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "util/thread.h"

#define FIRST_DEVICE   2u /* number of its section */
/* A command's own word ends below this status.  From here on a shell says that
 * one of its commands was killed, and ssh that it has lost the connection. */
#define LEAST_UNKNOWN  126

/* Is the other end a Ferry that waits for GO? */
static bool waits_for_go(const Source *s)
{
    return return_path_has(s->rp, WIRE_FERRY_HANDOVER);
}

/* With capability verify: what the destination's RAM must be now. */
static bool send_digests(Source *s, GError **errp)
{
    const uint64_t *value = s->m->options.value;
    const RamDigestConfig config = {
        .threads = thread_count(value[MIG_OPT_COMPRESS_THREADS]),
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
 * The commit point, unless the destination waits for GO or is a file; then the
 * end of the stream.  Everything before the end is written first: as long as
 * that can fail, the destination cannot have the guest.
 */
static bool send_end(Source *s, GError **errp)
{
    if (!waits_for_go(s) && !io_channel_is_file(s->channel)) {
        if (!stream_flush(s->stream, errp) || !migration_commit(s->m, errp)) {
            return false;
        }
        s->exposed = true;
    }
    if (s->rp) {
        return_path_expect_shut(s->rp);
    }
    if (stream_has_sum(s->stream)) {
        section_put_sum(s->stream);
    }
    stream_put_u8(s->stream, WIRE_EOF);
    devices_describe(s->devices, s->stream);
    if (!stream_flush(s->stream, errp)) {
        return false;
    }
    stats_moved(&s->counted, stream_position(s->stream));
    return true;
}

bool source_switch_over(Source *s, GError **errp)
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
    return source_collect_dirty(s, errp) &&
           source_send_pass(s, WIRE_END, errp) && send_digests(s, errp) &&
           devices_save(s->devices, s->stream, FIRST_DEVICE, errp) &&
           send_end(s, errp);
}

/*
 * The rate limit does not hold up these few bytes.  A cancel may still abort
 * them: until the system has taken all of them, the destination cannot have GO.
 */
static bool send_go(Source *s, GError **errp)
{
    stream_set_pacer(s->stream, NULL, NULL);
    section_put_ping(s->stream, WIRE_FERRY_GO);
    if (!stream_flush(s->stream, errp)) {
        return false;
    }
    stats_moved(&s->counted, stream_position(s->stream));
    return true;
}

/*
 * Whatever reads a one-way channel runs the guest when it has read everything.
 * A guest in a file is safe when the disk has it, and nobody runs it before
 * that.
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

    /* The destination may be computing digests.  A Ferry older than 0.2 cannot
     * say so, and is not to be given up for that. */
    stall_wait(s->m->stall, !s->m->options.value[MIG_OPT_VERIFY] ||
                                return_path_has(s->rp, WIRE_FERRY_WORKING));
    ok = return_path_wait(s->rp, errp);
    stall_wait(s->m->stall, false);
    return ok;
}

bool source_hand_over(Source *s, GError **errp)
{
    if (!(s->rp ? get_shut(s, errp) : finish_one_way(s, errp)) ||
        (waits_for_go(s) && !send_go(s, errp))) {
        return false;
    }
    migration_mark_handed_over(s->m);
    return true;
}

bool source_is_still_ours(Source *s, const GError *err)
{
    if (!s->exposed) {
        return true;
    }
    if (s->rp) {
        return return_path_has_refused(s->rp);
    }
    return err->domain == G_SPAWN_EXIT_ERROR && err->code < LEAST_UNKNOWN;
}
