/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A device carries no length, so the part behind RAM is read as it comes, and
 * kept, until it has the vmdescription in it: EOF, 0x06, a length, and as many
 * bytes that are a JSON object with devices.  So the end is found where there
 * is more behind it, and on a connection that its source keeps open.
 *
 * The vmdescription names the devices in the order in which they stand.  Where
 * one ends is where a footer with its id is followed by the head of the next,
 * or by EOF: it needs no sizes, which not every description has.
 *
 * A stream may lack a vmdescription (QEMU's suppress-vmdesc).  Then it must
 * look like the end of one, a footer and EOF, and the devices stay opaque.
 */
#include "tools/inspect/inspect-tail.h"

#include <string.h>

#include "migration/wire.h"
#include "util/endian.h"

#define TAIL_MAX    (256u << 20)
#define CHUNK       (64u << 10)
#define NESTING_MAX 256u

#define FOOTER_SIZE  5u /* type, id */
#define COMMAND_HEAD 5u /* type, number, length */
#define DESC_HEAD    5u /* type, length */
#define GO_SIZE      (COMMAND_HEAD + 4u)

typedef struct Tail {
    Stream *stream;
    const InspectConfig *config;
    InspectReport *report;
    GByteArray *bytes;
    size_t looked;   /* no vmdescription begins, with its EOF, before this */
    size_t suspect;  /* EOF of what looked like one, if fault is set */
    char *fault;     /* what was wrong with it */
    size_t eof;      /* where it was found: of EOF */
    size_t end;      /* behind the vmdescription */
} Tail;

static const uint8_t *tail_at(const Tail *t, size_t at)
{
    return t->bytes->data + at;
}

/* Where in the stream. */
static uint64_t position_of(const Tail *t, size_t at)
{
    return t->report->devices_offset + at;
}

/* The vmdescription */

/* The JSON parser calls itself for what is nested. */
static bool is_too_deep(const char *text, size_t size)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < size && depth <= NESTING_MAX; i++) {
        if (in_string && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            in_string = !in_string;
        } else if (!in_string && (text[i] == '{' || text[i] == '[')) {
            depth++;
        } else if (!in_string && (text[i] == '}' || text[i] == ']')) {
            depth--;
        }
    }
    return depth > NESTING_MAX;
}

static bool is_device(JsonNode *node)
{
    JsonObject *device = JSON_NODE_HOLDS_OBJECT(node)
                             ? json_node_get_object(node) : NULL;
    JsonNode *name = device ? json_object_get_member(device, "name") : NULL;
    JsonNode *instance =
        device ? json_object_get_member(device, "instance_id") : NULL;

    return name && json_node_get_value_type(name) == G_TYPE_STRING &&
           instance && json_node_get_value_type(instance) == G_TYPE_INT64;
}

/* The array, if it is a description of devices. */
static JsonArray *devices_of(JsonNode *root)
{
    JsonObject *object = root && JSON_NODE_HOLDS_OBJECT(root)
                             ? json_node_get_object(root) : NULL;
    JsonNode *node = object ? json_object_get_member(object, "devices") : NULL;
    JsonArray *devices =
        node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    for (unsigned i = 0; devices && i < json_array_get_length(devices); i++) {
        if (!is_device(json_array_get_element(devices, i))) {
            return NULL;
        }
    }
    return devices;
}

static JsonNode *parse_description(const char *text, size_t size,
                                   char **fault)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) err = NULL;

    if (is_too_deep(text, size)) {
        *fault = g_strdup("is nested too deeply");
        return NULL;
    }
    if (!json_parser_load_from_data(parser, text, (gssize)size, &err)) {
        *fault = g_strdup_printf("is not JSON: %s", err->message);
        return NULL;
    }
    if (!devices_of(json_parser_get_root(parser))) {
        *fault = g_strdup("has no list of devices");
        return NULL;
    }
    return json_parser_steal_root(parser);
}

static void suspect(Tail *t, size_t at, char *fault)
{
    g_free(t->fault);
    t->fault = fault;
    t->suspect = at;
}

/*
 * Does EOF and the vmdescription stand at this place?  Sets *wait when there
 * are not enough bytes to tell.
 */
static bool try_description(Tail *t, size_t at, bool *wait)
{
    size_t text = at + 1 + DESC_HEAD, left = t->bytes->len - at;
    char *fault = NULL;
    uint32_t size;

    if (left <= 1 + DESC_HEAD) {
        *wait = true;
        return false;
    }
    size = load_be32(tail_at(t, at + 2));
    if (*tail_at(t, text) != '{') {
        return false;
    }
    /* Also what makes this fast: a place is looked through up to the next one,
     * which begins with a 0, and not for as long as it says that it is. */
    if (memchr(tail_at(t, text), 0, MIN(size, left - 1 - DESC_HEAD))) {
        suspect(t, at, g_strdup("has a byte that is 0"));
        return false;
    }
    if (size > WIRE_VMDESC_MAX || size > left - 1 - DESC_HEAD) {
        *wait = size <= WIRE_VMDESC_MAX;
        suspect(t, at, g_strdup_printf("says that it has %u bytes", size));
        return false;
    }
    t->report->vmdescription =
        parse_description((const char *)tail_at(t, text), size, &fault);
    if (!t->report->vmdescription) {
        suspect(t, at, fault);
        return false;
    }
    t->eof = at;
    t->end = text + size;
    return true;
}

/* The next place where EOF is followed by the type of a vmdescription, or
 * may be: the number of bytes when there is none. */
static size_t next_place(const Tail *t, size_t at)
{
    size_t len = t->bytes->len;

    for (; at < len; at++) {
        const uint8_t *eof = memchr(tail_at(t, at), WIRE_EOF, len - at);

        if (!eof) {
            return len;
        }
        at = (size_t)(eof - t->bytes->data);
        if (at + 1 == len || eof[1] == WIRE_VMDESCRIPTION) {
            return at;
        }
    }
    return len;
}

static bool find_description(Tail *t)
{
    size_t first_waiting = SIZE_MAX;

    for (size_t at = next_place(t, t->looked); at < t->bytes->len;
         at = next_place(t, at + 1)) {
        bool wait = false;

        if (try_description(t, at, &wait)) {
            return true;
        }
        if (wait) {
            first_waiting = MIN(first_waiting, at);
        }
    }
    t->looked = MIN(first_waiting, t->bytes->len);
    return false;
}

/* Devices */

/* Behind the commands that stand there, as far as there are any. */
static size_t skip_commands(const Tail *t, size_t at)
{
    while (at + COMMAND_HEAD <= t->eof && *tail_at(t, at) == WIRE_COMMAND) {
        at += COMMAND_HEAD + load_be16(tail_at(t, at + 3));
    }
    return at;
}

/* Does the head of that device stand there?  content: what is behind it. */
static bool is_head(const Tail *t, size_t at, JsonObject *device,
                    size_t *content)
{
    const char *name = json_object_get_string_member(device, "name");
    int64_t instance = json_object_get_int_member(device, "instance_id");
    size_t length = strlen(name);

    *content = at + 1 + 4 + 1 + length + 4 + 4;
    return *content <= t->eof && *tail_at(t, at) == WIRE_FULL &&
           *tail_at(t, at + 5) == length &&
           !memcmp(tail_at(t, at + 6), name, length) &&
           load_be32(tail_at(t, at + 6 + length)) == (uint32_t)instance;
}

/* Is a section over before this?  next: the device that follows, or NULL. */
static bool is_next(const Tail *t, size_t at, JsonObject *next)
{
    size_t content;

    at = skip_commands(t, at);
    return next ? is_head(t, at, next, &content) : at == t->eof;
}

/* Behind the footer of the section whose content that is; 0: there is none. */
static size_t find_end(const Tail *t, size_t content, uint32_t id,
                       JsonObject *next)
{
    for (size_t at = content; at + FOOTER_SIZE <= t->eof; at++) {
        const uint8_t *footer = memchr(tail_at(t, at), WIRE_FOOTER,
                                       t->eof - FOOTER_SIZE + 1 - at);

        if (!footer) {
            break;
        }
        at = (size_t)(footer - t->bytes->data);
        if (load_be32(footer + 1) == id &&
            is_next(t, at + FOOTER_SIZE, next)) {
            return at + FOOTER_SIZE;
        }
    }
    return 0;
}

static bool bad_device(const Tail *t, JsonObject *device, size_t at,
                       const char *what, GError **errp)
{
    g_autofree char *name =
        g_strescape(json_object_get_string_member(device, "name"), NULL);

    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "device '%s' of the vmdescription %s byte %" G_GUINT64_FORMAT
                " of the stream", name, what, position_of(t, at));
    return false;
}

static bool walk_device(Tail *t, JsonObject *device, JsonObject *next,
                        size_t *at, GError **errp)
{
    InspectDevice found = { .id = 0 };
    size_t start = skip_commands(t, *at), content, end;

    if (!is_head(t, start, device, &content)) {
        return bad_device(t, device, start, "does not begin at", errp);
    }
    found.id = load_be32(tail_at(t, start + 1));
    end = find_end(t, content, found.id, next);
    if (!end) {
        return bad_device(t, device, start,
                          "does not end with a footer; it begins at", errp);
    }
    found.name = g_strdup(json_object_get_string_member(device, "name"));
    found.instance = load_be32(tail_at(t, content - 8));
    found.version = load_be32(tail_at(t, content - 4));
    found.offset = position_of(t, start);
    found.size = end - start;
    g_array_append_val(t->report->devices, found);
    *at = end;
    return true;
}

static bool walk_devices(Tail *t, GError **errp)
{
    JsonArray *devices = devices_of(t->report->vmdescription);
    unsigned count = json_array_get_length(devices);
    size_t at = 0;

    for (unsigned i = 0; i < count; i++) {
        JsonObject *next = i + 1 < count
            ? json_array_get_object_element(devices, i + 1) : NULL;

        if (!walk_device(t, json_array_get_object_element(devices, i), next,
                         &at, errp)) {
            return false;
        }
    }
    at = skip_commands(t, at);
    if (at != t->eof) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "byte %" G_GUINT64_FORMAT " of the stream: something that "
                    "the vmdescription does not have", position_of(t, at));
    }
    return at == t->eof;
}

/* The end */

static bool read_more(Tail *t, size_t *got, GError **errp)
{
    size_t had = t->bytes->len;

    g_byte_array_set_size(t->bytes, (guint)(had + CHUNK));
    if (!stream_get_some(t->stream, t->bytes->data + had, CHUNK, got, errp)) {
        *got = 0;
        g_byte_array_set_size(t->bytes, (guint)had);
        return false;
    }
    g_byte_array_set_size(t->bytes, (guint)(had + *got));
    t->config->progress(t->config->opaque, stream_position(t->stream));
    return true;
}

/* GO, and whatever else a file has behind the end. */
static bool look_behind(Tail *t, GError **errp)
{
    size_t got = t->config->to_the_end;
    const uint8_t *go;

    while (got && t->bytes->len - t->end < GO_SIZE) {
        if (!read_more(t, &got, errp)) {
            return false;
        }
    }
    go = tail_at(t, t->end);
    if (t->bytes->len - t->end >= GO_SIZE && go[0] == WIRE_COMMAND &&
        load_be16(go + 1) == WIRE_CMD_PING && load_be16(go + 3) == 4 &&
        load_be32(go + COMMAND_HEAD) == WIRE_FERRY_GO) {
        t->report->handed_over = true;
        t->end += GO_SIZE;
    }
    if (t->config->to_the_end &&
        !stream_drain(t->stream, SIZE_MAX, errp)) {
        return false;
    }
    t->report->trailing = stream_position(t->stream) - position_of(t, t->end);
    return true;
}

static bool finish_described(Tail *t, GError **errp)
{
    t->report->devices_size = t->eof;
    t->report->vmdescription_offset = position_of(t, t->eof + 1);
    t->report->vmdescription_size = t->end - t->eof - 1;
    return walk_devices(t, errp) && look_behind(t, errp);
}

/* The channel has ended, and there was no vmdescription. */
static bool finish_opaque(Tail *t, GError **errp)
{
    size_t len = t->bytes->len;

    if ((len == 1 || (len > FOOTER_SIZE &&
                      *tail_at(t, len - 1 - FOOTER_SIZE) == WIRE_FOOTER)) &&
        *tail_at(t, len - 1) == WIRE_EOF) {
        t->report->devices_size = len - 1;
        return true;
    }
    if (t->fault) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "the vmdescription at byte %" G_GUINT64_FORMAT " of the "
                    "stream %s, and the stream ended at byte %"
                    G_GUINT64_FORMAT, position_of(t, t->suspect + 1),
                    t->fault, position_of(t, len));
        return false;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                "the channel ended at byte %" G_GUINT64_FORMAT
                " of the stream, behind RAM and before the vmdescription",
                position_of(t, len));
    return false;
}

static bool read_tail(Tail *t, GError **errp)
{
    size_t got;

    do {
        if (!read_more(t, &got, errp)) {
            return false;
        }
        if (find_description(t)) {
            return finish_described(t, errp);
        }
        if (t->bytes->len > TAIL_MAX) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                        "more than %u bytes of devices", TAIL_MAX);
            return false;
        }
    } while (got);
    return finish_opaque(t, errp);
}

bool inspect_tail(Stream *stream, const InspectConfig *config,
                  InspectReport *report, GError **errp)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    Tail t = {
        .stream = stream,
        .config = config,
        .report = report,
        .bytes = bytes,
    };
    bool ok;

    report->devices_offset = stream_position(stream);
    ok = read_tail(&t, errp);
    g_free(t.fault);
    return ok;
}
