/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session between two QEMUs, without another relay. */
#include "tools/relay/relay-session-role.h"

#include "tools/relay/relay-convert.h"
#include "util/thread.h"

static bool reverse(Session *s, GError **errp)
{
    const ReverseWatch watch = { &s->stats, &s->watch };

    return reverse_copy(s->far, s->near, &watch, errp);
}

static bool convert_stream(Session *s, bool *write_failed, GError **errp)
{
    const uint64_t *value = s->args->options.value;
    bool expand = s->role == RELAY_ROLE_FROM_QEMU;
    RelayConvertConfig config = {
        .from = s->near_in,
        .to = s->far,
        .expand = expand,
        .level = (unsigned)value[MIG_OPT_COMPRESS_LEVEL],
        .threads = thread_count(value[expand ? MIG_OPT_DECOMPRESS_THREADS
                                             : MIG_OPT_COMPRESS_THREADS]),
        .stats = &s->stats,
        .findings = &s->findings,
        .back = &s->watch,
    };
    RelayConvert *convert = relay_convert_new(&config, errp);
    bool ok;

    if (!convert) {
        return false;
    }
    ok = relay_convert_run(convert, errp);
    *write_failed = relay_convert_write_failed(convert);
    relay_convert_free(convert);
    s->total = stream_position(s->near_in);
    if (ok && !io_channel_finish(s->far, errp)) {
        *write_failed = true;
        return false;
    }
    return ok;
}

static void run(Session *s)
{
    bool write_failed = false;
    GError *err = NULL;

    if (session_connect_far(s, &err) && session_start_reverse(s, &err)) {
        session_went_on(s);
        convert_stream(s, &write_failed, &err);
    }
    if (!err) {
        session_wait_reverse(s, true);
        if (!session_failed(s)) {
            session_wait_destination(s);
        }
    } else {
        if (write_failed) {
            link_blame(&err, "the destination");
        }
        session_fail(s, err);
        if (write_failed) {
            session_wait_reverse(s, false);
        }
        session_abort_both(s);
    }
    session_join_reverse(s);
}

const SessionRole session_role_convert = {
    .run = run,
    .reverse = reverse,
};
