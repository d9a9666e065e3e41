/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may go on with a session: the one who knows its secret. */
#include <string.h>

#include "ferry/error.h"
#include "tools/relay/relay-lines.h"
#include "tools/relay/relay-resume.h"
#include "util/thread.h"

typedef struct Fixture {
    IoChannel *ends[2]; /* the sender's, the receiver's */
    Stream *from;
    SessionKey key;
    pthread_t thread;
    /* The sender's thread. */
    SessionKey its_key;
    bool ok;
    uint64_t arrived;
    GError *err;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    g_assert_true(io_channel_pair(f->ends, NULL));
    f->from = stream_new(f->ends[1]);
    g_assert_true(session_key_make(&f->key, NULL));
    f->its_key = f->key;
}

static void tear_down(Fixture *f, const void *unused)
{
    stream_free(f->from);
    io_channel_free(f->ends[0]);
    io_channel_free(f->ends[1]);
    g_clear_error(&f->err);
}

static void *ask(void *opaque)
{
    Fixture *f = opaque;

    f->ok = resume_ask(f->ends[0], &f->its_key, 77, &f->arrived, &f->err);
    return NULL;
}

static void start_asking(Fixture *f, Resume *resume)
{
    g_assert_true(thread_start(&f->thread, "test/ask", ask, f, NULL));
    g_assert_true(resume_read(f->from, resume, NULL));
    g_assert_cmpmem(resume->id, RELAY_ID_SIZE, f->key.id, RELAY_ID_SIZE);
}

static void test_goes_on(Fixture *f, const void *unused)
{
    Resume resume;

    start_asking(f, &resume);
    g_assert_true(resume_challenge(f->ends[1], f->from, &resume, &f->key,
                                   NULL));
    g_assert_cmpuint(resume.arrived, ==, 77);
    g_assert_true(resume_grant(f->ends[1], &resume, &f->key, 88, NULL));
    thread_join(f->thread);
    g_assert_true(f->ok);
    g_assert_cmpuint(f->arrived, ==, 88);
}

static void test_unknown(Fixture *f, const void *unused)
{
    Resume resume;

    start_asking(f, &resume);
    resume_refuse(f->ends[1]);
    thread_join(f->thread);
    g_assert_error(f->err, MIG_ERROR, MIG_ERROR_PEER);
}

/* A sender that knows the id only. */
static void test_no_secret(Fixture *f, const void *unused)
{
    g_autoptr(GError) err = NULL;
    Resume resume;

    memset(f->its_key.secret, 0, RELAY_SECRET_SIZE);
    start_asking(f, &resume);
    g_assert_false(resume_challenge(f->ends[1], f->from, &resume, &f->key,
                                    &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
    io_channel_abort(f->ends[0]);
    thread_join(f->thread);
    g_assert_false(f->ok);
}

/* A receiver that knows the id only, or that lies about what has arrived. */
static void test_wrong_receiver(Fixture *f, const void *lies)
{
    SessionKey other = f->key;
    Resume resume;

    start_asking(f, &resume);
    g_assert_true(resume_challenge(f->ends[1], f->from, &resume, &f->key,
                                   NULL));
    if (lies) {
        resume.arrived++; /* goes into the proof */
    } else {
        memset(other.secret, 0, RELAY_SECRET_SIZE);
    }
    g_assert_true(resume_grant(f->ends[1], &resume, &other, 88, NULL));
    thread_join(f->thread);
    g_assert_error(f->err, MIG_ERROR, MIG_ERROR_PEER);
}

static void test_session(Fixture *f, const void *unused)
{
    SessionHello hello = { f->key, 4711, "a-route" }, got;

    g_assert_true(session_hello_write(f->ends[0], &hello, NULL));
    g_assert_true(session_hello_read(f->from, &got, NULL));
    g_assert_cmpmem(&hello, sizeof(hello), &got, sizeof(got));
}

static void test_ready(Fixture *f, const void *unused)
{
    g_autoptr(GError) err = NULL;

    g_assert_true(session_ready_write(f->ends[1], NULL, NULL));
    g_assert_true(session_ready_read(f->ends[0], NULL));
    g_assert_true(session_ready_write(f->ends[1], "nobody is there", NULL));
    g_assert_false(session_ready_read(f->ends[0], &err));
    g_assert_nonnull(strstr(err->message, "nobody is there"));
}

/* Only for the same peer, and only while it is there. */
static void test_lines(Fixture *f, const void *unused)
{
    Lines *lines = lines_new();
    SessionKey key;

    lines_add(lines, &f->key, f->ends[0], "a");
    g_assert_null(lines_hold(lines, f->key.id, "b", &key));
    g_assert_null(lines_hold(lines, f->key.id, NULL, &key));
    g_assert_true(lines_hold(lines, f->key.id, "a", &key) == f->ends[0]);
    g_assert_cmpmem(&key, sizeof(key), &f->key, sizeof(key));
    lines_release(lines, f->ends[0]);
    lines_remove(lines, f->ends[0]);
    g_assert_null(lines_hold(lines, f->key.id, "a", &key));
    lines_free(lines);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, run, data) \
    g_test_add(path, Fixture, data, set_up, run, tear_down)
    ADD("/resume/goes-on", test_goes_on, NULL);
    ADD("/resume/unknown", test_unknown, NULL);
    ADD("/resume/no-secret", test_no_secret, NULL);
    ADD("/resume/wrong-receiver", test_wrong_receiver, NULL);
    ADD("/resume/lie", test_wrong_receiver, "");
    ADD("/resume/session", test_session, NULL);
    ADD("/resume/ready", test_ready, NULL);
    ADD("/resume/lines", test_lines, NULL);
    return g_test_run();
}
