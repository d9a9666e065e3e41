/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session at the receiver: link to QEMU. */
#include "tools/relay/relay-session-role.h"

#include "tools/relay/relay-pack.h"
#include "tools/relay/relay-receive.h"
#include "util/thread.h"

static bool reverse(Session *s, GError **errp)
{
    const ReverseWatch watch = { &s->stats, &s->watch };

    return reverse_to_link(s->far, &s->back, &watch, errp);
}

static bool check_hello(const Hello *hello, GError **errp)
{
    if (hello->reason[0]) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay's HELLO has a refusal in it");
        return false;
    }
    return true;
}

/* A relay that has connected to itself would do so again and again, until it
 * could serve no more. */
static bool check_who(Session *s, const Hello *hello, GError **errp)
{
    s->refused = hello->nonce == s->args->nonce;
    if (s->refused) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "this relay has connected to itself: its --connect leads "
                    "to its --listen");
    }
    return !s->refused;
}

/* Connect to QEMU, and say whether that worked.  hello then has what both
 * relays use. */
static bool answer(Session *s, Hello *hello, GError **errp)
{
    Hello back = { .pages = hello->pages };
    const Codec *codec = codec_find(hello->method);
    GError *err = NULL;

    hello->version = back.version = MIN(hello->version, RELAY_VERSION);
    if (back.version >= RELAY_PACK_FROM) {
        back.offer = hello_offer(codec_features(),
                                 relay_pack_window(&s->args->options));
    }
    if (!codec || !codec->available) {
        g_strlcpy(hello->method, codec_zlib.name, sizeof(hello->method));
    }
    g_strlcpy(back.method, hello->method, sizeof(back.method));
    if (check_who(s, hello, &err) && session_connect_far(s, &err)) {
        turns_leave(s->turns, s->findings.number);
        return hello_write(s->near, &back, errp);
    }
    g_strlcpy(back.reason, err->message, sizeof(back.reason));
    hello_write(s->near, &back, NULL);
    g_propagate_error(errp, err);
    return false;
}

static bool receive_stream(Session *s, const Hello *hello, bool *qemu_failed,
                           GError **errp)
{
    RelayReceiveConfig config = {
        .from = s->near_in,
        .to = s->far,
        .version = hello->version,
        .window = relay_pack_window(&s->args->options),
        .codec = codec_find(hello->method),
        .pages = hello->pages,
        .threads =
            thread_count(s->args->options.value[MIG_OPT_DECOMPRESS_THREADS]),
        .stats = &s->stats,
        .ending = &s->findings.ending,
    };
    RelayReceive *receive = relay_receive_new(&config, errp);
    bool ok;

    if (!receive) {
        return false;
    }
    ok = relay_receive_run(receive, &s->total, errp);
    *qemu_failed = relay_receive_qemu_failed(receive);
    s->second = relay_receive_is_second(receive) || (ok && s->total == 0);
    relay_receive_free(receive);
    if (ok && !io_channel_finish(s->far, errp)) {
        *qemu_failed = true;
        return false;
    }
    return ok;
}

static void receive_ended(Session *s)
{
    GError *err = NULL;

    session_wait_reverse(s, true);
    session_join_reverse(s);
    if (!session_failed(s) && !session_wait_destination(s)) {
        link_write_abort(&s->back, s->error->message);
    }
    if (!session_failed(s) &&
        !link_write_total(&s->back, RELAY_DELIVERED, s->total, &err)) {
        session_fail(s, err);
    }
}

/* Takes err. */
static void receive_failed(Session *s, bool qemu_failed, GError *err)
{
    g_autofree char *text = g_strdup(err->message);
    bool first = session_fail(s, err);

    if (qemu_failed) {
        session_wait_reverse(s, false);
    }
    io_channel_abort(s->far);
    if (!session_wait_reverse(s, false)) {
        io_channel_abort(s->near);
    }
    session_join_reverse(s);
    if (first) {
        link_write_abort(&s->back, text);
    }
}

static void run(Session *s)
{
    bool qemu_failed = false;
    GError *err = NULL;
    Hello hello;

    s->back.channel = s->near;
    if (!hello_read(s->near_in, &hello, &err) ||
        !check_hello(&hello, &err) || !answer(s, &hello, &err)) {
        session_fail(s, err);
    } else if (session_start_reverse(s, &err) &&
               receive_stream(s, &hello, &qemu_failed, &err)) {
        receive_ended(s);
    } else {
        if (qemu_failed) {
            link_blame(&err, "the destination");
        }
        receive_failed(s, qemu_failed, err);
    }
}

const SessionRole session_role_receive = {
    .run = run,
    .reverse = reverse,
};
