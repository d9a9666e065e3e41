/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/wire/device.h: which devices are saved, loaded, missed,
 * described. */
#include "migration/wire/device.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"

typedef struct Reg {
    uint8_t value;
    bool unused;
} Reg;

static bool reg_needed(const void *data)
{
    return !((const Reg *)data)->unused;
}

static bool reg_post_load(void *data, uint32_t version, GError **errp)
{
    if (((Reg *)data)->value == 13) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM, "13 brings bad luck");
        return false;
    }
    return true;
}

static bool reg_pre_save(void *data, GError **errp)
{
    if (((Reg *)data)->value == 99) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "it is locked");
        return false;
    }
    return true;
}

static const MigVMStateField reg_fields[] = {
    MIG_VMSTATE_U8(Reg, value), MIG_VMSTATE_END
};

static const MigVMState always = {
    .name = "reg", .version = 3, .minimum_version = 2, .fields = reg_fields,
    .pre_save = reg_pre_save, .post_load = reg_post_load,
};

static const MigVMState sometimes = {
    .name = "opt", .version = 1, .minimum_version = 1, .fields = reg_fields,
    .needed = reg_needed,
};

/* A machine with three devices, two of them of one kind. */
typedef struct Machine {
    Reg reg[3];
    MigDevice device[3];
    Devices *devices;
} Machine;

static void machine_init(Machine *m)
{
    *m = (Machine){ .reg = { { 1 }, { 2 }, { 3 } } };
    m->device[0] = (MigDevice){ "uart", 0, &always, &m->reg[0] };
    m->device[1] = (MigDevice){ "uart", 1, &always, &m->reg[1] };
    m->device[2] = (MigDevice){ "rtc", 0, &sometimes, &m->reg[2] };
    m->devices = devices_new(m->device, 3, NULL);
}

static GBytes *save(Machine *m)
{
    MemWriter *w = mem_writer_new();
    g_autoptr(GError) err = NULL;

    devices_save(m->devices, w->stream, 10, &err);
    g_assert_no_error(err);
    return mem_writer_finish(w);
}

#define UART_0 "\4\0\0\0\12\4uart\0\0\0\0\0\0\0\3"
#define UART_1 "\4\0\0\0\13\4uart\0\0\0\1\0\0\0\3"
#define RTC_0  "\4\0\0\0\14\3rtc\0\0\0\0\0\0\0\1"

static void test_save(void)
{
    static const char expected[] = UART_0 "\1\x7e\0\0\0\12"
                                   UART_1 "\2\x7e\0\0\0\13"
                                   RTC_0 "\3\x7e\0\0\0\14";
    g_autoptr(GBytes) bytes = NULL;
    Machine m;

    machine_init(&m);
    bytes = save(&m);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                    expected, sizeof(expected) - 1);
    devices_free(m.devices);
}

static void test_save_needed_only(void)
{
    static const char expected[] = UART_0 "\1\x7e\0\0\0\12"
                                   UART_1 "\2\x7e\0\0\0\13";
    g_autoptr(GBytes) bytes = NULL;
    Machine m;

    machine_init(&m);
    m.reg[2].unused = true;
    bytes = save(&m);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                    expected, sizeof(expected) - 1);
    devices_free(m.devices);
}

static void test_save_fails(void)
{
    g_autoptr(MemWriter) w = mem_writer_new();
    g_autoptr(GError) err = NULL;
    Machine m;

    machine_init(&m);
    m.reg[1].value = 99;
    g_assert_false(devices_save(m.devices, w->stream, 10, &err));
    expect_error(&err, MIG_ERROR_HOST, "device 'uart': it is locked");
    devices_free(m.devices);
}

/* One FULL section. */
static bool load_one(Machine *m, MemReader *r, GError **err)
{
    SectionHeader section = { 0 };

    g_assert_true(stream_get_u8(r->stream, &section.type, NULL));
    g_assert_cmpuint(section.type, ==, WIRE_FULL);
    g_assert_true(section_get_header(r->stream, &section, NULL));
    if (!devices_load(m->devices, r->stream, &section, err)) {
        return false;
    }
    g_assert_true(section_get_footer(r->stream, section.id, NULL));
    return true;
}

static void test_round_trip(void)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    g_autoptr(GError) err = NULL;
    Machine from, to;

    machine_init(&from);
    machine_init(&to);
    memset(to.reg, 0, sizeof(to.reg));
    bytes = save(&from);
    r = mem_reader_new(bytes);
    for (unsigned i = 0; i < 3; i++) {
        load_one(&to, r, &err);
        g_assert_no_error(err);
    }
    g_assert_true(devices_check_loaded(to.devices, &err));
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(to.reg[i].value, ==, i + 1);
    }
    devices_free(from.devices);
    devices_free(to.devices);
    devices_free(NULL);
}

/* The bytes are sections, of which the last is refused. */
static void refuse(const char *bytes, size_t size, unsigned good,
                   MigErrorCode code, const char *text)
{
    g_autoptr(MemReader) r = mem_reader_new_static(bytes, size);
    g_autoptr(GError) err = NULL;
    Machine m;

    machine_init(&m);
    for (unsigned i = 0; i < good; i++) {
        g_assert_true(load_one(&m, r, NULL));
    }
    g_assert_false(load_one(&m, r, &err));
    expect_error(&err, code, text);
    devices_free(m.devices);
}

#define REFUSE(bytes, good, code, text) \
    refuse(bytes, sizeof(bytes) - 1, good, code, text)

static void test_refused(void)
{
    REFUSE("\4\0\0\0\1\4uars\0\0\0\0\0\0\0\3", 0, MIG_ERROR_PEER,
           "Unknown savevm section or instance 'uars' 0. Make sure that your "
           "current VM setup matches your saved VM setup");
    REFUSE("\4\0\0\0\1\4uart\0\0\0\2\0\0\0\3", 0, MIG_ERROR_PEER,
           "instance 'uart' 2");
    REFUSE("\4\0\0\0\1\1\x7\0\0\0\2\0\0\0\3", 0, MIG_ERROR_PEER,
           "instance '\\007' 2");
    REFUSE(UART_0 "\5\x7e\0\0\0\12" UART_0 "\5", 1, MIG_ERROR_STREAM,
           "device 'uart' a second time");
    REFUSE("\4\0\0\0\1\4uart\0\0\0\0\0\0\0\4\1", 0, MIG_ERROR_PEER,
           "device 'uart': 'reg' has version 4, supported are 2 to 3");
    REFUSE(UART_1 "\15", 0, MIG_ERROR_STREAM,
           "device 'uart': 13 brings bad luck");
    REFUSE(UART_1, 0, MIG_ERROR_EOF, "device 'uart': field 'value' of 'reg'");
}

/* One that may be absent may be; one that is always there may not. */
static void test_missing(void)
{
    static const char first[] = UART_0 "\5\x7e\0\0\0\12";
    static const char second[] = UART_1 "\6\x7e\0\0\0\13";
    g_autoptr(MemReader) r1 = mem_reader_new_static(first, sizeof(first) - 1);
    g_autoptr(MemReader) r2 = mem_reader_new_static(second,
                                                    sizeof(second) - 1);
    g_autoptr(GError) err = NULL;
    Machine m;

    machine_init(&m);
    g_assert_true(load_one(&m, r1, NULL));
    g_assert_false(devices_check_loaded(m.devices, &err));
    expect_error(&err, MIG_ERROR_PEER,
                 "the stream has no state of device 'uart', instance 1");
    g_assert_true(load_one(&m, r2, NULL));
    g_assert_true(devices_check_loaded(m.devices, &err));
    g_assert_no_error(err);
    g_assert_cmpuint(m.reg[2].value, ==, 3);
    devices_free(m.devices);
}

/* What the host may not offer */

static void refuse_host(MigDevice device, const char *text)
{
    Machine m;
    MigDevice all[2];
    g_autoptr(GError) err = NULL;

    machine_init(&m);
    all[0] = m.device[0];
    all[1] = device;
    g_assert_null(devices_new(all, 2, &err));
    expect_error(&err, MIG_ERROR_HOST, text);
    devices_free(m.devices);
}

static void test_host_rules(void)
{
    static const MigVMState no_fields = { .name = "x" };
    static const MigVMState no_name = { .fields = reg_fields };
    g_autofree char *longer = g_strnfill(256, 'n');
    g_autofree char *longest = g_strnfill(255, 'n');
    MigDevice device = { longest, 0, &always, NULL };
    Devices *devices = devices_new(&device, 1, NULL);

    g_assert_nonnull(devices);
    devices_free(devices);
    refuse_host((MigDevice){ longer, 0, &always, NULL },
                "has a name that is empty or too long");
    refuse_host((MigDevice){ "", 0, &always, NULL }, "empty or too long");
    refuse_host((MigDevice){ NULL, 0, &always, NULL }, "empty or too long");
    refuse_host((MigDevice){ "ram", 1, &always, NULL },
                "device 'ram' has the name of the ram section");
    refuse_host((MigDevice){ "x", 0, NULL, NULL },
                "device 'x' has no description");
    refuse_host((MigDevice){ "x", 0, &no_fields, NULL }, "no description");
    refuse_host((MigDevice){ "x", 0, &no_name, NULL }, "no description");
    refuse_host((MigDevice){ "uart", 0, &sometimes, NULL },
                "two devices are called 'uart', instance 0");
}

static void test_no_devices(void)
{
    Devices *devices = devices_new(NULL, 0, NULL);
    g_autoptr(MemWriter) w = mem_writer_new();

    g_assert_true(devices_save(devices, w->stream, 1, NULL));
    g_assert_cmpuint(stream_position(w->stream), ==, 0);
    g_assert_true(devices_check_loaded(devices, NULL));
    devices_free(devices);
}

/* The description */

static JsonNode *description(Machine *m)
{
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) saved = save(m), bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    JsonNode *root;
    uint32_t length;
    uint8_t type;

    devices_describe(m->devices, w->stream);
    bytes = mem_writer_finish(w);
    r = mem_reader_new(bytes);
    g_assert_true(stream_get_u8(r->stream, &type, NULL));
    g_assert_cmpuint(type, ==, WIRE_VMDESCRIPTION);
    g_assert_true(stream_get_be32(r->stream, &length, NULL));
    g_assert_cmpuint(5 + length, ==, g_bytes_get_size(bytes));
    text = g_malloc0(length + 1);
    g_assert_true(stream_get_bytes(r->stream, text, length, NULL));
    root = json_from_string(text, &err);
    g_assert_no_error(err);
    return root;
}

static void assert_device(JsonArray *devices, guint i, const char *name,
                          int64_t instance, const char *vmsd)
{
    JsonObject *d = json_array_get_object_element(devices, i);

    g_assert_cmpstr(json_object_get_string_member(d, "name"), ==, name);
    g_assert_cmpint(json_object_get_int_member(d, "instance_id"), ==,
                    instance);
    g_assert_cmpstr(json_object_get_string_member(d, "vmsd_name"), ==, vmsd);
    g_assert_true(json_object_has_member(d, "version"));
    g_assert_cmpuint(json_array_get_length(
                         json_object_get_array_member(d, "fields")), ==, 1);
}

static void test_describe(void)
{
    for (unsigned unused = 0; unused <= 1; unused++) {
        g_autoptr(JsonNode) root = NULL;
        JsonObject *all;
        JsonArray *devices;
        Machine m;

        machine_init(&m);
        m.reg[2].unused = unused;
        root = description(&m);
        all = json_node_get_object(root);
        g_assert_cmpint(json_object_get_int_member(all, "page_size"), ==,
                        4096);
        devices = json_object_get_array_member(all, "devices");
        g_assert_cmpuint(json_array_get_length(devices), ==, 3 - unused);
        assert_device(devices, 0, "uart", 0, "reg");
        assert_device(devices, 1, "uart", 1, "reg");
        if (!unused) {
            assert_device(devices, 2, "rtc", 0, "opt");
        }
        devices_free(m.devices);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/device/save", test_save);
    g_test_add_func("/device/save/needed", test_save_needed_only);
    g_test_add_func("/device/save/fails", test_save_fails);
    g_test_add_func("/device/round-trip", test_round_trip);
    g_test_add_func("/device/refused", test_refused);
    g_test_add_func("/device/missing", test_missing);
    g_test_add_func("/device/host-rules", test_host_rules);
    g_test_add_func("/device/none", test_no_devices);
    g_test_add_func("/device/describe", test_describe);
    return g_test_run();
}
