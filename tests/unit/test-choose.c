/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compress-method auto against models of a link, a CPU and a reader: what it
 * chooses must be nearly as fast as the best rung alone.
 */
#include <glib.h>

#include "migration/pack/choose.h"
#include "util/clock.h"

#define JOB_PAGES  64
#define RING       18
#define PAGE_BYTES 4096.0

/* As measured of the ladder's rungs, on one core. */
static const double size_of[LADDER_MAX] = {
    1, 0.32, 0.262, 0.22, 0.211, 0.201
};
static const double encode_mb_s[LADDER_MAX] = {
    1e9, 661, 480, 391, 246, 120
};

typedef struct Model {
    double link_mb_s;
    double cores;       /* for compression */
    double reader_mb_s; /* of memory, whatever its size was; 0: any */
    double link_then;   /* MB/s from a second on; 0: as before */
    double fill_mb_s;   /* of jobs without a dictionary, but for the lowest
                         * rung; with one twice the time; 0: any */
} Model;

typedef struct Run {
    const Model *model;
    Choice choice;
    Ladder ladder;
    GRand *rand;
    double ns, bytes, filled, sent, waited;
    unsigned ring[RING]; /* the rungs of the jobs in the ring */
    unsigned jobs;
    unsigned changes;
} Run;

static double link_of(const Run *run)
{
    bool later = run->model->link_then && run->ns > NS_PER_S;

    return later ? run->model->link_then : run->model->link_mb_s;
}

typedef struct Cost {
    double ns;     /* for one job on this rung */
    double filled; /* of them */
    bool by_workers;
} Cost;

static Cost cost_of(const Run *run, unsigned rung)
{
    const Model *m = run->model;
    double raw = JOB_PAGES * PAGE_BYTES;
    double sent = raw * size_of[rung] / link_of(run) * 1000;
    double encoded = raw / (encode_mb_s[rung] * m->cores) * 1000;
    double read = m->reader_mb_s ? raw / m->reader_mb_s * 1000 : 0;
    unsigned fills = rung == 0 ? 0 : rung <= 2 ? 1 : 2;
    double filled = m->fill_mb_s ? fills * raw / m->fill_mb_s * 1000 : 0;
    double ns = MAX(MAX(sent, read), MAX(encoded, filled));

    return (Cost){ ns, filled, encoded > MAX(sent, read) && ns == encoded };
}

/* Send a job, and look.  Memory is more and less compressible by a fifth. */
static void step(Run *run, bool fixed)
{
    unsigned at = run->jobs++ % RING, rung = run->ring[at];
    double wave = g_rand_double_range(run->rand, 0.8, 1.2);
    Cost cost = cost_of(run, rung);
    ChooseLook look;

    cost.ns *= cost.by_workers ? 1 : wave;
    run->ns += cost.ns;
    run->filled += MIN(cost.filled, cost.ns);
    *(cost.by_workers ? &run->waited : &run->sent) +=
        MAX(cost.ns - cost.filled, 0);
    run->bytes += JOB_PAGES * PAGE_BYTES * size_of[rung] * wave;
    look = (ChooseLook){
        .now = (int64_t)run->ns,
        .bytes = (uint64_t)run->bytes,
        .pages = run->jobs * JOB_PAGES,
        .filled = (int64_t)run->filled,
        .sent = (int64_t)run->sent,
        .waited = (int64_t)run->waited,
        .ready = cost.by_workers ? 2 : RING - 2,
        .pending = RING,
    };
    if (!fixed) {
        run->changes += choose_look(&run->choice, &run->ladder, &look);
        rung = run->choice.rung;
    }
    run->ring[at] = rung;
}

static Run new_run(const Model *model, unsigned rung)
{
    Run run = { .model = model, .ladder = ladder_of_all(0xffff),
                .rand = g_rand_new_with_seed(1) };

    choose_begin(&run.choice, &run.ladder);
    for (unsigned i = 0; i < RING; i++) {
        run.ring[i] = rung;
    }
    return run;
}

/* Seconds for so much memory; LADDER_MAX: as it is chosen. */
static double seconds(const Model *model, unsigned rung, double mb)
{
    bool fixed = rung < LADDER_MAX;
    Run run = new_run(model, fixed ? rung : 1);

    while (run.jobs * JOB_PAGES * PAGE_BYTES < mb * 1e6) {
        step(&run, fixed);
    }
    g_rand_free(run.rand);
    return run.ns / NS_PER_S;
}

typedef struct Case {
    const char *name;
    Model model;
    double worst; /* beside the best rung */
} Case;

static void test_model(gconstpointer data)
{
    const Case *c = data;
    double mb = MAX(1000, 4 * c->model.link_mb_s);
    double best = G_MAXDOUBLE, chosen = seconds(&c->model, LADDER_MAX, mb);
    Ladder ladder = ladder_of_all(0xffff);

    if (ladder.rungs != LADDER_MAX) {
        g_test_skip("a compress-method was NOT BUILT IN");
        return;
    }
    for (unsigned i = 0; i < LADDER_MAX; i++) {
        best = MIN(best, seconds(&c->model, i, mb));
    }
    g_test_message("%.2f s, the best rung %.2f s: %.3f", chosen, best,
                   chosen / best);
    g_assert_cmpfloat(chosen, <=, best * c->worst);
}

static const Case cases[] = {
    { "50-mbit", { .link_mb_s = 6.25, .cores = 1.5 }, 1.05 },
    { "200-mbit", { .link_mb_s = 25, .cores = 1.5 }, 1.05 },
    { "1-gbit", { .link_mb_s = 118, .cores = 1.5 }, 1.08 },
    { "1-gbit-8-cores", { .link_mb_s = 118, .cores = 8 }, 1.08 },
    { "busy", { .link_mb_s = 118, .cores = 0.2 }, 1.08 },
    { "fast-link", { .link_mb_s = 5000, .cores = 1.5 }, 1.10 },
    { "slow-reader", { .link_mb_s = 5000, .cores = 8, .reader_mb_s = 400 },
      1.05 },
    { "falls", { .link_mb_s = 118, .cores = 1.5, .link_then = 12.5 }, 1.05 },
    { "slow-filler", { .link_mb_s = 1200, .cores = 8, .fill_mb_s = 2000 },
      1.10 },
    { "rises", { .link_mb_s = 12.5, .cores = 1.5, .link_then = 118 }, 1.05 },
};

/* With nothing to choose from, nothing is chosen. */
static void test_one_rung(void)
{
    static const Model model = { .link_mb_s = 10, .cores = 1 };
    Run run = new_run(&model, 0);

    run.ladder = ladder_of_one(&codec_zlib, 1);
    choose_begin(&run.choice, &run.ladder);
    for (unsigned i = 0; i < 10000; i++) {
        step(&run, false);
        g_assert_cmpuint(run.choice.rung, ==, 0);
    }
    g_assert_cmpuint(run.changes, ==, 0);
    g_rand_free(run.rand);
}

/* Where no page is sent, nothing shows. */
static void test_no_pages(void)
{
    static const Model model = { .link_mb_s = 10, .cores = 1 };
    Run run = new_run(&model, 1);
    ChooseLook look = { .ready = RING, .pending = RING };

    for (unsigned i = 0; i < 1000; i++) {
        look.now += NS_PER_MS;
        look.sent += NS_PER_MS;
        g_assert_false(choose_look(&run.choice, &run.ladder, &look));
    }
    g_rand_free(run.rand);
}

/* A trial that is not over is taken back. */
static void test_settle(void)
{
    static const Model model = { .link_mb_s = 25, .cores = 1.5 };
    Run run = new_run(&model, 1);
    unsigned from;

    if (run.ladder.rungs < 2) {
        g_test_skip("a compress-method was NOT BUILT IN");
        return;
    }
    while (!run.choice.on_trial) {
        step(&run, false);
    }
    from = run.choice.from;
    g_assert_cmpuint(run.choice.rung, !=, from);
    choose_settle(&run.choice);
    g_assert_cmpuint(run.choice.rung, ==, from);
    choose_settle(&run.choice);
    g_assert_cmpuint(run.choice.rung, ==, from);
    g_rand_free(run.rand);
}

/* A reader that lacks a codec gets none of its rungs. */
static void test_features(void)
{
    Ladder none = ladder_of_all(0), lz4 = ladder_of_all(codec_lz4.feature);

    g_assert_cmpuint(none.rungs, ==, 1);
    g_assert_null(none.rung[0].codec);
    g_assert_cmpuint(lz4.rungs, ==, codec_lz4.available ? 2 : 1);
    if (lz4.rungs == 2) {
        g_assert_true(lz4.rung[1].codec == &codec_lz4);
    }
}

/* Every reason but the first has words. */
static void test_reasons(void)
{
    g_assert_null(choose_reason(CHOOSE_BEGIN));
    for (unsigned i = CHOOSE_LINK; i <= CHOOSE_PEER; i++) {
        g_assert_nonnull(choose_reason(i));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/choose/%s", cases[i].name);

        g_test_add_data_func(path, &cases[i], test_model);
    }
    g_test_add_func("/choose/one-rung", test_one_rung);
    g_test_add_func("/choose/no-pages", test_no_pages);
    g_test_add_func("/choose/settle", test_settle);
    g_test_add_func("/choose/features", test_features);
    g_test_add_func("/choose/reasons", test_reasons);
    return g_test_run();
}
