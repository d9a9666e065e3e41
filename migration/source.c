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
 *     hand over        the destination says that it has everything; with the
 *                      answer it gets the guest
 *
 * A step that fails has an error.  Then a guest that was stopped runs on at
 * once, unless the destination may run it.  Clean-up is the same after every
 * step.
 *
 * The passes are in precopy.c, the last two steps in switchover.c.
 */
#include "migration/source.h"

#include "migration/pack/codec.h"
#include "migration/pack/pack.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"

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
    s->ram = ram_save_new(s->stream, s->blocks, &m->options, &s->counted);
    migration_set_total(m, ram_blocks_bytes(s->blocks));
    return !m->options.value[MIG_OPT_XBZRLE] ||
           ram_save_use_xbzrle(s->ram, errp);
}

/* Without an answer the source does not go on, so that a destination that never
 * answers does not cost the guest a stop.  A channel may take the whole stream
 * without anybody reading it. */
static bool get_answer(Source *s, GError **errp)
{
    bool ok;

    stall_wait(s->m->stall, true);
    ok = return_path_wait_answer(s->rp, errp);
    stall_wait(s->m->stall, false);
    return ok;
}

/* That of records, if the destination takes no packs. */
static const Codec *codec_of(const Source *s)
{
    return codec_without_packs(s->m->options.value[MIG_OPT_COMPRESS_METHOD]);
}

/* The compress-method that only a Ferry reads; NULL when it is not used, or may
 * not be. */
static const char *batch_method(const Source *s)
{
    bool batches = s->m->options.value[MIG_OPT_COMPRESS] &&
                   codec_of(s)->batch_pages > 1;

    return batches ? codec_of(s)->name : NULL;
}

/* How packs may be encoded; of no rung: there are to be none. */
static Ladder ladder_for(const Source *s, uint16_t features)
{
    const uint64_t *value = s->m->options.value;
    Ladder all = ladder_of_all(features);

    if (!value[MIG_OPT_COMPRESS] || !(features & WIRE_FERRY_PACKS)) {
        return (Ladder){ .rungs = 0 };
    }
    if (batch_method(s)) {
        return ladder_of_one(codec_of(s),
                             (unsigned)value[MIG_OPT_COMPRESS_LEVEL]);
    }
    if (value[MIG_OPT_COMPRESS_METHOD] == MIG_METHOD_AUTO && all.rungs > 1) {
        return all;
    }
    return (Ladder){ .rungs = 0 };
}

/* A history that is larger than RAM would help nobody. */
static void use_packs(Source *s, uint16_t features, const Ladder *ladder)
{
    uint64_t history = s->m->options.value[MIG_OPT_COMPRESS_HISTORY];
    unsigned window = pack_window(MIN(history, ram_blocks_bytes(s->blocks)),
                                  features);

    section_put_packs(s->stream, window);
    stream_sum_begin(s->stream);
    ram_save_use_packs(s->ram, window, ladder);
}

static bool check_method(Source *s, uint16_t features, GError **errp)
{
    if (!batch_method(s) || (features & codec_of(s)->feature)) {
        return true;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                features ? "the destination's Ferry was built without "
                           "compress-method %s; use another"
                         : "the destination is not Ferry: compress-method "
                           "%s needs it; use zlib",
                batch_method(s));
    return false;
}

/* Every QEMU reads changes of pages, and every Ferry that reads packs. */
static bool check_xbzrle(Source *s, uint16_t features, GError **errp)
{
    if (!s->m->options.value[MIG_OPT_XBZRLE] || !features ||
        (features & WIRE_FERRY_PACKS)) {
        return true;
    }
    g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_PEER,
                        "the destination's Ferry is too old for the "
                        "capability xbzrle; turn it off");
    return false;
}

static bool meet_peer(Source *s, GError **errp)
{
    uint16_t features;
    Ladder ladder;

    if (!get_answer(s, errp)) {
        return false;
    }
    s->met = true;
    features = return_path_features(s->rp);
    if (!check_method(s, features, errp) ||
        !check_xbzrle(s, features, errp)) {
        return false;
    }
    ladder = ladder_for(s, features);
    if (ladder.rungs) {
        use_packs(s, features, &ladder);
    }
    if (features & WIRE_FERRY_ZERO_RANGE) {
        ram_save_use_ranges(s->ram);
    }
    if (features & WIRE_FERRY_WORKING) {
        section_put_ping(s->stream, WIRE_FERRY_WORK);
    }
    return true;
}

/* With capability verify: can this destination do it? */
static bool check_verify(Source *s, GError **errp)
{
    const char *lacks = NULL;

    if (!s->m->options.value[MIG_OPT_VERIFY]) {
        return true;
    }
    if (!s->rp) {
        lacks = "a return path";
    } else if (!return_path_has(s->rp, WIRE_FERRY_VERIFY)) {
        lacks = "a Ferry with xxhash as destination";
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
    /* Before the dirty log, which may take long to start for a large guest: a
     * source that says nothing for long is taken for a stranger. */
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
    source_begin_ram(s, WIRE_START);
    ram_save_setup(s->ram);
    source_end_ram(s);
    if (!stream_flush(s->stream, errp)) {
        return false;
    }
    if (s->rp && !meet_peer(s, errp)) {
        return false;
    }
    return check_verify(s, errp);
}

/* The end */

/* The guest runs on here, before anybody is asked why or told so. */
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

/* Replace the error by what caused it, if that is known: the destination did
 * nothing for too long, or said why it failed, or the return path broke
 * first. */
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

/* A destination that refuses the very beginning has no return path yet to say
 * why on.  Only its own log tells. */
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
    bool ours = source_is_still_ours(s, *err);

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
    source_end_throttle(s);
    if (s->logging) {
        m->host->dirty_log_stop(m->opaque);
    }
    ram_save_free(s->ram);
    devices_free(s->devices);
    ram_dirty_free(s->dirty);
    ram_blocks_free(s->blocks);
    stream_free(s->stream);
}

void source_run(Migration *m)
{
    Source s = { .m = m, .counted = { .stats = m->stats } };
    GError *err = NULL;
    bool ok = source_connect(&s, &err) && source_begin(&s, &err) &&
              source_precopy(&s, &err) && source_switch_over(&s, &err) &&
              source_hand_over(&s, &err);

    if (!ok) {
        source_fail(&s, &err);
    }
    source_clean_up(&s);
    migration_conclude(m, err);
}
