/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the pump waits for its workers, and when it does not. */
#include "tests/lib/gate.h"
#include "tests/lib/mem-channel.h"
#include "tools/relay/relay-pump.h"

typedef struct Fixture {
    IoChannel *ends[2]; /* what is written to the first is read from `from` */
    Stream *from;
    MemWriter *out;
    RelayStats stats;
    Gate gate; /* each job passes it */
    Pump *pump;
} Fixture;

static void put_x(PumpJob *job)
{
    pump_job_set(job, "x", 1);
}

static void *worker_new(const void *gate, GError **errp)
{
    return (void *)gate;
}

static void worker_free(void *gate)
{
}

static void job_run(void *job, void *gate)
{
    gate_pass(gate);
    put_x(job);
}

static void set_up(Fixture *f, const void *unused)
{
    PoolConfig pool = {
        .name = "test",
        .workers = 1,
        .job_size = sizeof(PumpJob),
        .worker_new = worker_new,
        .worker_config = &f->gate,
        .worker_free = worker_free,
        .run = job_run,
    };
    PumpOutput output = { .stats = &f->stats, .wait = RELAY_WAIT_LINK };

    g_assert_true(io_channel_pair(f->ends, NULL));
    f->from = stream_new(f->ends[1]);
    f->out = mem_writer_new();
    gate_init(&f->gate);
    output.channel = f->out->channel;
    f->pump = pump_new(&pool, &output, NULL);
    g_assert_nonnull(f->pump);
}

static void tear_down(Fixture *f, const void *unused)
{
    pump_free(f->pump);
    gate_destroy(&f->gate);
    mem_writer_free(f->out);
    stream_free(f->from);
    io_channel_free(f->ends[0]);
    io_channel_free(f->ends[1]);
}

static void submit(Fixture *f, unsigned jobs)
{
    for (unsigned i = 0; i < jobs; i++) {
        g_assert_nonnull(pump_next(f->pump, NULL));
        g_assert_true(pump_submit(f->pump, NULL));
    }
}

static size_t written(Fixture *f)
{
    return relay_stats_get(&f->stats.bytes_out);
}

static void test_silence(Fixture *f, const void *unused)
{
    gate_release(&f->gate);
    submit(f, 3);
    g_assert_true(pump_flush_idle(f->pump, f->from, NULL, NULL));
    g_assert_cmpuint(written(f), ==, 3);
}

/* A job that takes long does not keep from reading what has come. */
static void test_input(Fixture *f, const void *unused)
{
    GOutputVector vector = { "y", 1 };
    uint8_t byte;

    g_assert_true(io_channel_writev(f->ends[0], &vector, 1, NULL));
    submit(f, 3);
    g_assert_true(pump_flush_idle(f->pump, f->from, NULL, NULL));
    g_assert_cmpuint(written(f), ==, 0);

    g_assert_true(stream_get_u8(f->from, &byte, NULL));
    gate_release(&f->gate);
    g_assert_true(pump_flush_idle(f->pump, f->from, NULL, NULL));
    g_assert_cmpuint(written(f), ==, 3);
}

/* All jobs, even if there is something to be read. */
static void test_flush(Fixture *f, const void *unused)
{
    GOutputVector vector = { "y", 1 };

    g_assert_true(io_channel_writev(f->ends[0], &vector, 1, NULL));
    gate_release(&f->gate);
    submit(f, 3);
    g_assert_true(pump_flush(f->pump, NULL));
    g_assert_cmpuint(written(f), ==, 3);
}

/* A link on which each write takes TOOK_MS at least. */
#define TOOK_MS 5

typedef GOutputStream SlowStream;
typedef GOutputStreamClass SlowStreamClass;
static GType slow_stream_get_type(void);
G_DEFINE_TYPE(SlowStream, slow_stream, G_TYPE_OUTPUT_STREAM)

static gssize slow_write(GOutputStream *stream, const void *buf, gsize size,
                         GCancellable *cancel, GError **errp)
{
    g_usleep(TOOK_MS * 1000);
    return (gssize)size;
}

static void slow_stream_class_init(SlowStreamClass *class)
{
    class->write_fn = slow_write;
}

static void slow_stream_init(SlowStream *stream)
{
}

static void slow_run(void *job, void *unused)
{
    g_usleep(2 * TOOK_MS * 1000);
    put_x(job);
}

/* What is queued takes PUMP_QUEUE_NS, however many jobs the ring has. */
static void test_slow_link(void)
{
    enum { WORKERS = 20, TO_LEARN = 10, JOBS = 50 };
    const unsigned most = PUMP_QUEUE_NS / (TOOK_MS * NS_PER_MS);
    g_autoptr(GOutputStream) stream = g_object_new(slow_stream_get_type(),
                                                   NULL);
    IoChannel *channel = io_channel_new("slow", NULL, stream);
    RelayStats stats = { 0 };
    PoolConfig pool = {
        .name = "test",
        .workers = WORKERS,
        .job_size = sizeof(PumpJob),
        .run = slow_run,
    };
    PumpOutput output = {
        .channel = channel,
        .stats = &stats,
        .wait = RELAY_WAIT_LINK,
    };
    Pump *pump = pump_new(&pool, &output, NULL);

    for (unsigned i = 0; i < JOBS; i++) {
        g_assert_nonnull(pump_next(pump, NULL));
        if (i >= TO_LEARN) {
            g_assert_cmpuint(i - relay_stats_get(&stats.bytes_out), <=, most);
        }
        g_assert_true(pump_submit(pump, NULL));
        if (i < TO_LEARN) {
            g_assert_true(pump_flush(pump, NULL));
        }
    }
    g_assert_true(pump_flush(pump, NULL));
    g_assert_cmpuint(relay_stats_get(&stats.bytes_out), ==, JOBS);
    pump_free(pump);
    io_channel_free(channel);
}

static void add(const char *name, void (*test)(Fixture *, const void *))
{
    g_test_add(name, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/relay/pump/silence", test_silence);
    add("/relay/pump/input", test_input);
    add("/relay/pump/flush", test_flush);
    g_test_add_func("/relay/pump/slow-link", test_slow_link);
    return g_test_run();
}
