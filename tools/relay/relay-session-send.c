/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session at the sender: QEMU to link. */
#include "tools/relay/relay-session-role.h"

#include "tools/relay/relay-reverse.h"
#include "tools/relay/relay-send.h"
#include "util/text.h"

/* The reverse thread */

/* HELLO, and what the other relay says to it. */
static bool exchange_hello(Session *s, GError **errp)
{
    Hello hello = {
        .version = RELAY_VERSION,
        .pages = RELAY_PAGES,
        .nonce = s->args->nonce,
    };

    g_strlcpy(hello.method, s->args->codec->name, sizeof(hello.method));
    if (!hello_write(s->far, &hello, errp) ||
        !hello_read(s->far_in, &s->answer, errp)) {
        if (errp && g_error_matches(*errp, MIG_ERROR, MIG_ERROR_EOF)) {
            g_clear_error(errp);
            g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                        "%s closed the connection instead of answering: it is "
                        "no ferry-relay (a QEMU, perhaps, which needs one "
                        "beside it), or its log says why",
                        io_channel_name(s->far));
        } else {
            link_blame(errp, "the other relay");
        }
        return false;
    }
    if (s->answer.reason[0]) {
        g_autofree char *text = text_printable(s->answer.reason);

        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the other relay refuses: %s", text);
        return false;
    }
    if (s->answer.version > RELAY_VERSION || s->answer.pages != RELAY_PAGES) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay wants what it was not offered");
        return false;
    }
    return true;
}

static bool encrypt_sending(Session *s, GError **errp)
{
    return !s->args->tls_creds[0] ||
           io_channel_tls_connect(s->far, s->args->tls_creds,
                                  s->args->tls_peer, errp);
}

bool session_reverse_send(Session *s, GError **errp)
{
    const ReverseWatch watch = { &s->stats, &s->watch };
    LinkReader link = { .stream = s->far_in };

    if (!encrypt_sending(s, errp) || !exchange_hello(s, errp)) {
        return false;
    }
    session_set_flag(s, &s->answered);
    return reverse_from_link(&link, s->near, &watch, &s->delivered, errp);
}

/* The forward thread */

static bool get_answer(Session *s, GError **errp)
{
    if (!session_wait_flag(s, &s->answered, false, RELAY_ANSWER_NS)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "%s does not answer; is it a ferry-relay?",
                    io_channel_name(s->far));
        return false;
    }
    if (session_failed(s)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED, "no answer");
        return false;
    }
    return true;
}

/* What is to pack the pages: what the answer says, or NULL. */
static const Codec *agreed_codec(Session *s, GError **errp)
{
    const Codec *codec = codec_find(s->answer.method);

    if (!codec || !codec->available) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay wants a method that this one lacks");
        return NULL;
    }
    if (codec != s->args->codec) {
        relay_log(&s->findings, "the other relay has no %s; using %s",
                  s->args->codec->name, codec->name);
    }
    return codec;
}

static bool greet(Session *s, GError **errp)
{
    s->far_in = stream_new(s->far);
    if (!session_start_reverse(s, errp) || !get_answer(s, errp)) {
        return false;
    }
    session_went_on(s);
    return true;
}

/* Takes err.  The reverse thread is given time to say something better. */
static void send_failed(Session *s, bool link_failed, GError *err)
{
    if (link_failed) {
        link_blame(&err, "the other relay");
        session_wait_reverse(s, false);
        session_fail(s, err);
    } else {
        session_fail(s, err);
        session_wait_reverse(s, false);
    }
    session_abort_both(s);
    session_join_reverse(s);
}

static void send_ended(Session *s)
{
    session_wait_reverse(s, true);
    session_join_reverse(s);
    if (!session_failed(s) && s->delivered != s->total) {
        session_fail(s, g_error_new(G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                                    "%" G_GUINT64_FORMAT " bytes were sent "
                                    "and %" G_GUINT64_FORMAT " delivered",
                                    s->total, s->delivered));
    }
}

static bool send_stream(Session *s, bool *link_failed, GError **errp)
{
    RelaySendConfig config = {
        .from = s->near_in,
        .to = s->far,
        .version = s->answer.version,
        .level = (unsigned)s->args->options.value[MIG_OPT_COMPRESS_LEVEL],
        .threads = (unsigned)s->args->options.value[MIG_OPT_COMPRESS_THREADS],
        .stats = &s->stats,
        .findings = &s->findings,
        .back = &s->watch,
    };
    RelaySend *send;
    bool ok;

    config.codec = agreed_codec(s, errp);
    send = config.codec ? relay_send_new(&config, errp) : NULL;
    if (!send) {
        return false;
    }
    ok = relay_send_run(send, errp);
    *link_failed = relay_send_link_failed(send);
    relay_send_free(send);
    s->total = stream_position(s->near_in);
    return ok;
}

void session_run_send(Session *s)
{
    bool link_failed = false;
    GError *err = NULL;

    if (!session_connect_far(s, &err) || !greet(s, &err)) {
        session_fail(s, err);
        session_abort_both(s);
        session_join_reverse(s);
    } else if (send_stream(s, &link_failed, &err)) {
        send_ended(s);
    } else {
        send_failed(s, link_failed, err);
    }
}
