/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry/options.h: that the table is sound, what text means, and the words
 * in which a value is refused.
 */
#include "ferry/migration.h"

#include <string.h>

#include "tests/lib/expect-error.h"

static void test_table(void)
{
    for (unsigned i = 0; i < MIG_OPT__COUNT; i++) {
        const MigOption *o = mig_option(i);
        bool is_switch = o->kind == MIG_KIND_CAPABILITY ||
                         o->kind == MIG_KIND_BOOL;

        g_assert_cmpuint(o->id, ==, i);
        g_assert_cmpuint(o->min, <=, o->def);
        g_assert_cmpuint(o->def, <=, o->max);
        g_assert_true(!is_switch || (o->min == 0 && o->max == 1 && !o->unit));
        g_assert_true(o->kind != MIG_KIND_STRING || o->def == 0);
        /* Capabilities do not change while a migration runs. */
        g_assert_false(o->kind == MIG_KIND_CAPABILITY && o->live);
        g_assert_cmpuint(strspn(o->name, "abcdefghijklmnopqrstuvwxyz-"), ==,
                         strlen(o->name));
        g_assert_true(o->help[0] && !g_str_has_suffix(o->help, "."));
        g_assert_null(strchr(o->help, '\n'));
        for (unsigned k = 0; k < i; k++) {
            g_assert_cmpstr(o->name, !=, mig_option(k)->name);
        }
    }
}

static void test_promised(void)
{
    static const struct {
        const char *name;
        uint64_t min, max, def;
        bool capability, live;
    } rows[] = {
        { "compress", 0, 1, 0, true, false },
        { "compress-history", 0, UINT64_C(16) << 30, 64 << 20, false, false },
        { "compress-level", 0, 9, 1, false, false },
        { "compress-threads", 1, 255, 8, false, false },
        { "compress-wait-thread", 0, 1, 1, false, false },
        { "decompress-threads", 1, 255, 2, false, false },
        { "max-bandwidth", 0, INT64_MAX, 134217728, false, true },
        { "downtime-limit", 0, 2000000, 300, false, true },
        { "stall-timeout", 0, 86400, 60, false, true },
        { "xbzrle", 0, 1, 0, true, false },
        { "xbzrle-cache-size", 4096, UINT64_C(1) << 62, 64 << 20, false,
          false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const MigOption *o = mig_option_find(rows[i].name, rows[i].capability,
                                             NULL);

        g_assert_nonnull(o);
        g_assert_cmpuint(o->min, ==, rows[i].min);
        g_assert_cmpuint(o->max, ==, rows[i].max);
        g_assert_cmpuint(o->def, ==, rows[i].def);
        g_assert_cmpint(o->live, ==, rows[i].live);
    }
}

static void test_defaults(void)
{
    MigOptions options;

    mig_options_init(&options);
    for (unsigned i = 0; i < MIG_OPT__COUNT; i++) {
        g_assert_cmpuint(options.value[i], ==, mig_option(i)->def);
    }
}

/* Names */

static void test_find(void)
{
    static const char *const spellings[] = {
        "compress-wait-thread", "compress_wait_thread",
        "compress-wait_thread", "compress_wait-thread",
    };

    for (unsigned i = 0; i < MIG_OPT__COUNT; i++) {
        const MigOption *o = mig_option(i);
        bool capability = o->kind == MIG_KIND_CAPABILITY;

        g_assert_true(mig_option_find(o->name, capability, NULL) == o);
        /* Only among its own. */
        g_assert_null(mig_option_find(o->name, !capability, NULL));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(spellings); i++) {
        g_assert_true(mig_option_find(spellings[i], false, NULL) ==
                      mig_option(MIG_OPT_COMPRESS_WAIT_THREAD));
    }
}

static void test_find_nothing(void)
{
    static const char *const names[] = {
        "foo", "", "compress-", "compress-thread", "compress-threadsx",
        "Compress-threads", "compress threads", "compress--threads",
        "-compress-threads", "compress_threads ",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        for (unsigned capability = 0; capability <= 1; capability++) {
            g_autofree char *text = g_strdup_printf(
                "invalid parameter value: %s", names[i]);
            g_autoptr(GError) err = NULL;

            g_assert_null(mig_option_find(names[i], capability, &err));
            expect_error(&err, MIG_ERROR_OPTION, text);
        }
    }
}

/* Values */

static void test_ranges(void)
{
    for (unsigned i = 0; i < MIG_OPT__COUNT; i++) {
        const MigOption *o = mig_option(i);
        const uint64_t good[] = { o->min, o->def, o->max };
        const uint64_t bad[] = { o->min - 1, o->max + 1, UINT64_MAX };
        MigOptions options;

        if (o->kind == MIG_KIND_STRING) {
            continue; /* has texts, and no range */
        }
        mig_options_init(&options);
        for (unsigned k = 0; k < 3; k++) {
            g_autoptr(GError) err = NULL;

            mig_options_set(&options, o, good[k], &err);
            g_assert_no_error(err);
            g_assert_cmpuint(options.value[i], ==, good[k]);
        }
        for (unsigned k = 0; k < 3; k++) {
            g_autoptr(GError) err = NULL;

            g_assert_false(mig_options_set(&options, o, bad[k], &err));
            expect_error(&err, MIG_ERROR_OPTION, "expects ");
            g_assert_cmpuint(options.value[i], ==, o->max);
        }
    }
}

/* Setting one leaves the others. */
static void test_set_one(void)
{
    for (unsigned i = 0; i < MIG_OPT__COUNT; i++) {
        uint64_t value = mig_option(i)->kind == MIG_KIND_STRING
                             ? g_quark_from_static_string("text")
                             : mig_option(i)->max;
        MigOptions options, before;

        mig_options_init(&options);
        before = options;
        before.value[i] = value;
        g_assert_true(mig_options_set(&options, mig_option(i), value, NULL));
        g_assert_cmpmem(&options, sizeof(options), &before, sizeof(before));
    }
}

typedef struct TextRow {
    MigOptionId id;
    const char *text;
    uint64_t value;
} TextRow;

static const TextRow good_texts[] = {
    { MIG_OPT_COMPRESS, "on", 1 },
    { MIG_OPT_COMPRESS, "off", 0 },
    { MIG_OPT_COMPRESS_WAIT_THREAD, "on", 1 },
    { MIG_OPT_COMPRESS_WAIT_THREAD, "off", 0 },
    { MIG_OPT_COMPRESS_LEVEL, "0", 0 },
    { MIG_OPT_COMPRESS_LEVEL, "9", 9 },
    { MIG_OPT_COMPRESS_LEVEL, "0x9", 9 },
    { MIG_OPT_COMPRESS_LEVEL, "0X9", 9 },
    { MIG_OPT_COMPRESS_THREADS, "255", 255 },
    { MIG_OPT_COMPRESS_THREADS, "0xff", 255 },
    { MIG_OPT_COMPRESS_THREADS, "0xFF", 255 },
    { MIG_OPT_COMPRESS_THREADS, "010", 10 }, /* there is no octal */
    { MIG_OPT_COMPRESS_THREADS, "+8", 8 },
    { MIG_OPT_DOWNTIME_LIMIT, "2000000", 2000000 },
    { MIG_OPT_MAX_BANDWIDTH, "0", 0 },
    { MIG_OPT_MAX_BANDWIDTH, "1", 1 << 20 },
    { MIG_OPT_MAX_BANDWIDTH, "1B", 1 },
    { MIG_OPT_MAX_BANDWIDTH, "1b", 1 },
    { MIG_OPT_MAX_BANDWIDTH, "3K", 3 << 10 },
    { MIG_OPT_MAX_BANDWIDTH, "3k", 3 << 10 },
    { MIG_OPT_MAX_BANDWIDTH, "3M", 3 << 20 },
    { MIG_OPT_MAX_BANDWIDTH, "3g", UINT64_C(3) << 30 },
    { MIG_OPT_MAX_BANDWIDTH, "3T", UINT64_C(3) << 40 },
    { MIG_OPT_MAX_BANDWIDTH, "1.5G", UINT64_C(3) << 29 },
    { MIG_OPT_MAX_BANDWIDTH, "9223372036854775807B", INT64_MAX },
    { MIG_OPT_MAX_BANDWIDTH, "9007199254740993B", 9007199254740993 },
    { MIG_OPT_MAX_BANDWIDTH, "0.5", 1 << 19 },
    { MIG_OPT_MAX_BANDWIDTH, "134217728B", 134217728 },
    { MIG_OPT_MAX_BANDWIDTH, "0x10", 16 << 20 },
    { MIG_OPT_COMPRESS_METHOD, "zlib", MIG_METHOD_ZLIB },
    { MIG_OPT_COMPRESS_METHOD, "zstd", MIG_METHOD_ZSTD },
    { MIG_OPT_COMPRESS_METHOD, "lz4", MIG_METHOD_LZ4 },
    { MIG_OPT_MAX_BANDWIDTH, "+5", 5 << 20 },
    { MIG_OPT_MAX_BANDWIDTH, "010K", 10 << 10 },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "4096", 4096 }, /* bytes, as in QEMU */
    { MIG_OPT_XBZRLE_CACHE_SIZE, "0x2000", 8192 },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "64M", 64 << 20 },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "0.5G", 1 << 29 },
};

static void test_texts(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(good_texts); i++) {
        const TextRow *row = &good_texts[i];
        g_autoptr(GError) err = NULL;
        MigOptions options;

        mig_options_init(&options);
        mig_options_set_text(&options, mig_option(row->id), row->text, &err);
        g_assert_no_error(err);
        g_assert_cmpuint(options.value[row->id], ==, row->value);
    }
}

#define THREADS "Parameter 'compress_threads' expects a value between 1 and 255"
#define LEVEL "Parameter 'compress_level' expects a value between 0 and 9"
#define LIMIT \
    "Parameter 'downtime_limit' expects a value between 0 and 2000000"
#define BANDWIDTH \
    "Parameter 'max_bandwidth' expects a value between 0 and " \
    "9223372036854775807 bytes"
#define THREADS_TEXT \
    "Parameter 'compress-threads' expects an integer between 1 and 255"
#define LEVEL_TEXT \
    "Parameter 'compress-level' expects an integer between 0 and 9"
#define LIMIT_TEXT \
    "Parameter 'downtime-limit' expects an integer between 0 and 2000000"
#define BANDWIDTH_TEXT \
    "Parameter 'max-bandwidth' expects a decimal number with a suffix B, K, " \
    "M, G or T, or a decimal or hexadecimal one of MiB; from 0 to " \
    "9223372036854775807 bytes"
#define CACHE \
    "Parameter 'xbzrle_cache_size' expects a power of two between 4096 and " \
    "4611686018427387904 bytes"
#define CACHE_TEXT \
    "Parameter 'xbzrle-cache-size' expects a decimal number with a suffix B, " \
    "K, M, G or T, or a decimal or hexadecimal one of bytes; from 4096 to " \
    "4611686018427387904 bytes"
#define SWITCH "Parameter 'compress' expects 'on' or 'off'"
#define WAIT "Parameter 'compress_wait_thread' expects 'on' or 'off'"

/* The error for a bad value names the range, and the kind if that is wrong. */
static const struct {
    MigOptionId id;
    const char *text, *error;
} bad_texts[] = {
    { MIG_OPT_XBZRLE_CACHE_SIZE, "64", CACHE },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "0", CACHE },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "2048", CACHE },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "4097", CACHE },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "3M", CACHE },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "8388608T", CACHE },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "x", CACHE_TEXT },
    { MIG_OPT_XBZRLE_CACHE_SIZE, "-1", CACHE_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "0", THREADS },
    { MIG_OPT_COMPRESS_THREADS, "256", THREADS },
    { MIG_OPT_COMPRESS_THREADS, "-1", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "++1", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "+", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "+ 1", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, " 1", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "1 ", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "1.5", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "1e1", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "8K", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "0x", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "0x-1", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "0x 1", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "0x0x1", THREADS_TEXT },
    { MIG_OPT_COMPRESS_THREADS, "18446744073709551617", THREADS },
    { MIG_OPT_COMPRESS_LEVEL, "10", LEVEL },
    { MIG_OPT_COMPRESS_LEVEL, "x", LEVEL_TEXT },
    { MIG_OPT_DOWNTIME_LIMIT, "2000001", LIMIT },
    { MIG_OPT_DOWNTIME_LIMIT, "300 ms", LIMIT_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "x", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "M", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "-1", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "1X", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "1KB", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "1 K", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "1e3", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "1.2.3", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, ".5", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "nan", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "inf", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "8388608T", BANDWIDTH },
    { MIG_OPT_MAX_BANDWIDTH, "1e999", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "10q", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "0x10M", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "+-1", BANDWIDTH_TEXT },
    { MIG_OPT_MAX_BANDWIDTH, "99999999999999999999", BANDWIDTH },
    { MIG_OPT_DOWNTIME_LIMIT, "300.5", LIMIT_TEXT },
    { MIG_OPT_COMPRESS, "maybe", SWITCH },
    { MIG_OPT_COMPRESS, "", SWITCH },
    { MIG_OPT_COMPRESS, "1", SWITCH },
    { MIG_OPT_COMPRESS, "ON", SWITCH },
    { MIG_OPT_COMPRESS, "on ", SWITCH },
    { MIG_OPT_COMPRESS_WAIT_THREAD, "true", WAIT },
};

static void refuse_text(MigOptionId id, const char *text, const char *error)
{
    g_autoptr(GError) err = NULL;
    MigOptions options, before;

    mig_options_init(&options);
    before = options;
    g_assert_false(mig_options_set_text(&options, mig_option(id), text, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_OPTION);
    g_assert_cmpstr(err->message, ==, error);
    g_assert_cmpmem(&options, sizeof(options), &before, sizeof(before));
}

static void test_bad_texts(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_texts); i++) {
        refuse_text(bad_texts[i].id, bad_texts[i].text, bad_texts[i].error);
    }
}

/* All methods are told: "'zlib', 'zstd' or 'lz4'". */
static void test_bad_methods(void)
{
    static const char *const texts[] = { "brotli", "ZLIB", "zlib ", "0", "" };
    const char *const *names = mig_option(MIG_OPT_COMPRESS_METHOD)->names;
    g_autofree char *list = g_strjoinv("', '", (char **)names);
    const char *last = g_strrstr(list, ", ");
    g_autofree char *error = g_strdup_printf(
        "Parameter 'compress_method' expects '%.*s or %s'", (int)(last - list),
        list, last + 2);

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        refuse_text(MIG_OPT_COMPRESS_METHOD, texts[i], error);
    }
}

/* As "info migrate_parameters" and "info migrate_capabilities" show them. */
static void test_text_of_values(void)
{
    static const struct {
        MigOptionId id;
        uint64_t value;
        const char *text;
    } rows[] = {
        { MIG_OPT_COMPRESS, 0, "off" },
        { MIG_OPT_COMPRESS, 1, "on" },
        { MIG_OPT_COMPRESS_METHOD, 2, "lz4" },
        { MIG_OPT_COMPRESS_LEVEL, 1, "1" },
        { MIG_OPT_COMPRESS_THREADS, 8, "8" },
        { MIG_OPT_COMPRESS_WAIT_THREAD, 1, "on" },
        { MIG_OPT_DECOMPRESS_THREADS, 2, "2" },
        { MIG_OPT_MAX_BANDWIDTH, 134217728, "134217728 bytes/second" },
        { MIG_OPT_MAX_BANDWIDTH, INT64_MAX,
          "9223372036854775807 bytes/second" },
        { MIG_OPT_DOWNTIME_LIMIT, 300, "300 ms" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = NULL;
        MigOptions options;

        mig_options_init(&options);
        options.value[rows[i].id] = rows[i].value;
        text = mig_options_text(&options, mig_option(rows[i].id));
        g_assert_cmpstr(text, ==, rows[i].text);
    }
}

/* Strings */

static void check_string(const char *text)
{
    const MigOption *o = mig_option(MIG_OPT_TLS_HOSTNAME);
    g_autofree char *quoted = g_strdup_printf("'%s'", text);
    g_autofree char *shown = NULL;
    g_autoptr(GError) err = NULL;
    MigOptions options, copy;

    mig_options_init(&options);
    mig_options_set_text(&options, o, text, &err);
    g_assert_no_error(err);
    copy = options;
    mig_options_init(&options);
    g_assert_cmpstr(mig_options_string(&copy, o->id), ==, text);
    g_assert_cmpstr(mig_options_string(&options, o->id), ==, "");
    g_assert_cmpstr(mig_options_string(&copy, MIG_OPT_TLS_CREDS), ==, "");
    shown = mig_options_text(&copy, o);
    g_assert_cmpstr(shown, ==, quoted);
}

static void test_strings(void)
{
    g_autofree char *longest = g_strnfill(255, 'x');

    check_string("");
    check_string("host.example");
    check_string("two words");
    check_string("on");
    check_string("\xff\x01");
    check_string(longest);
}

/* A text that is too long, a number that is that of no text. */
static void test_bad_strings(void)
{
    static const char says[] =
        "Parameter 'tls_hostname' expects a text of at most 255 bytes";
    const MigOption *o = mig_option(MIG_OPT_TLS_HOSTNAME);
    g_autofree char *too_long = g_strnfill(256, 'y');
    g_autoptr(GError) err = NULL;
    MigOptions options;

    mig_options_init(&options);
    g_assert_true(mig_options_set_text(&options, o, "before", NULL));
    g_assert_false(mig_options_set_text(&options, o, too_long, &err));
    expect_error(&err, MIG_ERROR_OPTION, says);
    g_assert_cmpuint(g_quark_try_string(too_long), ==, 0);
    g_assert_false(mig_options_set(&options, o,
                                   g_quark_from_string(too_long), &err));
    expect_error(&err, MIG_ERROR_OPTION, says);
    g_assert_false(mig_options_set(&options, o, G_MAXUINT32, &err));
    expect_error(&err, MIG_ERROR_OPTION, says);
    g_assert_false(mig_options_set(&options, o, UINT64_C(1) << 32, &err));
    expect_error(&err, MIG_ERROR_OPTION, says);
    g_assert_cmpstr(mig_options_string(&options, o->id), ==, "before");
}

/* What was not built in can be named, but not be used. */
static void test_check_method(void)
{
    for (uint64_t i = 0; i <= mig_option(MIG_OPT_COMPRESS_METHOD)->max; i++) {
        g_autoptr(GError) err = NULL;
        MigOptions options;

        mig_options_init(&options);
        options.value[MIG_OPT_COMPRESS_METHOD] = i;
        if (mig_encoder(&options)) {
            g_assert_true(mig_options_check(&options, NULL));
        } else {
            g_assert_cmpuint(i, !=, MIG_METHOD_ZLIB);
            g_assert_false(mig_options_check(&options, &err));
            expect_error(&err, MIG_ERROR_OPTION, "was not built in");
        }
    }
}

/* Values that do not fit each other, whichever was set last. */
static void test_check(void)
{
    g_autoptr(GError) err = NULL;
    MigOptions options;

    mig_options_init(&options);
    g_assert_true(mig_options_check(&options, NULL));
    options.value[MIG_OPT_CPU_THROTTLE_INITIAL] = 60;
    options.value[MIG_OPT_MAX_CPU_THROTTLE] = 60;
    g_assert_true(mig_options_check(&options, NULL));
    options.value[MIG_OPT_MAX_CPU_THROTTLE] = 59;
    g_assert_false(mig_options_check(&options, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_OPTION);
    g_assert_cmpstr(err->message, ==,
                    "Parameter 'max_cpu_throttle' expects a value between "
                    "cpu_throttle_initial and 99");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/options/table", test_table);
    g_test_add_func("/options/promised", test_promised);
    g_test_add_func("/options/defaults", test_defaults);
    g_test_add_func("/options/find", test_find);
    g_test_add_func("/options/find/nothing", test_find_nothing);
    g_test_add_func("/options/ranges", test_ranges);
    g_test_add_func("/options/set-one", test_set_one);
    g_test_add_func("/options/texts", test_texts);
    g_test_add_func("/options/texts/bad", test_bad_texts);
    g_test_add_func("/options/texts/bad-methods", test_bad_methods);
    g_test_add_func("/options/text-of-values", test_text_of_values);
    g_test_add_func("/options/strings", test_strings);
    g_test_add_func("/options/strings/bad", test_bad_strings);
    g_test_add_func("/options/check", test_check);
    g_test_add_func("/options/check/method", test_check_method);
    return g_test_run();
}
