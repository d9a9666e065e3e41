/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/pipeline.h: what reaches the sink, when, and in which order. */
#include "util/pipeline.h"

#include <gio/gio.h>

#include "tests/lib/gate.h"
#include "util/clock.h"

enum { WORKERS = 3, JOBS = 4 };

typedef struct Job {
    unsigned number;
    unsigned result;
} Job;

typedef struct Fixture {
    Gate gate; /* each job passes it */
    Pipeline *pipeline;
    unsigned submitted;
    unsigned sunk;      /* jobs that the sink was given */
    unsigned fail_at;   /* the sink fails for this one */
    int64_t sink_takes; /* us */
} Fixture;

static void *worker_new(const void *gate, GError **errp)
{
    return (void *)gate;
}

static void worker_free(void *gate)
{
}

static void run(void *opaque, void *gate)
{
    Job *job = opaque;

    gate_pass(gate);
    job->result = 3 * job->number;
}

static bool sink(void *opaque, void *opaque_fixture, GError **errp)
{
    const Job *job = opaque;
    Fixture *f = opaque_fixture;

    g_assert_cmpuint(job->number, ==, f->sunk);
    g_assert_cmpuint(job->result, ==, 3 * job->number);
    f->sunk++;
    if (f->sink_takes) {
        g_usleep((gulong)f->sink_takes);
    }
    if (job->number == f->fail_at) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED, "the sink is full");
    }
    return job->number != f->fail_at;
}

static void start(Fixture *f, unsigned jobs, int64_t queue_ns)
{
    PipelineConfig config = {
        .pool = {
            .name = "test",
            .workers = WORKERS,
            .jobs = jobs,
            .job_size = sizeof(Job),
            .worker_new = worker_new,
            .worker_config = &f->gate,
            .worker_free = worker_free,
            .run = run,
        },
        .sink = sink,
        .opaque = f,
        .queue_ns = queue_ns,
    };
    g_autoptr(GError) err = NULL;

    f->pipeline = pipeline_new(&config, &err);
    g_assert_no_error(err);
}

static void set_up(Fixture *f, const void *unused)
{
    gate_init(&f->gate);
    f->fail_at = G_MAXUINT;
}

static void tear_down(Fixture *f, const void *unused)
{
    gate_release(&f->gate); /* jobs that run are waited for */
    pipeline_free(f->pipeline);
    gate_destroy(&f->gate);
}

static void submit(Fixture *f, Job *job)
{
    g_assert_nonnull(job);
    job->number = f->submitted++;
    pipeline_submit(f->pipeline);
}

static void submit_next(Fixture *f)
{
    g_autoptr(GError) err = NULL;
    Job *job = pipeline_next(f->pipeline, &err);

    g_assert_no_error(err);
    submit(f, job);
}

/* All that is submitted reaches the sink, in order; never more than the ring
 * has is in use. */
static void test_order(Fixture *f, const void *unused)
{
    bool any;

    start(f, JOBS, 0);
    gate_release(&f->gate);
    for (unsigned i = 0; i < 1000; i++) {
        submit_next(f);
        g_assert_cmpuint(f->submitted - f->sunk, <=, JOBS);
    }
    g_assert_true(pipeline_flush(f->pipeline, NULL));
    g_assert_cmpuint(f->sunk, ==, 1000);
    g_assert_cmpint(pipeline_waited(f->pipeline), >=, 0);
    g_assert_true(pipeline_finish_oldest(f->pipeline, &any, NULL));
    g_assert_false(any);
}

/* Without a number of jobs there are pipeline_jobs(). */
static void test_jobs(Fixture *f, const void *unused)
{
    void *job;

    start(f, 0, 0);
    for (unsigned i = 0; i < pipeline_jobs(WORKERS); i++) {
        g_assert_true(pipeline_try_next(f->pipeline, &job, NULL));
        submit(f, job);
    }
    g_assert_true(pipeline_try_next(f->pipeline, &job, NULL));
    g_assert_null(job);
}

/* While no worker has done a job, nothing reaches the sink and nobody waits;
 * then the oldest makes room. */
static void test_try(Fixture *f, const void *unused)
{
    void *job = NULL;

    start(f, JOBS, 0);
    for (unsigned i = 0; i < JOBS; i++) {
        submit_next(f);
    }
    g_assert_true(pipeline_try_next(f->pipeline, &job, NULL));
    g_assert_null(job);
    g_assert_true(pipeline_finish_done(f->pipeline, NULL));
    g_assert_cmpuint(f->sunk, ==, 0);
    g_assert_cmpint(pipeline_waited(f->pipeline), ==, 0);

    gate_release(&f->gate);
    while (!job) {
        g_assert_true(pipeline_try_next(f->pipeline, &job, NULL));
    }
    g_assert_cmpuint(f->sunk, ==, 1);
    submit(f, job);
    g_assert_true(pipeline_flush(f->pipeline, NULL));
    g_assert_cmpuint(f->sunk, ==, JOBS + 1);
}

/* The call in which the sink fails says so.  The jobs behind it stay, and the
 * next call gives them to the sink. */
static void test_sink_fails(Fixture *f, const void *unused)
{
    g_autoptr(GError) err = NULL;

    start(f, JOBS, 0);
    gate_release(&f->gate);
    f->fail_at = 1;
    for (unsigned i = 0; i < 3; i++) {
        submit_next(f);
    }
    g_assert_false(pipeline_flush(f->pipeline, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_FAILED);
    g_assert_cmpuint(f->sunk, ==, 2);
    g_assert_true(pipeline_flush(f->pipeline, NULL));
    g_assert_cmpuint(f->sunk, ==, 3);
}

static void test_next_fails(Fixture *f, const void *unused)
{
    g_autoptr(GError) err = NULL;

    start(f, 1, 0);
    gate_release(&f->gate);
    f->fail_at = 0;
    submit_next(f);
    g_assert_null(pipeline_next(f->pipeline, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_FAILED);
}

/* The time that the sink has taken bounds what is queued: one job, and the one
 * that is filled. */
static void test_slow_sink(Fixture *f, const void *unused)
{
    start(f, JOBS, NS_PER_MS);
    gate_release(&f->gate);
    f->sink_takes = 5000;
    submit_next(f);
    g_assert_true(pipeline_flush(f->pipeline, NULL));
    g_assert_cmpint(pipeline_sink_time(f->pipeline), >=, 2 * NS_PER_MS);
    for (unsigned i = 0; i < 10; i++) {
        submit_next(f);
        g_assert_cmpuint(f->submitted - f->sunk, <=, 2);
    }
}

/* A ring of one job is never asked for two. */
static void test_one_job(Fixture *f, const void *unused)
{
    start(f, 1, 1);
    gate_release(&f->gate);
    for (unsigned i = 0; i < 10; i++) {
        submit_next(f);
        g_assert_cmpuint(f->submitted - f->sunk, ==, 1);
    }
}

static void add(const char *name, void (*test)(Fixture *, const void *))
{
    g_test_add(name, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/pipeline/order", test_order);
    add("/pipeline/jobs", test_jobs);
    add("/pipeline/try", test_try);
    add("/pipeline/sink-fails", test_sink_fails);
    add("/pipeline/next-fails", test_next_fails);
    add("/pipeline/slow-sink", test_slow_sink);
    add("/pipeline/one-job", test_one_job);
    return g_test_run();
}
