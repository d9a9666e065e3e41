/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ferry/vmstate.h: the bytes of each kind of field, versions, subsections,
 * and all that a stream may get wrong. */
#include <json-glib/json-glib.h>
#include <string.h>

#include "migration/wire/vmstate-io.h"
#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"

/* Follows every device in a stream. */
static const uint8_t after[] = { WIRE_FOOTER, 0, 0, 0, 1 };

static GBytes *save(const MigVMState *state, void *data)
{
    MemWriter *w = mem_writer_new();
    g_autoptr(GError) err = NULL;

    vmstate_save(w->stream, state, data, &err);
    g_assert_no_error(err);
    stream_put_bytes(w->stream, after, sizeof(after));
    return mem_writer_finish(w);
}

static bool load(const void *bytes, size_t size, const MigVMState *state,
                 void *data, uint32_t version, GError **err)
{
    g_autoptr(MemReader) r = mem_reader_new_static(bytes, size);
    bool ok = vmstate_load(r->stream, state, data, version, err);

    g_assert_true(ok == !*err);
    /* What follows is left in the stream. */
    g_assert_true(!ok ||
                  stream_position(r->stream) == size - sizeof(after));
    return ok;
}

static void load_well(GBytes *bytes, const MigVMState *state, void *data)
{
    g_autoptr(GError) err = NULL;
    size_t size;
    const void *start = g_bytes_get_data(bytes, &size);

    load(start, size, state, data, state->version, &err);
    g_assert_no_error(err);
}

static void assert_bytes(GBytes *bytes, const void *expected, size_t size)
{
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL),
                    g_bytes_get_size(bytes) - sizeof(after), expected, size);
}

/* Every type */

typedef struct Inner {
    uint8_t x;
    uint16_t y;
} Inner;

static const MigVMStateField inner_fields[] = {
    MIG_VMSTATE_U16(Inner, y),
    MIG_VMSTATE_U8(Inner, x),
    MIG_VMSTATE_END
};

static const MigVMState inner_state = {
    .name = "inner", .version = 1, .minimum_version = 1,
    .fields = inner_fields,
};

typedef struct All {
    uint64_t u64;
    bool flag;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t array[3];
    uint8_t buffer[5];
    Inner inner;
    Inner inners[2];
    uint32_t not_saved;
} All;

static const MigVMStateField all_fields[] = {
    MIG_VMSTATE_BOOL(All, flag),
    MIG_VMSTATE_U8(All, u8),
    MIG_VMSTATE_U16(All, u16),
    MIG_VMSTATE_U32(All, u32),
    MIG_VMSTATE_U64(All, u64),
    MIG_VMSTATE_U64_ARRAY(All, array, 3),
    MIG_VMSTATE_BUFFER(All, buffer),
    MIG_VMSTATE_STRUCT(All, inner, &inner_state),
    MIG_VMSTATE_STRUCT_ARRAY(All, inners, 2, &inner_state),
    MIG_VMSTATE_END
};

static const MigVMState all_state = {
    .name = "all", .version = 1, .minimum_version = 1, .fields = all_fields,
};

static const All all_values = {
    .u64 = UINT64_C(0x1112131415161718), .flag = true, .u8 = 0x21,
    .u16 = 0x3132, .u32 = 0x41424344, .array = { 1, 2, UINT64_MAX },
    .buffer = { 'b', 'u', 'f', 'f', 0 }, .inner = { 0x51, 0x6162 },
    .inners = { { 0x71, 0x8182 }, { 0x91, 0xa1a2 } }, .not_saved = 77,
};

static const uint8_t all_bytes[] = {
    1, 0x21, 0x31, 0x32, 0x41, 0x42, 0x43, 0x44,
    0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
    0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    'b', 'u', 'f', 'f', 0,
    0x61, 0x62, 0x51, 0x81, 0x82, 0x71, 0xa1, 0xa2, 0x91,
    WIRE_FOOTER, 0, 0, 0, 1,
};

static void test_save_types(void)
{
    All values = all_values;
    g_autoptr(GBytes) bytes = save(&all_state, &values);

    assert_bytes(bytes, all_bytes, sizeof(all_bytes) - sizeof(after));
}

static void test_load_types(void)
{
    g_autoptr(GError) err = NULL;
    All got;

    memset(&got, 0xff, sizeof(got));
    got.flag = false;
    load(all_bytes, sizeof(all_bytes), &all_state, &got, 1, &err);
    g_assert_no_error(err);
    g_assert_true(got.flag);
    g_assert_cmphex(got.u8, ==, 0x21);
    g_assert_cmphex(got.u16, ==, 0x3132);
    g_assert_cmphex(got.u32, ==, 0x41424344);
    g_assert_cmphex(got.u64, ==, all_values.u64);
    g_assert_cmpmem(got.array, sizeof(got.array), all_values.array,
                    sizeof(all_values.array));
    g_assert_cmpmem(got.buffer, 5, "buff", 5);
    g_assert_cmphex(got.inner.x, ==, 0x51);
    g_assert_cmphex(got.inner.y, ==, 0x6162);
    g_assert_cmphex(got.inners[0].x, ==, 0x71);
    g_assert_cmphex(got.inners[1].y, ==, 0xa1a2);
    g_assert_cmphex(got.not_saved, ==, UINT32_MAX);
}

static void test_bool(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        g_autofree uint8_t *bytes = g_memdup2(all_bytes, sizeof(all_bytes));
        g_autofree char *text = g_strdup_printf(
            "field 'flag' of 'all': a truth value of %u", byte);
        g_autoptr(GError) err = NULL;
        All got = all_values;

        bytes[0] = (uint8_t)byte;
        if (load(bytes, sizeof(all_bytes), &all_state, &got, 1, &err)) {
            g_assert_cmpuint(byte, <=, 1);
            g_assert_cmpint(got.flag, ==, (int)byte);
        } else {
            expect_error(&err, MIG_ERROR_STREAM, text);
        }
    }
}

static void test_eof(void)
{
    static const size_t end = sizeof(all_bytes) - sizeof(after);

    for (size_t size = 0; size < end; size++) {
        g_autoptr(GError) err = NULL;
        All got = all_values;

        load(all_bytes, size, &all_state, &got, 1, &err);
        expect_error(&err, MIG_ERROR_EOF, "field '");
    }
}

static void test_error_names_the_field(void)
{
    g_autoptr(GError) err = NULL;
    All got = all_values;

    load(all_bytes, 5, &all_state, &got, 1, &err);
    expect_error(&err, MIG_ERROR_EOF, "field 'u32' of 'all': ");
    load(all_bytes, 53, &all_state, &got, 1, &err);
    expect_error(&err, MIG_ERROR_EOF,
                 "field 'inners' of 'all': field 'x' of 'inner': ");
}

/* Versions */

typedef struct Grown {
    uint8_t old, newer, newest;
} Grown;

static const MigVMStateField grown_fields[] = {
    MIG_VMSTATE_U8_SINCE(Grown, newest, 7),
    MIG_VMSTATE_U8(Grown, old),
    MIG_VMSTATE_U8_SINCE(Grown, newer, 4),
    MIG_VMSTATE_END
};

static bool grown_post_load(void *data, uint32_t version, GError **errp)
{
    Grown *grown = data;

    /* It is told the version of the stream. */
    grown->newest = version < 7 ? (uint8_t)(100 + version) : grown->newest;
    return true;
}

static const MigVMState grown_state = {
    .name = "grown", .version = 7, .minimum_version = 3,
    .fields = grown_fields, .post_load = grown_post_load,
};

static void test_versions(void)
{
    static const struct {
        uint32_t version;
        const char *bytes;
        Grown expected;
    } rows[] = {
        { 3, "\1", { 1, 50, 103 } },    { 4, "\1\2", { 1, 2, 104 } },
        { 6, "\1\2", { 1, 2, 106 } },   { 7, "\3\1\2", { 1, 2, 3 } },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *bytes = g_strconcat(rows[i].bytes, "after", NULL);
        Grown got = { 50, 50, 50 };
        g_autoptr(GError) err = NULL;

        load(bytes, strlen(bytes), &grown_state, &got, rows[i].version, &err);
        g_assert_no_error(err);
        g_assert_cmpmem(&got, sizeof(got), &rows[i].expected, sizeof(got));
    }
}

static void test_versions_refused(void)
{
    static const uint32_t versions[] = { 0, 2, 8, UINT32_MAX };

    for (unsigned i = 0; i < G_N_ELEMENTS(versions); i++) {
        g_autofree char *text = g_strdup_printf(
            "'grown' has version %u, supported are 3 to 7", versions[i]);
        g_autoptr(GError) err = NULL;
        Grown got = { 50, 50, 50 };

        load("\3\1\2after", 8, &grown_state, &got, versions[i], &err);
        expect_error(&err, MIG_ERROR_PEER, text);
        g_assert_cmpuint(got.old, ==, 50);
    }
}

/* Subsections */

typedef struct Dev {
    uint8_t base, one, two;
    bool has_one, has_two;
} Dev;

static bool needs_one(const void *data)
{
    return ((const Dev *)data)->has_one;
}

static bool needs_two(const void *data)
{
    return ((const Dev *)data)->has_two;
}

static bool two_post_load(void *data, uint32_t version, GError **errp)
{
    Dev *dev = data;

    if (dev->two > 9) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM, "two is %u", dev->two);
        return false;
    }
    return true;
}

static const MigVMStateField one_fields[] = {
    MIG_VMSTATE_U8(Dev, one), MIG_VMSTATE_END
};
static const MigVMStateField two_fields[] = {
    MIG_VMSTATE_U8(Dev, two), MIG_VMSTATE_END
};
static const MigVMStateField dev_fields[] = {
    MIG_VMSTATE_U8(Dev, base), MIG_VMSTATE_END
};

static const MigVMState one_state = {
    .name = "dev/1", .version = 1, .minimum_version = 1,
    .fields = one_fields, .needed = needs_one,
};
static const MigVMState two_state = {
    .name = "dev/2", .version = 2, .minimum_version = 2,
    .fields = two_fields, .needed = needs_two, .post_load = two_post_load,
};
static const MigVMState *const dev_subsections[] = {
    &one_state, &two_state, NULL
};
static const MigVMState dev_state = {
    .name = "dev", .version = 1, .minimum_version = 1, .fields = dev_fields,
    .subsections = dev_subsections,
};

#define ONE "\5\5dev/1\0\0\0\1\x21"
#define TWO "\5\5dev/2\0\0\0\2\x7"

static void test_save_subsections(void)
{
    static const struct {
        bool one, two;
        const char *bytes;
        size_t size;
    } rows[] = {
        { false, false, "\x11", 1 },
        { true, false, "\x11" ONE, 13 },
        { false, true, "\x11" TWO, 13 },
        { true, true, "\x11" ONE TWO, 25 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Dev dev = { 0x11, 0x21, 7, rows[i].one, rows[i].two };
        Dev got = { 1, 2, 3, false, false };
        g_autoptr(GBytes) bytes = save(&dev_state, &dev);

        assert_bytes(bytes, rows[i].bytes, rows[i].size);
        load_well(bytes, &dev_state, &got);
        g_assert_cmpuint(got.base, ==, 0x11);
        /* What is not there keeps its value. */
        g_assert_cmpuint(got.one, ==, rows[i].one ? 0x21 : 2);
        g_assert_cmpuint(got.two, ==, rows[i].two ? 7 : 3);
    }
}

static void load_dev(const char *bytes, size_t size, Dev *dev, GError **err)
{
    g_autofree uint8_t *all = g_malloc(size + sizeof(after));

    memcpy(all, bytes, size);
    memcpy(all + size, after, sizeof(after));
    load(all, size + sizeof(after), &dev_state, dev, 1, err);
}

#define LOAD_DEV(bytes, dev, err) load_dev(bytes, sizeof(bytes) - 1, dev, err)

static void test_subsections_in_any_order(void)
{
    g_autoptr(GError) err = NULL;
    Dev got = { 0 };

    LOAD_DEV("\x11" TWO ONE, &got, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(got.one, ==, 0x21);
    g_assert_cmpuint(got.two, ==, 7);
}

static void test_bad_subsections(void)
{
    g_autoptr(GError) err = NULL;
    Dev got = { 0 };

    LOAD_DEV("\x11" ONE TWO ONE, &got, &err);
    expect_error(&err, MIG_ERROR_STREAM, "second subsection 'dev/1' of 'dev'");
    LOAD_DEV("\x11\5\5dev/3\0\0\0\1", &got, &err);
    expect_error(&err, MIG_ERROR_STREAM, "unknown subsection 'dev/3' of ");
    LOAD_DEV("\x11\5\4dev/\0\0\0\1", &got, &err);
    expect_error(&err, MIG_ERROR_STREAM, "unknown subsection 'dev/' of ");
    LOAD_DEV("\x11\5\1\n\0\0\0\1", &got, &err);
    expect_error(&err, MIG_ERROR_STREAM, "unknown subsection '\\n' of ");
    LOAD_DEV("\x11\5\0", &got, &err);
    expect_error(&err, MIG_ERROR_STREAM, "an empty name");
    LOAD_DEV("\x11\5\5dev/1\0\0\0\2\x21", &got, &err);
    expect_error(&err, MIG_ERROR_PEER, "'dev/1' has version 2");
    LOAD_DEV("\x11\5\5dev/2\0\0\0\1\x7", &got, &err);
    expect_error(&err, MIG_ERROR_PEER, "supported are 2 to 2");
    LOAD_DEV("\x11\5\5dev/2\0\0\0\2\xa", &got, &err);
    expect_error(&err, MIG_ERROR_STREAM, "two is 10");
}

static void test_subsection_eof(void)
{
    static const char bytes[] = "\x11" ONE TWO;

    for (size_t size = 0; size < sizeof(bytes); size++) {
        g_autoptr(GError) err = NULL;
        Dev got = { 0 };

        load(bytes, size, &dev_state, &got, 1, &err);
        expect_error(&err, MIG_ERROR_EOF, "");
    }
}

/* Without subsections a 0x05 behind the fields is not the device's. */
static void test_no_subsections(void)
{
    g_autoptr(GError) err = NULL;
    Inner got = { 0 };

    load("\1\2\3\5\5\5\5\5", 8, &inner_state, &got, 1, &err);
    g_assert_no_error(err);
    g_assert_cmphex(got.y, ==, 0x0102);
}

/* Hooks */

static bool count_and_refuse(void *data, GError **errp)
{
    Grown *calls = data;

    calls->old++;
    if (calls->old == 3) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "busy");
        return false;
    }
    return true;
}

static void test_pre_save(void)
{
    MigVMState state = grown_state;
    g_autoptr(MemWriter) w = mem_writer_new();
    g_autoptr(GError) err = NULL;
    g_autoptr(GBytes) bytes = NULL;
    Grown calls = { 1, 2, 3 };

    state.pre_save = count_and_refuse;
    /* What it changes is what is saved. */
    bytes = save(&state, &calls);
    assert_bytes(bytes, "\3\2\2", 3);
    g_assert_false(vmstate_save(w->stream, &state, &calls, &err));
    expect_error(&err, MIG_ERROR_HOST, "busy");
    g_assert_cmpuint(stream_position(w->stream), ==, 0);
}

static bool refuse_load(void *data, uint32_t version, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM, "version %u is odd",
                version);
    return false;
}

static void test_post_load_refuses(void)
{
    MigVMState state = grown_state;
    g_autoptr(GError) err = NULL;
    Grown got = { 0 };

    state.post_load = refuse_load;
    load("\1\2after", 7, &state, &got, 5, &err);
    expect_error(&err, MIG_ERROR_STREAM, "version 5 is odd");
    /* It has seen the fields. */
    g_assert_cmpuint(got.newer, ==, 2);
}

/* The description */

static JsonObject *describe(const MigVMState *state, const void *data,
                            JsonNode **root)
{
    g_autoptr(JsonBuilder) json = json_builder_new();

    json_builder_begin_object(json);
    vmstate_describe(json, state, data);
    json_builder_end_object(json);
    *root = json_builder_get_root(json);
    return json_node_get_object(*root);
}

/* A field as "name type size array_len", 0 where there is no such member. */
static char *field_text(JsonArray *fields, guint i)
{
    JsonObject *f = json_array_get_object_element(fields, i);

    return g_strdup_printf(
        "%s %s %d %d", json_object_get_string_member(f, "name"),
        json_object_get_string_member(f, "type"),
        (int)json_object_get_int_member_with_default(f, "size", 0),
        (int)json_object_get_int_member_with_default(f, "array_len", 0));
}

static void test_describe_fields(void)
{
    static const char *const expected[] = {
        "flag bool 1 0",   "u8 uint8 1 0",      "u16 uint16 2 0",
        "u32 uint32 4 0",  "u64 uint64 8 0",    "array uint64 8 3",
        "buffer buffer 5 0", "inner struct 0 0", "inners struct 0 2",
    };
    g_autoptr(JsonNode) root = NULL;
    JsonObject *all = describe(&all_state, &all_values, &root);
    JsonArray *fields = json_object_get_array_member(all, "fields");
    JsonObject *inner;

    g_assert_cmpstr(json_object_get_string_member(all, "vmsd_name"), ==,
                    "all");
    g_assert_cmpint(json_object_get_int_member(all, "version"), ==, 1);
    g_assert_false(json_object_has_member(all, "subsections"));
    g_assert_cmpuint(json_array_get_length(fields), ==,
                     G_N_ELEMENTS(expected));
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autofree char *text = field_text(fields, i);

        g_assert_cmpstr(text, ==, expected[i]);
    }
    inner = json_object_get_object_member(
        json_array_get_object_element(fields, 7), "struct");
    g_assert_cmpstr(json_object_get_string_member(inner, "vmsd_name"), ==,
                    "inner");
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(
                         inner, "fields")), ==, 2);
}

/* Only what is needed, because the stream has only that. */
static void test_describe_subsections(void)
{
    Dev dev = { .has_two = true };
    g_autoptr(JsonNode) root = NULL;
    JsonObject *all = describe(&dev_state, &dev, &root);
    JsonArray *subs = json_object_get_array_member(all, "subsections");

    g_assert_cmpuint(json_array_get_length(subs), ==, 1);
    g_assert_cmpstr(json_object_get_string_member(
                        json_array_get_object_element(subs, 0), "vmsd_name"),
                    ==, "dev/2");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmstate/types/save", test_save_types);
    g_test_add_func("/vmstate/types/load", test_load_types);
    g_test_add_func("/vmstate/bool", test_bool);
    g_test_add_func("/vmstate/eof", test_eof);
    g_test_add_func("/vmstate/error-names-the-field",
                    test_error_names_the_field);
    g_test_add_func("/vmstate/versions", test_versions);
    g_test_add_func("/vmstate/versions/refused", test_versions_refused);
    g_test_add_func("/vmstate/subsections/save", test_save_subsections);
    g_test_add_func("/vmstate/subsections/any-order",
                    test_subsections_in_any_order);
    g_test_add_func("/vmstate/subsections/bad", test_bad_subsections);
    g_test_add_func("/vmstate/subsections/eof", test_subsection_eof);
    g_test_add_func("/vmstate/subsections/none", test_no_subsections);
    g_test_add_func("/vmstate/pre-save", test_pre_save);
    g_test_add_func("/vmstate/post-load", test_post_load_refuses);
    g_test_add_func("/vmstate/describe/fields", test_describe_fields);
    g_test_add_func("/vmstate/describe/subsections",
                    test_describe_subsections);
    return g_test_run();
}
