/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/pair.h"

#include "migration/internal.h"

static const uint64_t pair_pages[FAKE_BLOCKS_MAX] = { 300, 70 };

Pair *pair_new(void)
{
    return pair_new_sized(pair_pages);
}

Pair *pair_new_sized(const uint64_t pages[2])
{
    Pair *pair = g_new0(Pair, 1);

    fake_clock_init(&pair->clock);
    mig_options_init(&pair->options);
    pair_set(pair, MIG_OPT_MAX_BANDWIDTH, 0);
    pair_set(pair, MIG_OPT_COMPRESS_THREADS, 2);
    pair->src_host = fake_host_new(pages, FAKE_BLOCKS_MAX);
    pair->dst_host = fake_host_new(pages, FAKE_BLOCKS_MAX);
    fake_host_fill(pair->src_host, 42);
    pair->src_host->running = true;
    pair->src_calls = pair->dst_calls = fake_mig_host;
    return pair;
}

void pair_set(Pair *pair, MigOptionId id, uint64_t value)
{
    GError *err = NULL;

    mig_options_set(&pair->options, mig_option(id), value, &err);
    g_assert_no_error(err);
}

void pair_start(Pair *pair)
{
    IoChannel *ends[2];
    GError *err = NULL;

    io_channel_pair(ends, &err);
    g_assert_no_error(err);
    pair->src = migration_new(&pair->src_calls, pair->src_host, &pair->options,
                              &pair->clock.clock);
    pair->dst = migration_new(&pair->dst_calls, pair->dst_host, &pair->options,
                              &pair->clock.clock);
    mig_receive(pair->dst, ends[1], &err);
    g_assert_no_error(err);
    mig_send(pair->src, ends[0], &err);
    g_assert_no_error(err);
}

Migration *pair_send_to_fd(FakeHost *host, const MigOptions *options, int fd)
{
    g_autofree char *text = g_strdup_printf("fd:%d", fd);
    g_autoptr(IoUri) uri = io_uri_parse(text, NULL);
    Migration *m = mig_new(&fake_mig_host, host, options);

    g_assert_true(mig_send_to(m, uri, NULL));
    return m;
}

static MigState state_of(Migration *m)
{
    MigInfo info;
    MigState state;

    mig_query(m, &info);
    state = info.state;
    mig_info_clear(&info);
    return state;
}

void pair_assert_moved(Pair *pair)
{
    GError *err = NULL;

    mig_wait(pair->src, &err);
    g_assert_no_error(err);
    mig_wait(pair->dst, &err);
    g_assert_no_error(err);
    g_assert_cmpint(state_of(pair->src), ==, MIG_STATE_COMPLETED);
    g_assert_cmpint(state_of(pair->dst), ==, MIG_STATE_COMPLETED);
    g_assert_false(fake_host_running(pair->src_host));
    g_assert_true(fake_host_running(pair->dst_host));
    g_assert_cmpuint(fake_host_calls(pair->src_host, FAKE_LOG_STOP), ==, 1);
    g_assert_cmpuint(fake_host_calls(pair->src_host, FAKE_VM_RESUME), ==, 0);
    fake_host_assert_same(pair->src_host, pair->dst_host);
}

void pair_assert_stayed(Pair *pair, MigState src_state)
{
    g_assert_false(mig_wait(pair->src, NULL));
    g_assert_cmpint(state_of(pair->src), ==, src_state);
    g_assert_true(fake_host_running(pair->src_host));
    g_assert_false(mig_wait(pair->dst, NULL));
    g_assert_false(fake_host_running(pair->dst_host));
    g_assert_cmpuint(fake_host_calls(pair->dst_host, FAKE_VM_START), ==, 0);
    g_assert_false(pair->src_host->logging);
}

void pair_free(Pair *pair)
{
    mig_free(pair->src);
    mig_free(pair->dst);
    fake_host_free(pair->src_host);
    fake_host_free(pair->dst_host);
    g_free(pair);
}
