/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Readers check every field here, so that their callers need not. */
#include "migration/wire/section.h"

#include <string.h>

#include "migration/wire/names.h"
#include "migration/wire/wire.h"
#include "util/endian.h"

static void put_method(Stream *s, const char *method)
{
    g_autofree char *name = g_strconcat(WIRE_CAPABILITY_METHOD, method, NULL);

    stream_put_u8(s, WIRE_SUBSECTION);
    stream_put_name(s, WIRE_CONFIG_CAPABILITIES);
    stream_put_be32(s, WIRE_CONFIG_CAPABILITIES_VERSION);
    stream_put_be32(s, 1);
    stream_put_name(s, name);
}

void section_put_preamble(Stream *s, const Identity *id)
{
    stream_put_be32(s, WIRE_MAGIC);
    stream_put_be32(s, WIRE_VERSION);
    stream_put_u8(s, WIRE_CONFIGURATION);
    stream_put_be32(s, (uint32_t)strlen(id->machine));
    stream_put_bytes(s, id->machine, strlen(id->machine));
    if (id->method) {
        put_method(s, id->method);
    }
    if (id->uuid) {
        stream_put_u8(s, WIRE_SUBSECTION);
        stream_put_name(s, WIRE_CONFIG_UUID);
        stream_put_be32(s, WIRE_CONFIG_UUID_VERSION);
        stream_put_bytes(s, id->uuid, WIRE_UUID_SIZE);
    }
}

/* What is wrong with a word of the header, or NULL. */
static char *magic_fault(uint32_t magic)
{
    const char *name;

    if (magic == WIRE_MAGIC) {
        return NULL;
    }
    name = wire_magic_name(magic);
    return g_strdup_printf("not a migration stream: magic 0x%08x%s%s", magic,
                           name ? ", which is " : "", name ? name : "");
}

static char *version_fault(uint32_t version)
{
    if (version == WIRE_VERSION) {
        return NULL;
    }
    return g_strdup_printf("stream version %u, expected %u", version,
                           WIRE_VERSION);
}

bool section_check_header(const uint8_t *head, size_t size, GError **errp)
{
    g_autofree char *fault = NULL;

    if (size >= 4) {
        fault = magic_fault(load_be32(head));
    }
    if (!fault && size >= WIRE_HEADER_SIZE) {
        fault = version_fault(load_be32(head + 4));
    }
    if (fault) {
        g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_STREAM, fault);
    }
    return !fault;
}

static bool get_word(Stream *s, char *(*find_fault)(uint32_t word),
                     GError **errp)
{
    g_autofree char *fault = NULL;
    uint32_t word;

    if (!stream_get_be32(s, &word, errp)) {
        return false;
    }
    fault = find_fault(word);
    if (fault) {
        stream_bad(s, errp, "%s", fault);
    }
    return !fault;
}

static bool get_header(Stream *s, GError **errp)
{
    return get_word(s, magic_fault, errp) &&
           get_word(s, version_fault, errp);
}

static bool get_machine(Stream *s, char name[WIRE_NAME_MAX + 1],
                        GError **errp)
{
    uint32_t length;
    uint8_t type;

    if (!stream_get_u8(s, &type, errp)) {
        return false;
    }
    if (type != WIRE_CONFIGURATION) {
        stream_bad(s, errp, "no configuration section, but type 0x%02x", type);
        return false;
    }
    if (!stream_get_be32(s, &length, errp)) {
        return false;
    }
    if (length == 0 || length > WIRE_NAME_MAX) {
        stream_bad(s, errp, "a machine name of %u bytes", length);
        return false;
    }
    if (!stream_get_bytes(s, name, length, errp)) {
        return false;
    }
    name[length] = '\0';
    if (strlen(name) != length) {
        stream_bad(s, errp, "a machine name with a NUL byte in it");
        return false;
    }
    return true;
}

static bool get_capabilities(Stream *s, Preamble *p, GError **errp)
{
    uint32_t count;

    if (!stream_get_be32(s, &count, errp)) {
        return false;
    }
    if (count > WIRE_CAPABILITIES_MAX - p->capabilities) {
        stream_bad(s, errp, "%u capabilities", count);
        return false;
    }
    while (count--) {
        if (!stream_get_name(s, p->capability[p->capabilities++], errp)) {
            return false;
        }
    }
    return true;
}

static bool get_config_subsection(Stream *s, Preamble *p, GError **errp)
{
    g_autofree char *shown = NULL;
    char name[256];
    uint32_t version;

    if (!stream_get_name(s, name, errp) ||
        !stream_get_be32(s, &version, errp)) {
        return false;
    }
    if (!strcmp(name, WIRE_CONFIG_CAPABILITIES)) {
        return get_capabilities(s, p, errp);
    }
    if (!strcmp(name, WIRE_CONFIG_PAGE_BITS)) {
        p->has_page_bits = true;
        return stream_get_be32(s, &p->page_bits, errp);
    }
    if (!strcmp(name, WIRE_CONFIG_UUID)) {
        p->has_uuid = true;
        return stream_get_bytes(s, p->uuid, sizeof(p->uuid), errp);
    }
    shown = g_strescape(name, NULL);
    stream_bad(s, errp, "unknown configuration subsection '%s'", shown);
    return false;
}

/* What follows the header. */
static bool get_configuration(Stream *s, Preamble *p, GError **errp)
{
    uint8_t type;

    if (!get_machine(s, p->machine, errp) ||
        !stream_peek_u8(s, &type, errp)) {
        return false;
    }
    while (type == WIRE_SUBSECTION) {
        if (!stream_get_u8(s, &type, errp) ||
            !get_config_subsection(s, p, errp) ||
            !stream_peek_u8(s, &type, errp)) {
            return false;
        }
    }
    return true;
}

static void clear_preamble(Preamble *p)
{
    p->machine[0] = '\0';
    p->capabilities = 0;
    p->has_page_bits = false;
    p->page_bits = MIG_PAGE_BITS;
    p->has_uuid = false;
}

bool section_get_preamble(Stream *s, Preamble *p, GError **errp)
{
    clear_preamble(p);
    return get_header(s, errp) && get_configuration(s, p, errp);
}

bool section_get_old_preamble(Stream *s, Preamble *p, GError **errp)
{
    uint8_t type;

    clear_preamble(p);
    if (!get_header(s, errp) || !stream_peek_u8(s, &type, errp)) {
        return false;
    }
    /* Anything but the configuration that could come first? */
    return type == WIRE_START || type == WIRE_COMMAND ||
           get_configuration(s, p, errp);
}

char *section_uuid_text(const uint8_t uuid[WIRE_UUID_SIZE])
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < WIRE_UUID_SIZE; i++) {
        g_string_append_printf(text, "%s%02x",
                               i == 4 || i == 6 || i == 8 || i == 10 ? "-"
                                                                     : "",
                               uuid[i]);
    }
    return g_string_free(text, FALSE);
}

static bool check_machine(const char *theirs, const char *ours, GError **errp)
{
    g_autofree char *shown = NULL;

    if (!strcmp(theirs, ours)) {
        return true;
    }
    shown = g_strescape(theirs, NULL);
    g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                "Machine type received is '%s' and local is '%s'", shown,
                ours);
    return false;
}

bool section_has_capability(const Preamble *p, const char *name)
{
    for (unsigned i = 0; i < p->capabilities; i++) {
        if (!strcmp(p->capability[i], name)) {
            return true;
        }
    }
    return false;
}

const char *section_method(const Preamble *p)
{
    for (unsigned i = 0; i < p->capabilities; i++) {
        if (g_str_has_prefix(p->capability[i], WIRE_CAPABILITY_METHOD)) {
            return p->capability[i] + strlen(WIRE_CAPABILITY_METHOD);
        }
    }
    return NULL;
}

/* Capabilities that both sides must have.  Ferry has one of that kind. */
static bool check_capabilities(const Preamble *p, GError **errp)
{
    for (unsigned i = 0; i < p->capabilities; i++) {
        if (!g_str_has_prefix(p->capability[i], WIRE_CAPABILITY_METHOD) ||
            i > 0) {
            g_autofree char *shown = g_strescape(p->capability[i], NULL);

            g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                        "the source uses capability '%s', which is not "
                        "supported%s", shown, i > 0 ? " with others" : "");
            return false;
        }
    }
    return true;
}

static bool check_page_bits(uint32_t bits, GError **errp)
{
    if (bits == MIG_PAGE_BITS) {
        return true;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                "the source has pages of %u bits, expected %d", bits,
                MIG_PAGE_BITS);
    return false;
}

static bool check_uuid(const uint8_t *theirs, const uint8_t *ours,
                       GError **errp)
{
    g_autofree char *their_text = NULL, *our_text = NULL;

    if (!memcmp(theirs, ours, WIRE_UUID_SIZE)) {
        return true;
    }
    their_text = section_uuid_text(theirs);
    our_text = section_uuid_text(ours);
    g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                "UUID received is %s and local is %s", their_text, our_text);
    return false;
}

bool section_check_preamble(const Preamble *p, const Identity *id,
                            GError **errp)
{
    return check_machine(p->machine, id->machine, errp) &&
           check_capabilities(p, errp) &&
           check_page_bits(p->page_bits, errp) &&
           (!p->has_uuid || !id->uuid || check_uuid(p->uuid, id->uuid, errp));
}

static bool has_name(uint8_t type)
{
    return type == WIRE_START || type == WIRE_FULL;
}

void section_put_header(Stream *s, const SectionHeader *section)
{
    stream_put_u8(s, section->type);
    stream_put_be32(s, section->id);
    if (has_name(section->type)) {
        stream_put_name(s, section->name);
        stream_put_be32(s, section->instance);
        stream_put_be32(s, section->version);
    }
}

void section_put_footer(Stream *s, uint32_t id)
{
    stream_put_u8(s, WIRE_FOOTER);
    stream_put_be32(s, id);
}

bool section_get_header(Stream *s, SectionHeader *section, GError **errp)
{
    if (!stream_get_be32(s, &section->id, errp)) {
        return false;
    }
    return !has_name(section->type) ||
           (stream_get_name(s, section->name, errp) &&
            stream_get_be32(s, &section->instance, errp) &&
            stream_get_be32(s, &section->version, errp));
}

bool section_get_footer(Stream *s, uint32_t id, GError **errp)
{
    uint8_t type;
    uint32_t got;

    if (!stream_get_u8(s, &type, errp)) {
        return false;
    }
    if (type != WIRE_FOOTER) {
        stream_bad(s, errp, "no footer after section %u, but 0x%02x", id,
                   type);
        return false;
    }
    if (!stream_get_be32(s, &got, errp)) {
        return false;
    }
    if (got != id) {
        stream_bad(s, errp, "the footer of section %u after section %u", got,
                   id);
        return false;
    }
    return true;
}

static void put_command(Stream *s, uint16_t number, uint16_t length)
{
    stream_put_u8(s, WIRE_COMMAND);
    stream_put_be16(s, number);
    stream_put_be16(s, length);
}

void section_put_ping(Stream *s, uint32_t value)
{
    put_command(s, WIRE_CMD_PING, sizeof(value));
    stream_put_be32(s, value);
}

void section_put_open_return_path(Stream *s)
{
    put_command(s, WIRE_CMD_OPEN_RETURN_PATH, 0);
}

void section_put_verify(Stream *s, const char *block, uint64_t digest)
{
    put_command(s, WIRE_CMD_FERRY_VERIFY,
                (uint16_t)(1 + strlen(block) + sizeof(digest)));
    stream_put_name(s, block);
    stream_put_be64(s, digest);
}

void section_put_packs(Stream *s, uint32_t window)
{
    put_command(s, WIRE_CMD_FERRY_PACKS, sizeof(window));
    stream_put_be32(s, window);
}

void section_put_sum(Stream *s)
{
    put_command(s, WIRE_CMD_FERRY_SUM, sizeof(uint64_t));
    stream_put_be64(s, stream_sum(s));
}

bool section_get_command_head(Stream *s, Command *command, GError **errp)
{
    command->value = 0;
    return stream_get_be16(s, &command->number, errp) &&
           stream_get_be16(s, &command->length, errp);
}

static bool get_verify(Stream *s, Command *command, GError **errp)
{
    size_t expected;

    if (!stream_get_name(s, command->block, errp) ||
        !stream_get_be64(s, &command->digest, errp)) {
        return false;
    }
    expected = 1 + strlen(command->block) + sizeof(command->digest);
    if (command->length != expected) {
        stream_bad(s, errp, "command %u with %u bytes, expected %zu",
                   command->number, command->length, expected);
        return false;
    }
    return true;
}

bool section_get_sum(Stream *s, const Command *command, GError **errp)
{
    uint64_t ours = stream_sum(s), theirs;

    if (!stream_has_sum(s)) {
        stream_bad(s, errp, "a SUM without PACKS");
        return false;
    }
    if (command->length != sizeof(theirs)) {
        stream_bad(s, errp, "a SUM of %u bytes", command->length);
        return false;
    }
    if (!stream_get_be64(s, &theirs, errp)) {
        return false;
    }
    if (ours != theirs) {
        stream_bad(s, errp, "the stream's checksum is wrong");
    }
    return ours == theirs;
}

bool section_get_command_body(Stream *s, Command *command, GError **errp)
{
    g_autofree char *text = NULL;
    uint16_t expected;

    switch (command->number) {
    case WIRE_CMD_OPEN_RETURN_PATH:
    case WIRE_CMD_SWITCHOVER_START:
        expected = 0;
        break;
    case WIRE_CMD_PING:
    case WIRE_CMD_FERRY_PACKS:
        expected = sizeof(command->value);
        break;
    case WIRE_CMD_FERRY_SUM:
        return section_get_sum(s, command, errp);
    case WIRE_CMD_FERRY_VERIFY:
        return get_verify(s, command, errp);
    default:
        text = wire_command_text(command->number);
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "%s of the source is not supported", text);
        return false;
    }
    if (command->length != expected) {
        stream_bad(s, errp, "command %u with %u bytes, expected %u",
                   command->number, command->length, expected);
        return false;
    }
    return expected == 0 ||
           stream_get_be32(s, &command->value, errp);
}
