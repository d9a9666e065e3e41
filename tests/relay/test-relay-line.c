/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A link whose connections break: what is read is what was written. */
#include <string.h>

#include "ferry/error.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-kept.h"
#include "tools/relay/relay-line.h"
#include "tools/relay/relay-wire.h"
#include "util/endian.h"
#include "util/thread.h"

#define WINDOW ((size_t)256 << 10)
#define TOTAL  ((size_t)8 << 20)
#define PATIENCE (20 * NS_PER_S)

/* Two lines in this process.  `here` dials: it makes a pair of channels, and
 * gives `there` the other end, as two relays do after their greeting. */
typedef struct Fixture {
    IoChannel *here, *there;
    pthread_mutex_t lock;
    IoChannel *end[2]; /* lock; of the present connection, to be cut */
    unsigned refusals; /* lock; so many dials fail first */
    bool unknown;      /* lock; the other relay knows nothing of the line */
    bool useless;      /* lock; the greeting gets through, and nothing else */
    IoChannel *unheard; /* lock; the other end of such a connection */
    uint64_t lie;      /* lock; added to what has arrived */
    GString *news;     /* lock */
    uint64_t paced;    /* lock; bytes sent again, by both lines */
    unsigned asked;    /* lock; how often that was asked for */
} Fixture;

static IoChannel *dial(void *opaque, uint64_t received, uint64_t *arrived,
                       GCancellable *cancel, GError **errp)
{
    Fixture *f = opaque;
    IoChannel *ends[2];
    bool fails, unknown, useless;

    pthread_mutex_lock(&f->lock);
    useless = f->useless;
    unknown = f->unknown;
    fails = unknown || f->refusals > 0;
    f->refusals -= f->refusals > 0;
    pthread_mutex_unlock(&f->lock);
    if (fails) {
        g_set_error(errp, unknown ? MIG_ERROR : G_IO_ERROR,
                    unknown ? MIG_ERROR_PEER : G_IO_ERROR_NOT_FOUND,
                    "refused");
        return NULL;
    }
    if (!line_stop(f->there, received, arrived, errp)) {
        return NULL;
    }
    g_assert_true(io_channel_pair(ends, NULL));
    if (useless) {
        io_channel_free(f->unheard);
        f->unheard = ends[1];
        line_go_on(f->there, NULL, received, NULL);
        return ends[0];
    }
    pthread_mutex_lock(&f->lock);
    f->end[0] = ends[0];
    f->end[1] = ends[1];
    *arrived += f->lie;
    pthread_mutex_unlock(&f->lock);
    if (!line_go_on(f->there, ends[1], received, errp)) {
        io_channel_free(ends[0]);
        return NULL;
    }
    return ends[0];
}

static void note(void *opaque, bool down, const char *news)
{
    Fixture *f = opaque;

    pthread_mutex_lock(&f->lock);
    g_string_append_printf(f->news, "%s\n", news);
    pthread_mutex_unlock(&f->lock);
}

/* Every second attempt is too early. */
static int64_t pace(void *opaque, size_t bytes)
{
    Fixture *f = opaque;
    bool early;

    pthread_mutex_lock(&f->lock);
    early = f->asked++ % 2 == 0;
    f->paced += early ? 0 : bytes;
    pthread_mutex_unlock(&f->lock);
    return early ? NS_PER_MS : 0;
}

static void note_held(void *opaque)
{
    note(opaque, false, "held");
}

static IoChannel *make_line(Fixture *f, IoChannel *connection, bool dials,
                            int64_t patience)
{
    const LineConfig config = {
        .name = dials ? "here" : "there",
        .connection = connection,
        .window = WINDOW,
        .patience = patience,
        .silence = 2 * NS_PER_S,
        .dial = dials ? dial : NULL,
        .pace = pace,
        .held = note_held,
        .tell = note,
        .opaque = f,
    };
    IoChannel *line = line_new(&config, NULL);

    g_assert_nonnull(line);
    return line;
}

static void set_up_with(Fixture *f, int64_t patience)
{
    pthread_mutex_init(&f->lock, NULL);
    f->news = g_string_new("");
    g_assert_true(io_channel_pair(f->end, NULL));
    f->there = make_line(f, f->end[1], false, patience);
    f->here = make_line(f, f->end[0], true, patience);
}

static void set_up(Fixture *f, const void *unused)
{
    set_up_with(f, PATIENCE);
}

static void tear_down(Fixture *f, const void *unused)
{
    io_channel_free(f->here);
    io_channel_free(f->there);
    io_channel_free(f->unheard);
    g_string_free(f->news, TRUE);
    pthread_mutex_destroy(&f->lock);
}

/* The connection breaks at one end; a line that has not noticed keeps it. */
static void cut(Fixture *f, unsigned end)
{
    pthread_mutex_lock(&f->lock);
    if (f->end[0]) {
        io_channel_abort(f->end[end]);
        f->end[0] = f->end[1] = NULL; /* until another one is there */
    }
    pthread_mutex_unlock(&f->lock);
}

static void set_refusals(Fixture *f, unsigned refusals)
{
    pthread_mutex_lock(&f->lock);
    f->refusals = refusals;
    pthread_mutex_unlock(&f->lock);
}

/* Byte n of either direction. */
static uint8_t byte_at(uint64_t n)
{
    return (uint8_t)(n * 2654435761u >> 13);
}

typedef struct Way {
    IoChannel *from, *to;
    size_t total;
    GRand *rand;
    pthread_t writer;
} Way;

static void *write_all(void *opaque)
{
    Way *way = opaque;
    g_autofree uint8_t *buf = g_malloc(TOTAL);
    uint64_t at = 0;

    while (at < way->total) {
        size_t wish = (size_t)g_rand_int_range(way->rand, 1, 400000);
        size_t size = MIN(way->total - at, wish);
        GOutputVector vectors[2] = {
            { buf, size / 3 }, { buf + size / 3, size - size / 3 },
        };

        for (size_t i = 0; i < size; i++) {
            buf[i] = byte_at(at + i);
        }
        g_assert_true(io_channel_writev(way->from, vectors, 2, NULL));
        at += size;
    }
    return NULL;
}

static void read_all(Way *way)
{
    g_autofree uint8_t *buf = g_malloc(300000);
    uint64_t at = 0;
    size_t got;

    while (at < way->total) {
        g_autoptr(GError) err = NULL;

        io_channel_read(way->to, buf, 300000, &got, &err);
        g_assert_no_error(err);
        g_assert_cmpuint(got, >, 0);
        for (size_t i = 0; i < got; i++) {
            g_assert_cmpuint(buf[i], ==, byte_at(at + i));
        }
        at += got;
    }
    g_assert_cmpuint(at, ==, way->total);
}

/* To the goodbye, because acknowledgements come to the reader. */
static void *read_in_thread(void *opaque)
{
    Way *way = opaque;
    uint8_t byte;
    size_t got;

    read_all(way);
    g_assert_true(io_channel_read(way->to, &byte, 1, &got, NULL));
    g_assert_cmpuint(got, ==, 0);
    return NULL;
}

static void start_way(Way *way, IoChannel *from, IoChannel *to, size_t total,
                      guint32 seed)
{
    *way = (Way){ from, to, total, g_rand_new_with_seed(seed), 0 };
    g_assert_true(thread_start(&way->writer, "test/write", write_all, way,
                               NULL));
}

static void end_way(Way *way)
{
    thread_join(way->writer);
    g_rand_free(way->rand);
}

/* What one end says, and nobody takes, is no reason for the other direction to
 * stop: acknowledgements stand behind it. */
static void test_nobody_reads(Fixture *f, const void *unused)
{
    Way forward, back;

    start_way(&back, f->there, f->here, 5 * WINDOW / 2, 21);
    start_way(&forward, f->here, f->there, TOTAL, 22);
    read_all(&forward);
    end_way(&forward);
    /* What was put aside is dropped, and comes again. */
    cut(f, 0);
    read_all(&back);
    end_way(&back);
    g_assert_cmpuint(line_counts(f->here).resumes, ==, 1);
}

/* What is sent again is paced, and nothing else. */
static void test_again(Fixture *f, const void *unused)
{
    Way forward;

    start_way(&forward, f->here, f->there, WINDOW, 31);
    g_usleep(100000); /* it is on its way */
    set_refusals(f, 2);
    cut(f, 1);
    read_all(&forward);
    end_way(&forward);
    g_assert_cmpuint(f->paced, >, 0);
    g_assert_cmpuint(f->paced, <=, line_counts(f->here).sent_again +
                                       line_counts(f->there).sent_again);
}

/* Both directions, with so many cuts at either end. */
static void move_bytes(Fixture *f, unsigned cuts, guint32 seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    pthread_t reader;
    Way forward, back;

    start_way(&forward, f->here, f->there, TOTAL, seed + 1);
    start_way(&back, f->there, f->here, TOTAL / 16, seed + 2);
    g_assert_true(thread_start(&reader, "test/read", read_in_thread, &back,
                               NULL));
    for (unsigned i = 0; i < cuts; i++) {
        g_usleep((gulong)g_rand_int_range(rand, 1, 4000));
        cut(f, (unsigned)g_rand_int_range(rand, 0, 2));
    }
    read_all(&forward);
    end_way(&forward);
    end_way(&back);
    g_assert_true(io_channel_finish(f->there, NULL));
    thread_join(reader);
    g_assert_true(io_channel_finish(f->here, NULL));
}

static void test_without_cuts(Fixture *f, const void *unused)
{
    move_bytes(f, 0, 1);
    g_assert_cmpuint(line_counts(f->here).resumes, ==, 0);
    g_assert_cmpuint(line_counts(f->here).sent_again, ==, 0);
    g_assert_cmpstr(f->news->str, ==, "");
    g_assert_cmpuint(f->paced, ==, 0);
}

static void test_cuts(Fixture *f, const void *unused)
{
    LineCounts counts;

    move_bytes(f, 12, g_test_rand_int_range(1, 1 << 30));
    counts = line_counts(f->here);
    g_assert_cmpuint(counts.resumes, >, 0);
    /* No more than the window each time. */
    g_assert_cmpuint(counts.sent_again, <=, counts.resumes * WINDOW);
}

static void test_refused_at_first(Fixture *f, const void *unused)
{
    f->refusals = 2;
    move_bytes(f, 2, 7);
    g_assert_nonnull(strstr(f->news->str, "has broken"));
    g_assert_nonnull(strstr(f->news->str, "goes on after"));
}

static void assert_read_fails(IoChannel *line, GQuark domain, int code,
                              const char *says)
{
    g_autoptr(GError) err = NULL;
    uint8_t byte;
    size_t got;

    g_assert_false(io_channel_read(line, &byte, 1, &got, &err));
    g_assert_error(err, domain, code);
    g_assert_nonnull(strstr(err->message, says));
}

static void assert_write_fails(IoChannel *line, const char *says)
{
    g_autoptr(GError) err = NULL;
    GOutputVector vector = { "x", 1 };

    g_assert_false(io_channel_writev(line, &vector, 1, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, says));
}

static void test_unknown_line(Fixture *f, const void *unused)
{
    f->unknown = true;
    cut(f, 0);
    assert_read_fails(f->here, MIG_ERROR, MIG_ERROR_PEER, "refused");
    assert_write_fails(f->here, "refused");
}

static void test_no_patience(Fixture *f, const void *unused)
{
    set_up_with(f, 0);
    cut(f, 0);
    assert_read_fails(f->here, G_IO_ERROR, G_IO_ERROR_CANCELLED, "");
    g_assert_cmpstr(f->news->str, ==, "");
    tear_down(f, NULL);
}

/* Both ends give up, and say what had broken, and for how long. */
static void test_patience_ends(Fixture *f, const void *unused)
{
    line_set_patience(f->here, 300 * NS_PER_MS);
    line_set_patience(f->there, 300 * NS_PER_MS);
    pthread_mutex_lock(&f->lock);
    f->refusals = G_MAXUINT;
    pthread_mutex_unlock(&f->lock);
    cut(f, 1);
    assert_read_fails(f->there, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                      "did not go on within 0 s");
    assert_read_fails(f->here, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                      "did not go on");
    assert_write_fails(f->here, "did not go on");
}

/* A path that lets the greeting through, and no data, is no way to go on. */
static void test_useless(Fixture *f, const void *unused)
{
    set_up_with(f, PATIENCE);
    line_set_patience(f->here, 3 * NS_PER_S);
    f->useless = true;
    cut(f, 0);
    assert_read_fails(f->here, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                      "did not go on");
    g_assert_nonnull(strstr(f->news->str, "goes on after"));
    tear_down(f, NULL);
}

/* After a connection that was of use patience begins anew. */
static void test_useful(Fixture *f, const void *unused)
{
    set_up_with(f, PATIENCE);
    line_set_patience(f->here, 1500 * NS_PER_MS);
    for (unsigned i = 0; i < 3; i++) {
        GOutputVector vector = { "x", 1 };
        uint8_t byte;
        size_t got;

        set_refusals(f, 3); /* for 0.7 s */
        cut(f, 0);
        g_assert_true(io_channel_writev(f->here, &vector, 1, NULL));
        g_assert_true(io_channel_read(f->there, &byte, 1, &got, NULL));
        g_assert_true(io_channel_writev(f->there, &vector, 1, NULL));
        g_assert_true(io_channel_read(f->here, &byte, 1, &got, NULL));
    }
    g_assert_cmpuint(line_counts(f->here).resumes, ==, 3);
    tear_down(f, NULL);
}

static void *read_until_abort(void *line)
{
    uint8_t byte;
    size_t got;

    io_channel_read(line, &byte, 1, &got, NULL);
    return NULL;
}

/* Also where nobody has anything to say, and connections are short. */
static void test_flaps(Fixture *f, const void *unused)
{
    pthread_t readers[2];

    set_up_with(f, PATIENCE);
    line_set_patience(f->here, 1500 * NS_PER_MS);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(thread_start(&readers[i], "test/read", read_until_abort,
                                   i ? f->there : f->here, NULL));
    }
    for (unsigned i = 1; i <= 3; i++) {
        set_refusals(f, 3); /* for 0.7 s */
        cut(f, 0);
        while (line_counts(f->here).resumes < i) { /* meson's timeout */
            g_usleep(1000);
        }
        g_usleep(200000);
    }
    io_channel_abort(f->here);
    io_channel_abort(f->there);
    thread_join(readers[0]);
    thread_join(readers[1]);
    tear_down(f, NULL);
}

/* Time that has passed already does not count against less patience. */
static void test_less_patience(Fixture *f, const void *unused)
{
    GOutputVector vector = { "x", 1 };
    uint8_t byte;
    size_t got;

    set_refusals(f, G_MAXUINT);
    cut(f, 0);
    g_usleep(2500000);
    line_set_patience(f->here, 2400 * NS_PER_MS);
    g_usleep(300000); /* for the line to look at it */
    set_refusals(f, 0);
    g_assert_true(io_channel_writev(f->here, &vector, 1, NULL));
    g_assert_true(io_channel_read(f->there, &byte, 1, &got, NULL));
}

/* A proof that comes late, from an attempt that the other relay gave up, does
 * not end the line, and not even the present connection. */
static void test_old_proof(Fixture *f, const void *unused)
{
    GOutputVector vector = { "xy", 2 };
    g_autoptr(GError) err = NULL;
    uint8_t bytes[2];
    uint64_t received;
    size_t got;

    g_assert_true(io_channel_writev(f->there, &vector, 1, NULL));
    g_assert_true(io_channel_read(f->here, bytes, 2, &got, NULL));
    g_assert_true(io_channel_writev(f->here, &vector, 1, NULL)); /* tells it */
    g_assert_true(io_channel_read(f->there, bytes, 1, &got, NULL));
    g_assert_false(line_stop(f->there, 1, &received, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_EXISTS);
    g_assert_true(io_channel_read(f->there, bytes, 1, &got, NULL));
    move_bytes(f, 0, 3);
    g_assert_cmpuint(line_counts(f->here).resumes, ==, 0);
}

/* The sender's patience is the receiver's, and a little more. */
static void test_patience_is_told(Fixture *f, const void *unused)
{
    GOutputVector vector = { "x", 1 };
    uint8_t byte;
    size_t got;

    line_set_patience(f->here, 0);
    g_assert_true(io_channel_writev(f->here, &vector, 1, NULL));
    g_assert_true(io_channel_read(f->there, &byte, 1, &got, NULL));
    cut(f, 1);
    assert_read_fails(f->there, G_IO_ERROR, G_IO_ERROR_CANCELLED, "");
}

static void wait_for_news(Fixture *f, const char *news)
{
    bool there = false;

    while (!there) { /* meson's timeout ends it */
        g_usleep(1000);
        pthread_mutex_lock(&f->lock);
        there = strstr(f->news->str, news) != NULL;
        pthread_mutex_unlock(&f->lock);
    }
}

/* A receiver that has forgotten the session is no reason for a sender to end
 * that waits for ever. */
static void test_forever(Fixture *f, const void *unused)
{
    GOutputVector vector = { "x", 1 };
    uint8_t byte;
    size_t got;

    line_set_patience(f->here, LINE_FOREVER);
    pthread_mutex_lock(&f->lock);
    f->unknown = true;
    pthread_mutex_unlock(&f->lock);
    cut(f, 0);
    wait_for_news(f, "for ever");
    g_usleep(300000); /* for an attempt or two */
    pthread_mutex_lock(&f->lock);
    f->unknown = false;
    pthread_mutex_unlock(&f->lock);
    g_assert_true(io_channel_writev(f->here, &vector, 1, NULL));
    g_assert_true(io_channel_read(f->there, &byte, 1, &got, NULL));
}

/* What is written after line_hold() counts when it is sent. */
static void test_hold(Fixture *f, const void *unused)
{
    line_set_patience(f->here, 700 * NS_PER_MS);
    set_refusals(f, G_MAXUINT);
    cut(f, 0);
    wait_for_news(f, "has broken");
    line_hold(f->here);
    assert_write_fails(f->here, "did not go on");
    g_assert_null(strstr(f->news->str, "held"));
}

static void test_hold_sent(Fixture *f, const void *unused)
{
    GOutputVector vector = { "x", 1 };
    uint8_t byte;
    size_t got;

    line_set_patience(f->here, NS_PER_S);
    line_hold(f->here);
    g_assert_null(strstr(f->news->str, "held"));
    g_assert_true(io_channel_writev(f->here, &vector, 1, NULL));
    g_assert_nonnull(strstr(f->news->str, "held"));
    g_assert_true(io_channel_read(f->there, &byte, 1, &got, NULL));
    set_refusals(f, G_MAXUINT);
    cut(f, 0);
    wait_for_news(f, "for ever");
    set_refusals(f, 0);
    g_assert_true(io_channel_writev(f->here, &vector, 1, NULL));
}

static void test_lie(Fixture *f, const void *unused)
{
    f->lie = WINDOW;
    cut(f, 0);
    assert_read_fails(f->here, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                      "where the link cannot");
}

static void *abort_soon(void *line)
{
    g_usleep(20000);
    io_channel_abort(line);
    return NULL;
}

static void test_abort(Fixture *f, const void *unused)
{
    pthread_t thread;

    pthread_mutex_lock(&f->lock);
    f->refusals = G_MAXUINT;
    pthread_mutex_unlock(&f->lock);
    cut(f, 0);
    g_assert_true(thread_start(&thread, "test/abort", abort_soon, f->here,
                               NULL));
    assert_read_fails(f->here, G_IO_ERROR, G_IO_ERROR_CANCELLED, "");
    thread_join(thread);
}

/* After BYE nobody waits for another connection. */
static void test_goodbye(Fixture *f, const void *unused)
{
    uint8_t byte;
    size_t got = 1;

    g_assert_true(io_channel_finish(f->here, NULL));
    g_assert_true(io_channel_read(f->there, &byte, 1, &got, NULL));
    g_assert_cmpuint(got, ==, 0);
    io_channel_free(g_steal_pointer(&f->here));
    g_assert_true(io_channel_finish(f->there, NULL));
    g_assert_cmpstr(f->news->str, ==, "");
}

/* The peer of these is the test. */

static IoChannel *bare(Fixture *f, Stream **from)
{
    IoChannel *ends[2];

    pthread_mutex_init(&f->lock, NULL);
    f->news = g_string_new("");
    g_assert_true(io_channel_pair(ends, NULL));
    f->there = make_line(f, ends[0], false, 0);
    *from = stream_new(ends[1]);
    return ends[1];
}

static void end_bare(Fixture *f, IoChannel *peer, Stream *from)
{
    stream_free(from);
    io_channel_free(peer);
    tear_down(f, NULL);
}

static void test_silence(Fixture *f, const void *unused)
{
    Stream *from;
    IoChannel *peer = bare(f, &from);

    assert_read_fails(f->there, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                      "nothing has come");
    end_bare(f, peer, from);
}

/* A connection that has broken shows to a writer, too, where nobody reads. */
static void test_write_stuck(Fixture *f, const void *unused)
{
    g_autofree uint8_t *bytes = g_malloc0(2 * WINDOW);
    GOutputVector vector = { bytes, 2 * WINDOW };
    g_autoptr(GError) err = NULL;
    Stream *from;
    IoChannel *peer = bare(f, &from);

    g_assert_false(io_channel_writev(f->there, &vector, 1, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    end_bare(f, peer, from);
}

static uint32_t next_record(Stream *from, uint8_t *body)
{
    uint32_t head;

    g_assert_true(stream_get_be32(from, &head, NULL));
    g_assert_true(stream_get_bytes(from, body, head & 0xffffff, NULL));
    return head;
}

static void write_record(IoChannel *to, unsigned type, const void *body,
                         size_t size)
{
    uint8_t head[LINE_HEAD_SIZE];
    GOutputVector vectors[2] = { { head, sizeof(head) }, { body, size } };

    store_be32(head, type << 24 | (uint32_t)size);
    g_assert_true(io_channel_writev(to, vectors, 2, NULL));
}

/* It says something though nobody writes. */
static void test_beats(Fixture *f, const void *unused)
{
    Stream *from;
    IoChannel *peer = bare(f, &from);
    uint8_t body[8];

    g_assert_cmpuint(next_record(from, body) >> 24, ==, LINE_HAVE);
    g_assert_cmpuint(load_be64(body), ==, 0);
    end_bare(f, peer, from);
}

static bool has_input_soon(IoChannel *line)
{
    for (unsigned i = 0; i < 1000 && !io_channel_has_input(line); i++) {
        g_usleep(1000);
    }
    return io_channel_has_input(line);
}

/* An acknowledgement is nothing that a reader could read. */
static void test_has_input(Fixture *f, const void *unused)
{
    uint8_t have[8] = { 0 }, byte;
    Stream *from;
    IoChannel *peer = bare(f, &from);
    size_t got;

    write_record(peer, LINE_HAVE, have, sizeof(have));
    g_usleep(20000);
    g_assert_false(io_channel_has_input(f->there));
    write_record(peer, LINE_HAVE, have, sizeof(have));
    write_record(peer, LINE_BYTES, "xy", 2);
    g_assert_true(has_input_soon(f->there));
    g_assert_true(io_channel_read(f->there, &byte, 1, &got, NULL));
    g_assert_true(io_channel_has_input(f->there));
    g_assert_true(io_channel_read(f->there, &byte, 1, &got, NULL));
    g_assert_cmpint(byte, ==, 'y');
    g_assert_false(io_channel_has_input(f->there));
    io_channel_finish(peer, NULL);
    g_assert_true(has_input_soon(f->there));
    end_bare(f, peer, from);
}

/* Also while nobody reads or writes. */
static void test_leave(Fixture *f, const void *unused)
{
    uint8_t byte;
    size_t got = 1;

    line_leave(f->here);
    io_channel_abort(f->here);
    g_assert_true(io_channel_read(f->there, &byte, 1, &got, NULL));
    g_assert_cmpuint(got, ==, 0);
}

static void *write_until_abort(void *line)
{
    g_autofree uint8_t *bytes = g_malloc0(2 * WINDOW);
    GOutputVector vector = { bytes, 2 * WINDOW };

    io_channel_writev(line, &vector, 1, NULL);
    return NULL;
}

static void *write_much(void *line)
{
    g_autofree uint8_t *bytes = g_malloc0(2 * WINDOW);
    GOutputVector vector = { bytes, 2 * WINDOW };

    g_assert_true(io_channel_writev(line, &vector, 1, NULL));
    return NULL;
}

/* One that cannot say goodbye takes its time once, however many others there
 * are. */
static void test_begin_to_leave(Fixture *f, const void *unused)
{
    Stream *from;
    IoChannel *peer = bare(f, &from);
    pthread_t writer;
    int64_t since;

    g_assert_true(thread_start(&writer, "test/write", write_until_abort,
                               f->there, NULL));
    g_usleep(100000); /* until the write is stuck */
    line_begin_to_leave(f->there);
    since = clock_now(&clock_monotonic);
    for (unsigned i = 0; i < 20; i++) {
        line_leave(f->there);
    }
    g_assert_cmpint(clock_now(&clock_monotonic) - since, <, 3 * NS_PER_S);
    io_channel_abort(f->there);
    thread_join(writer);
    end_bare(f, peer, from);
}

/* No more than the window is on its way. */
static void test_window(Fixture *f, const void *unused)
{
    g_autofree uint8_t *body = g_malloc(LINE_BYTES_MAX);
    uint8_t have[8];
    pthread_t writer;
    Stream *from;
    IoChannel *peer = bare(f, &from);
    size_t got = 0, one;
    uint32_t head;

    g_assert_true(thread_start(&writer, "test/write", write_much, f->there,
                               NULL));
    do {
        head = next_record(from, body);
        got += head >> 24 == LINE_BYTES ? head & 0xffffff : 0;
    } while (head >> 24 == LINE_BYTES || got < WINDOW);
    g_assert_cmpuint(got, ==, WINDOW);
    /* Nobody need read what stands in front of the acknowledgement. */
    write_record(peer, LINE_BYTES, "x", 1);
    store_be64(have, WINDOW);
    write_record(peer, LINE_HAVE, have, sizeof(have));
    while (got < 2 * WINDOW) {
        head = next_record(from, body);
        got += head >> 24 == LINE_BYTES ? head & 0xffffff : 0;
    }
    g_assert_true(io_channel_read(f->there, body, 1, &one, NULL));
    g_assert_cmpint(*body, ==, 'x');
    thread_join(writer);
    end_bare(f, peer, from);
}

static const struct {
    const char *name;
    uint32_t head;
    uint64_t body;
} bad_records[] = {
    { "type", 9u << 24 | 8, 0 },
    { "no-bytes", LINE_BYTES << 24, 0 },
    { "too-many-bytes", LINE_BYTES << 24 | 0xffffff, 0 },
    { "have-more", LINE_HAVE << 24 | 8, 1 },
    { "have-size", LINE_HAVE << 24 | 4, 0 },
    { "patience-size", LINE_PATIENCE << 24 | 8, 0 },
    { "bye-size", LINE_BYE << 24 | 8, 0 },
};

static void test_bad_record(Fixture *f, const void *index)
{
    Stream *from;
    IoChannel *peer = bare(f, &from);
    uint8_t bytes[12];
    GOutputVector vector = { bytes, sizeof(bytes) };

    store_be32(bytes, bad_records[GPOINTER_TO_UINT(index)].head);
    store_be64(bytes + 4, bad_records[GPOINTER_TO_UINT(index)].body);
    g_assert_true(io_channel_writev(peer, &vector, 1, NULL));
    assert_read_fails(f->there, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                      "not allowed");
    end_bare(f, peer, from);
}

/* The ring alone. */
static void test_kept(void)
{
    Kept kept;
    uint8_t *to;
    const uint8_t *from;

    g_assert_true(kept_init(&kept, 10, NULL));
    g_assert_cmpuint(kept_next(&kept, &from), ==, 0);
    g_assert_cmpuint(kept_space(&kept, &to), ==, 10);
    memcpy(to, "abcdefgh", 8);
    kept_wrote(&kept, 8);
    g_assert_cmpuint(kept_next(&kept, &from), ==, 8);
    kept_did_send(&kept, 6);
    g_assert_cmpuint(kept_next(&kept, &from), ==, 2);
    g_assert_cmpint(*from, ==, 'g');
    g_assert_false(kept_ack(&kept, 9));
    g_assert_true(kept_ack(&kept, 5));
    g_assert_false(kept_ack(&kept, 4));
    /* Two at the end, and then from the beginning on. */
    g_assert_cmpuint(kept_space(&kept, &to), ==, 2);
    memcpy(to, "ij", 2);
    kept_wrote(&kept, 2);
    g_assert_cmpuint(kept_space(&kept, &to), ==, 5);
    memcpy(to, "klmno", 5);
    kept_wrote(&kept, 5);
    g_assert_cmpuint(kept_space(&kept, &to), ==, 0);
    g_assert_false(kept_rewind(&kept, 4));
    g_assert_false(kept_rewind(&kept, 16));
    g_assert_true(kept_rewind(&kept, 5));
    g_assert_cmpuint(kept_next(&kept, &from), ==, 5);
    g_assert_cmpint(*from, ==, 'f');
    kept_did_send(&kept, 5);
    g_assert_cmpuint(kept_next(&kept, &from), ==, 5);
    g_assert_cmpint(*from, ==, 'k');
    kept_did_send(&kept, 5);
    /* All has arrived: the next bytes stand at the beginning again. */
    g_assert_true(kept_ack(&kept, 15));
    g_assert_cmpuint(kept_space(&kept, &to), ==, 10);
    g_assert_true(to == kept.bytes);
    kept_destroy(&kept);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kept", test_kept);
#define ADD(path, run) \
    g_test_add(path, Fixture, NULL, set_up, run, tear_down)
    ADD("/line/without-cuts", test_without_cuts);
    ADD("/line/cuts", test_cuts);
    ADD("/line/nobody-reads", test_nobody_reads);
    ADD("/line/again", test_again);
    ADD("/line/refused-at-first", test_refused_at_first);
    ADD("/line/unknown", test_unknown_line);
    ADD("/line/patience-ends", test_patience_ends);
    ADD("/line/patience-is-told", test_patience_is_told);
    ADD("/line/less-patience", test_less_patience);
    ADD("/line/old-proof", test_old_proof);
    ADD("/line/forever", test_forever);
    ADD("/line/hold", test_hold);
    ADD("/line/hold-sent", test_hold_sent);
    ADD("/line/lie", test_lie);
    ADD("/line/abort", test_abort);
    ADD("/line/goodbye", test_goodbye);
    ADD("/line/leave", test_leave);
#define ADD_BARE(path, run) g_test_add(path, Fixture, NULL, NULL, run, NULL)
    ADD_BARE("/line/no-patience", test_no_patience);
    ADD_BARE("/line/useless", test_useless);
    ADD_BARE("/line/useful", test_useful);
    ADD_BARE("/line/flaps", test_flaps);
    ADD_BARE("/line/silence", test_silence);
    ADD_BARE("/line/write-stuck", test_write_stuck);
    ADD_BARE("/line/begin-to-leave", test_begin_to_leave);
    ADD_BARE("/line/beats", test_beats);
    ADD_BARE("/line/has-input", test_has_input);
    ADD_BARE("/line/window", test_window);
    for (guint i = 0; i < G_N_ELEMENTS(bad_records); i++) {
        g_autofree char *path = g_strdup_printf("/line/bad/%s",
                                                bad_records[i].name);

        g_test_add(path, Fixture, GUINT_TO_POINTER(i), NULL, test_bad_record,
                   NULL);
    }
    return g_test_run();
}
