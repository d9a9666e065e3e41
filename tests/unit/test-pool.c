/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * util/pool.h.  A job ends when the test opens its gate, so that nothing here
 * depends on speed.
 */
#include "util/pool.h"

#include <gio/gio.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "util/thread.h"

enum { JOBS_MAX = 130, NEVER = 1000 };

typedef struct World {
    /* what the callbacks saw; by the owner's thread only */
    unsigned workers_made;
    unsigned workers_freed;
    unsigned fail_worker; /* worker_new fails for this one */
    unsigned no_thread;   /* this one gets no thread */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* all below: lock */
    bool gated;
    bool open[JOBS_MAX]; /* by job's number % JOBS_MAX */
    unsigned running;
    unsigned ended;
} World;

typedef struct TestWorker {
    World *world;
    unsigned index;
    int busy; /* atomic: never two jobs at once */
} TestWorker;

typedef struct TestJob {
    unsigned number;
    unsigned yields;
    unsigned result;
    unsigned worker;
    char thread[16];
} TestJob;

static void world_init(World *world)
{
    *world = (World){ .fail_worker = NEVER, .no_thread = NEVER };
    pthread_mutex_init(&world->lock, NULL);
    thread_cond_init(&world->changed);
}

static void world_destroy(World *world)
{
    pthread_cond_destroy(&world->changed);
    pthread_mutex_destroy(&world->lock);
}

/* Threads that are started from now on get stacks of this size. */
static void set_stack_size(size_t size)
{
    pthread_attr_t attr;

    pthread_getattr_default_np(&attr);
    g_assert_cmpint(pthread_attr_setstacksize(&attr, size), ==, 0);
    pthread_setattr_default_np(&attr);
    pthread_attr_destroy(&attr);
}

static void *test_worker_new(const void *opaque, GError **errp)
{
    World *world = (World *)opaque;
    TestWorker *worker;

    if (world->workers_made == world->fail_worker) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED, "no worker");
        return NULL;
    }
    if (world->workers_made == world->no_thread) {
        set_stack_size((size_t)1 << 48);
    }
    worker = g_new0(TestWorker, 1);
    worker->world = world;
    worker->index = world->workers_made++;
    return worker;
}

static void test_worker_free(void *opaque)
{
    TestWorker *worker = opaque;

    worker->world->workers_freed++;
    g_free(worker);
}

static void pass_gate(World *world, unsigned number)
{
    pthread_mutex_lock(&world->lock);
    world->running++;
    pthread_cond_broadcast(&world->changed);
    while (world->gated && !world->open[number % JOBS_MAX]) {
        pthread_cond_wait(&world->changed, &world->lock);
    }
    world->ended++;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static void test_run(void *opaque, void *state)
{
    TestJob *job = opaque;
    TestWorker *worker = state;

    g_assert_cmpint(__atomic_exchange_n(&worker->busy, 1, __ATOMIC_SEQ_CST),
                    ==, 0);
    for (unsigned i = 0; i < job->yields; i++) {
        sched_yield();
    }
    pass_gate(worker->world, job->number);
    job->result = job->number * 3 + 1;
    job->worker = worker->index;
    pthread_getname_np(pthread_self(), job->thread, sizeof(job->thread));
    __atomic_store_n(&worker->busy, 0, __ATOMIC_SEQ_CST);
}

static PoolConfig config_of(World *world, unsigned workers, unsigned jobs)
{
    return (PoolConfig){
        .name = "test",
        .workers = workers,
        .jobs = jobs,
        .job_size = sizeof(TestJob),
        .worker_new = test_worker_new,
        .worker_config = world,
        .worker_free = test_worker_free,
        .run = test_run,
    };
}

static Pool *new_pool(World *world, unsigned workers, unsigned jobs)
{
    g_autoptr(GError) err = NULL;
    PoolConfig config = config_of(world, workers, jobs);
    Pool *pool;

    world_init(world);
    pool = pool_new(&config, &err);
    g_assert_no_error(err);
    return pool;
}

/* Everything that was made is gone. */
static void assert_balanced(World *world, unsigned workers)
{
    g_assert_cmpuint(world->workers_made, ==, workers);
    g_assert_cmpuint(world->workers_freed, ==, workers);
    world_destroy(world);
}

static bool submit(Pool *pool, unsigned number, unsigned yields)
{
    TestJob *job = pool_next(pool);

    if (job) {
        job->number = number;
        job->yields = yields;
        job->result = 0;
        pool_submit(pool);
    }
    return job != NULL;
}

static void collect(Pool *pool, unsigned number)
{
    TestJob *job = pool_collect(pool, true);

    g_assert_nonnull(job);
    g_assert_cmpuint(job->number, ==, number);
    g_assert_cmpuint(job->result, ==, number * 3 + 1);
    pool_release(pool);
}

static void set_gated(World *world)
{
    pthread_mutex_lock(&world->lock);
    world->gated = true;
    pthread_mutex_unlock(&world->lock);
}

static void open_gate(World *world, unsigned number)
{
    pthread_mutex_lock(&world->lock);
    world->open[number % JOBS_MAX] = true;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static void wait_for(World *world, const unsigned *counter, unsigned value)
{
    pthread_mutex_lock(&world->lock);
    while (*counter < value) {
        pthread_cond_wait(&world->changed, &world->lock);
    }
    pthread_mutex_unlock(&world->lock);
}

/* Jobs end in a random order; they come back in the order of submission. */
static void test_order(void)
{
    enum { N = 16, ROUNDS = 8 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    World world;
    Pool *pool = new_pool(&world, N, N);

    set_gated(&world);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned turn[N];

        for (unsigned i = 0; i < N; i++) {
            unsigned k = (unsigned)g_rand_int_range(rand, 0, (int)i + 1);

            turn[i] = turn[k];
            turn[k] = i;
            g_assert_true(submit(pool, round * N + i, 0));
        }
        for (unsigned i = 0; i < N; i++) {
            open_gate(&world, round * N + turn[i]);
            wait_for(&world, &world.ended, round * N + i + 1);
        }
        for (unsigned i = 0; i < N; i++) {
            collect(pool, round * N + i);
        }
    }
    pool_free(pool);
    assert_balanced(&world, N);
}

/* The oldest is not done: the others, though done, are not given out. */
static void test_collect_without_waiting(void)
{
    World world;
    Pool *pool = new_pool(&world, 3, 3);

    g_assert_null(pool_collect(pool, false));
    g_assert_null(pool_collect(pool, true));
    set_gated(&world);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(submit(pool, i, 0));
    }
    open_gate(&world, 1);
    open_gate(&world, 2);
    wait_for(&world, &world.ended, 2);
    g_assert_null(pool_collect(pool, false));
    open_gate(&world, 0);
    for (unsigned i = 0; i < 3; i++) {
        collect(pool, i);
    }
    g_assert_null(pool_collect(pool, false));
    pool_free(pool);
    assert_balanced(&world, 3);
}

static void test_done_without_waiting(void)
{
    World world;
    Pool *pool = new_pool(&world, 1, 2);
    TestJob *job;

    g_assert_true(submit(pool, 0, 0));
    while (!(job = pool_collect(pool, false))) {
        sched_yield();
    }
    g_assert_cmpuint(job->result, ==, 1);
    pool_release(pool);
    pool_free(pool);
    assert_balanced(&world, 1);
}

static void test_bounds(void)
{
    for (unsigned jobs = 1; jobs <= 6; jobs++) {
        World world;
        Pool *pool = new_pool(&world, 2, jobs);

        for (unsigned i = 0; i < jobs; i++) {
            g_assert_cmpuint(pool_pending(pool), ==, i);
            g_assert_true(submit(pool, i, 0));
        }
        g_assert_null(pool_next(pool));
        g_assert_cmpuint(pool_pending(pool), ==, jobs);
        /* Collected is not yet free: its buffers are in use. */
        g_assert_nonnull(pool_collect(pool, true));
        g_assert_null(pool_next(pool));
        pool_release(pool);
        g_assert_true(submit(pool, jobs, 0));
        g_assert_null(pool_next(pool));
        for (unsigned i = 1; i <= jobs; i++) {
            collect(pool, i);
        }
        g_assert_cmpuint(pool_pending(pool), ==, 0);
        pool_free(pool);
        assert_balanced(&world, 2);
    }
}

/* As many submitted as go in, one collected, and so on. */
static void run_many(Pool *pool, unsigned count)
{
    unsigned submitted = 0, collected = 0;

    while (collected < count) {
        while (submitted < count &&
               submit(pool, submitted, submitted * 7 % 5)) {
            submitted++;
        }
        collect(pool, collected++);
    }
}

static void test_worker_counts(void)
{
    for (unsigned workers = 1; workers <= 64; workers++) {
        World world;
        Pool *pool = new_pool(&world, workers, 2 * workers + 2);

        run_many(pool, 200);
        pool_free(pool);
        assert_balanced(&world, workers);
    }
}

static void test_single_job(void)
{
    static const unsigned workers[] = { 1, 2, 64 };

    for (unsigned i = 0; i < G_N_ELEMENTS(workers); i++) {
        World world;
        Pool *pool = new_pool(&world, workers[i], 1);

        run_many(pool, 500);
        pool_free(pool);
        assert_balanced(&world, workers[i]);
    }
}

/* Every worker is at work at once, in a thread of its number's name. */
static void test_threads(void)
{
    enum { N = 64 };
    World world;
    Pool *pool = new_pool(&world, N, N);
    bool seen[N] = { false };

    set_gated(&world);
    for (unsigned i = 0; i < N; i++) {
        g_assert_true(submit(pool, i, 0));
    }
    wait_for(&world, &world.running, N);
    for (unsigned i = 0; i < N; i++) {
        open_gate(&world, i);
    }
    for (unsigned i = 0; i < N; i++) {
        TestJob *job = pool_collect(pool, true);
        g_autofree char *name = g_strdup_printf("test/%u", job->worker);

        g_assert_cmpstr(job->thread, ==, name);
        g_assert_false(seen[job->worker]);
        seen[job->worker] = true;
        pool_release(pool);
    }
    pool_free(pool);
    assert_balanced(&world, N);
}

/* Where the k-th worker cannot be made, those before it are unmade. */
static void test_half_built(void)
{
    enum { N = 9, JOBS = 5 };

    for (unsigned k = 0; k < N; k++) {
        g_autoptr(GError) err = NULL;
        World world;
        PoolConfig config = config_of(&world, N, JOBS);

        world_init(&world);
        world.fail_worker = k;
        g_assert_null(pool_new(&config, &err));
        g_assert_error(err, G_IO_ERROR, G_IO_ERROR_FAILED);
        assert_balanced(&world, k);
    }
}

/* The k-th worker is made, but its thread does not start. */
static void test_no_thread(void)
{
    enum { N = 5, JOBS = 5 };
    pthread_attr_t usual;

    pthread_getattr_default_np(&usual);
    for (unsigned k = 0; k < N; k++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *text = g_strdup_printf("thread 'test/%u'", k);
        World world;
        PoolConfig config = config_of(&world, N, JOBS);
        Pool *pool;

        world_init(&world);
        world.no_thread = k;
        pool = pool_new(&config, &err);
        pthread_setattr_default_np(&usual);
        g_assert_null(pool);
        g_assert_nonnull(strstr(err->message, text));
        assert_balanced(&world, k + 1);
    }
    pthread_attr_destroy(&usual);
}

static void test_free_unused(void)
{
    World world;

    pool_free(new_pool(&world, 3, 4));
    assert_balanced(&world, 3);
    pool_free(NULL);
}

/* One that is being filled, one that is done, one that is collected. */
static void test_free_in_any_phase(void)
{
    World world;
    Pool *pool = new_pool(&world, 2, 4);

    g_assert_nonnull(pool_next(pool));
    pool_free(pool);
    assert_balanced(&world, 2);

    pool = new_pool(&world, 2, 4);
    g_assert_true(submit(pool, 0, 0));
    wait_for(&world, &world.ended, 1);
    pool_free(pool);
    assert_balanced(&world, 2);

    pool = new_pool(&world, 2, 4);
    g_assert_true(submit(pool, 0, 0));
    g_assert_nonnull(pool_collect(pool, true));
    pool_free(pool);
    assert_balanced(&world, 2);
}

typedef struct Freeing {
    World *world;
    int tid;   /* of the thread that frees */
    int began; /* atomic: it is about to */
} Freeing;

static bool is_asleep(int tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/stat", tid);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return strrchr(text, ')')[2] == 'S';
}

/* Let the running job end when pool_free() is waiting for it. */
static void *open_when_freeing(void *arg)
{
    Freeing *freeing = arg;

    while (!__atomic_load_n(&freeing->began, __ATOMIC_SEQ_CST) ||
           !is_asleep(freeing->tid)) {
        sched_yield();
    }
    open_gate(freeing->world, 0);
    return NULL;
}

/* A running job is waited for; those that no worker has begun are dropped. */
static void test_free_with_unstarted(void)
{
    World world;
    Pool *pool = new_pool(&world, 1, 4);
    Freeing freeing = { .world = &world, .tid = gettid() };
    pthread_t thread;

    set_gated(&world);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_true(submit(pool, i, 0));
    }
    wait_for(&world, &world.running, 1);
    g_assert_true(thread_start(&thread, "opener", open_when_freeing, &freeing,
                               NULL));
    __atomic_store_n(&freeing.began, 1, __ATOMIC_SEQ_CST);
    pool_free(pool);
    g_assert_cmpuint(world.running, ==, 1);
    g_assert_cmpuint(world.ended, ==, 1);
    thread_join(thread);
    assert_balanced(&world, 1);
}

static void count_run(void *job, void *worker)
{
    g_assert_null(worker);
    ++*(unsigned *)job;
}

/* Only run has to be there; a job's bytes are zero at first, and stay. */
static void test_without_callbacks(void)
{
    PoolConfig config = {
        .name = "bare",
        .workers = 2,
        .jobs = 3,
        .job_size = sizeof(unsigned),
        .run = count_run,
    };
    Pool *pool = pool_new(&config, NULL);

    for (unsigned i = 0; i < 9; i++) {
        unsigned *job = pool_next(pool);

        g_assert_cmpuint(*job, ==, i / 3);
        pool_submit(pool);
        g_assert_true(pool_collect(pool, true) == job);
        g_assert_cmpuint(*job, ==, i / 3 + 1);
        pool_release(pool);
    }
    pool_free(pool);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pool/order", test_order);
    g_test_add_func("/pool/collect/oldest-not-done",
                    test_collect_without_waiting);
    g_test_add_func("/pool/collect/done", test_done_without_waiting);
    g_test_add_func("/pool/bounds", test_bounds);
    g_test_add_func("/pool/worker-counts", test_worker_counts);
    g_test_add_func("/pool/single-job", test_single_job);
    g_test_add_func("/pool/threads", test_threads);
    g_test_add_func("/pool/half-built", test_half_built);
    g_test_add_func("/pool/no-thread", test_no_thread);
    g_test_add_func("/pool/free/unused", test_free_unused);
    g_test_add_func("/pool/free/any-phase", test_free_in_any_phase);
    g_test_add_func("/pool/free/unstarted", test_free_with_unstarted);
    g_test_add_func("/pool/without-callbacks", test_without_callbacks);
    return g_test_run();
}
