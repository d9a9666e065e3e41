/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A device carries no length, so the part behind RAM is read as it comes, and
 * kept, until it has the vmdescription in it: EOF, 0x06, a length, and that
 * many bytes that are a JSON object with devices.  So the end is found even if
 * more bytes follow it, or if the source keeps the connection open.  A
 * description's text has no byte that is 0, while the bytes before the next
 * candidate begin with a 0 (EOF).  So no byte is in two candidates, and each
 * byte is looked at once, in whatever pieces the bytes come.
 *
 * The vmdescription names the devices in the order in which they stand.  A
 * device ends where a footer with its id is followed by the head of the next
 * one, or by EOF.  That needs no sizes, which not every description has.  A few
 * commands may stand between the two.  Their number is limited, because each
 * footer of a long chain could otherwise be followed through all the rest of
 * it.
 *
 * Where two Ferrys use packs, the last command before EOF is SUM.  It is over
 * all that stands before it, and is compared when EOF has been found, as is any
 * other one.
 *
 * A stream may lack a vmdescription (QEMU's suppress-vmdesc).  Then it must end
 * with a footer and EOF, perhaps with zeros behind it, and where the devices
 * end is guessed.
 *
 * Machine types before 2.4 have no footers, and a device ends where the next
 * one begins.
 *
 * Zeros are only counted until something else comes: a volume may have
 * gigabytes of them behind the stream.
 */
#include "tools/inspect/streams/inspect-tail.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "tools/inspect/streams/description.h"
#include "tools/inspect/streams/guess.h"
#include "util/endian.h"

#define TAIL_MAX    (256u << 20)
#define CHUNK       (64u << 10)
#define REST_MAX    (256u << 20) /* bytes behind the end that are decoded */
#define OLD_ZEROS   4096u /* at the end of a device */
#define BETWEEN_MAX 16u  /* commands between two devices; QEMU sends one */

#define DEVICE_HEAD  14u /* type, id, name's length, instance, version */
#define FOOTER_SIZE  5u /* type, id */
#define COMMAND_HEAD 5u /* type, number, length */
#define DESC_HEAD    5u /* type, length */
#define GO_SIZE      (COMMAND_HEAD + 4u)
#define SUM_SIZE     (COMMAND_HEAD + 8u)

typedef struct Tail {
    const Input *input;
    Stream *stream; /* the input's */
    const InspectConfig *config;
    InspectReport *report;
    bool lacks_footers;
    uint64_t base;     /* where in the stream the bytes begin */
    GByteArray *bytes; /* the report's */
    uint64_t zeros;    /* that came behind the bytes, and are not kept */
    size_t looked;   /* no vmdescription's EOF is before this */
    size_t waiting;  /* the EOF of one that is not whole yet, */
    size_t clean;    /* which has no byte that is 0 up to here */
    size_t suspect;  /* if fault: the EOF of one that turned out to be none */
    char *fault;     /* why not */
    size_t eof;      /* when found: the vmdescription's EOF */
    size_t end;      /* and where the vmdescription ends */
    size_t summed;   /* the stream's sum has the bytes before this, */
    size_t sum_end;  /* and the last SUM ends here, if this is not 0 */
} Tail;

static const uint8_t *tail_at(const Tail *t, size_t at)
{
    return t->bytes->data + at;
}

/* The offset in the stream. */
static uint64_t position_of(const Tail *t, size_t at)
{
    return t->base + at;
}

/* The vmdescription */

static void suspect(Tail *t, size_t at, char *fault)
{
    g_free(t->fault);
    t->fault = fault;
    t->suspect = at;
}

/*
 * Do EOF and the vmdescription stand at this place?  Sets *wait when there are
 * not enough bytes to tell.
 */
static bool try_description(Tail *t, size_t at, bool *wait)
{
    size_t text = at + 1 + DESC_HEAD, left = t->bytes->len - at, clean;
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
    clean = at == t->waiting ? t->clean : text;
    if (memchr(tail_at(t, clean), 0,
               MIN(text + size, t->bytes->len) - clean)) {
        suspect(t, at, g_strdup("has a byte that is 0"));
        return false;
    }
    if (size > WIRE_VMDESC_MAX || size > left - 1 - DESC_HEAD) {
        *wait = size <= WIRE_VMDESC_MAX;
        t->waiting = at;
        t->clean = t->bytes->len;
        suspect(t, at, g_strdup_printf("says that it has %u bytes", size));
        return false;
    }
    t->report->vmdescription =
        description_parse((const char *)tail_at(t, text), size, &fault);
    if (!t->report->vmdescription) {
        suspect(t, at, fault);
        return false;
    }
    t->eof = at;
    t->end = text + size;
    return true;
}

/* The next place where EOF is followed by the type of a vmdescription, or may
 * be.  The number of bytes when there is none. */
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
    bool wait = false;

    for (;;) {
        t->looked = next_place(t, t->looked);
        if (t->looked == t->bytes->len) {
            return false;
        }
        if (try_description(t, t->looked, &wait)) {
            return true;
        }
        /* A text that is not whole yet has no 0, so no EOF follows here. */
        if (wait) {
            return false;
        }
        t->looked++;
    }
}

/* Devices */

/* Returns the place behind the commands, if any, that stand at this one. */
static size_t skip_commands(const Tail *t, size_t at)
{
    for (unsigned i = 0; i < BETWEEN_MAX && at + COMMAND_HEAD <= t->eof &&
                         *tail_at(t, at) == WIRE_COMMAND; i++) {
        at += COMMAND_HEAD + load_be16(tail_at(t, at + 3));
    }
    return at;
}

/* Does this device's head stand here?  *content is set to the place behind. */
static bool is_head(const Tail *t, size_t at, JsonObject *device,
                    size_t *content)
{
    const char *name = description_name(device);
    int64_t instance = json_object_get_int_member(device, "instance_id");
    size_t length = strlen(name);

    *content = at + 1 + 4 + 1 + length + 4 + 4;
    return *content <= t->eof && *tail_at(t, at) == WIRE_FULL &&
           *tail_at(t, at + 5) == length &&
           !memcmp(tail_at(t, at + 6), name, length) &&
           load_be32(tail_at(t, at + 6 + length)) == (uint32_t)instance;
}

/* May a section have ended before this place?  next: the device that follows,
 * or NULL. */
static bool is_next(const Tail *t, size_t at, JsonObject *next)
{
    size_t content;

    at = skip_commands(t, at);
    return next ? is_head(t, at, next, &content) : at == t->eof;
}

/* The same without footers: where the next section's head is, or EOF. */
static size_t find_next(const Tail *t, size_t content, JsonObject *next)
{
    for (size_t at = content; next && at < t->eof; at++) {
        const uint8_t *head = memchr(tail_at(t, at), WIRE_FULL, t->eof - at);
        size_t unused;

        if (!head) {
            return 0;
        }
        at = (size_t)(head - t->bytes->data);
        if (is_head(t, at, next, &unused)) {
            return at;
        }
    }
    return next ? 0 : t->eof;
}

/* The place behind the footer of the section with this content; 0 when it has
 * none. */
static size_t find_end(const Tail *t, size_t content, uint32_t id,
                       JsonObject *next)
{
    if (t->lacks_footers) {
        return find_next(t, content, next);
    }
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
    g_autofree char *name = g_strescape(description_name(device), NULL);

    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "device '%s' of the vmdescription %s byte %" G_GUINT64_FORMAT
                " of the stream", name, what, position_of(t, at));
    return false;
}

static bool is_command(const uint8_t *at, uint16_t number, uint16_t length)
{
    return at[0] == WIRE_COMMAND && load_be16(at + 1) == number &&
           load_be16(at + 3) == length;
}

/* `end` is a place behind what is wrong. */
static bool bad_sum(const Tail *t, const char *what, size_t end, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "%s, before byte %" G_GUINT64_FORMAT " of the stream", what,
                position_of(t, end));
    return false;
}

/* Is the stream up to its value what this SUM says?  SUMs are asked for in the
 * order in which they stand, so that each byte is hashed once. */
static bool check_sum(Tail *t, size_t at, GError **errp)
{
    size_t value = at + COMMAND_HEAD;

    if (!stream_has_sum(t->stream)) {
        return bad_sum(t, "a SUM without PACKS", at + SUM_SIZE, errp);
    }
    stream_sum_add(t->stream, tail_at(t, t->summed), value - t->summed);
    t->summed = value;
    t->sum_end = at + SUM_SIZE;
    if (load_be64(tail_at(t, value)) != stream_sum(t->stream)) {
        return bad_sum(t, "the stream's checksum is wrong", t->sum_end, errp);
    }
    return true;
}

/* A stream with packs has to have a SUM right before EOF. */
static bool check_end(const Tail *t, size_t eof, GError **errp)
{
    return !stream_has_sum(t->stream) || t->sum_end == eof ||
           bad_sum(t, "the stream ends without its checksum", eof, errp);
}

/* Go on behind the commands that stand here, if none of them is wrong. */
static bool walk_commands(Tail *t, size_t *at, GError **errp)
{
    size_t end = skip_commands(t, *at);

    while (*at < end) {
        const uint8_t *command = tail_at(t, *at);
        size_t size = COMMAND_HEAD + load_be16(command + 3);

        if (load_be16(command + 1) == WIRE_CMD_FERRY_SUM) {
            if (size != SUM_SIZE || *at + size > t->eof) {
                return bad_sum(t, "a SUM of another size", end, errp);
            }
            if (!check_sum(t, *at, errp)) {
                return false;
            }
        }
        *at += size;
    }
    return true;
}

/* description: NULL if there is none. */
static void add_device(Tail *t, size_t at, size_t end, JsonObject *description)
{
    size_t length = *tail_at(t, at + 5), content = at + DEVICE_HEAD + length;
    InspectDevice found = {
        .name = g_strndup((const char *)tail_at(t, at + 6), length),
        .id = load_be32(tail_at(t, at + 1)),
        .instance = load_be32(tail_at(t, at + 6 + length)),
        .version = load_be32(tail_at(t, at + 10 + length)),
        .offset = position_of(t, at),
        .size = end - at,
        .kept = t->bytes,
        .kept_at = content,
        .kept_size = end - content - (t->lacks_footers ? 0 : FOOTER_SIZE),
        .description = description,
    };

    g_array_append_val(t->report->devices, found);
}

static bool walk_device(Tail *t, JsonObject *device, JsonObject *next,
                        size_t *at, GError **errp)
{
    size_t start, content, end;

    if (!walk_commands(t, at, errp)) {
        return false;
    }
    start = *at;
    if (!is_head(t, start, device, &content)) {
        return bad_device(t, device, start, "does not begin at", errp);
    }
    end = find_end(t, content, load_be32(tail_at(t, start + 1)), next);
    if (!end) {
        return bad_device(t, device, start,
                          "does not end with a footer; it begins at", errp);
    }
    add_device(t, start, end, device);
    *at = end;
    return true;
}

/* A device's identity. */
static char *key_of(const char *name, uint32_t instance)
{
    return g_strdup_printf("%u %s", instance, name);
}

/* The devices that are here: not those that came before RAM, which the list has
 * at its beginning, but need not.  These get their descriptions. */
static GPtrArray *devices_here(const Tail *t)
{
    JsonArray *devices = description_devices(t->report->vmdescription);
    g_autoptr(GHashTable) early =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GPtrArray *here = g_ptr_array_new(); /* of JsonObject, the array's */

    for (unsigned i = 0; i < t->report->devices->len; i++) {
        InspectDevice *d = &g_array_index(t->report->devices, InspectDevice, i);

        g_hash_table_insert(early, key_of(d->name, d->instance), d);
    }
    for (unsigned i = 0; i < json_array_get_length(devices); i++) {
        JsonObject *device = json_array_get_object_element(devices, i);
        int64_t instance = json_object_get_int_member(device, "instance_id");
        g_autofree char *key = key_of(description_name(device),
                                      (uint32_t)instance);
        InspectDevice *came = g_hash_table_lookup(early, key);

        if (came) {
            came->description = device;
        } else {
            g_ptr_array_add(here, device);
        }
    }
    return here;
}

static bool walk_devices(Tail *t, GError **errp)
{
    g_autoptr(GPtrArray) devices = devices_here(t);
    size_t at = 0;

    for (unsigned i = 0; i < devices->len; i++) {
        JsonObject *next = i + 1 < devices->len ? devices->pdata[i + 1] : NULL;

        if (!walk_device(t, devices->pdata[i], next, &at, errp)) {
            return false;
        }
    }
    if (!walk_commands(t, &at, errp)) {
        return false;
    }
    if (at != t->eof) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "byte %" G_GUINT64_FORMAT " of the stream: something that "
                    "the vmdescription does not have", position_of(t, at));
    }
    return at == t->eof;
}

/* Tell the devices up to EOF apart without a vmdescription.  What is left is
 * not told apart. */
static void guess_devices(Tail *t)
{
    g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    const GuessRules rules = {
        .lacks_footers = t->lacks_footers,
        .begun = none,
    };
    size_t at = 0;

    for (;;) {
        size_t head, end;

        at = skip_commands(t, at);
        head = at < t->eof ? guess_device(tail_at(t, at), t->eof - at) : 0;
        end = head ? guess_end(t->bytes->data, t->eof, at + head,
                               load_be32(tail_at(t, at + 1)), &rules) : 0;
        if (!end) {
            return;
        }
        add_device(t, at, end, NULL);
        at = end;
    }
}

/* The end */

static bool is_zero(const uint8_t *piece, size_t size)
{
    return size == 0 || (!piece[0] && !memcmp(piece, piece + 1, size - 1));
}

/* Keep what has come, but for zeros. */
static void keep(Tail *t, const uint8_t *piece, size_t size)
{
    size_t zeros = size;

    while (zeros && !piece[zeros - 1]) {
        zeros--;
    }
    zeros = size - zeros;
    if (zeros < size) {
        size_t had = t->bytes->len;

        g_byte_array_set_size(t->bytes, (guint)(had + t->zeros));
        memset(t->bytes->data + had, 0, t->zeros);
        g_byte_array_append(t->bytes, piece, (guint)(size - zeros));
        t->zeros = 0;
    }
    t->zeros += zeros;
}

static bool too_much(const Tail *t, size_t more, GError **errp)
{
    if (t->bytes->len + t->zeros + more <= TAIL_MAX) {
        return false;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                "more than %u bytes of devices", TAIL_MAX);
    return true;
}

static bool read_more(Tail *t, size_t *got, GError **errp)
{
    g_autofree uint8_t *piece = g_malloc(CHUNK);

    *got = 0;
    if (!stream_get_some(t->stream, piece, CHUNK, got, errp)) {
        return false;
    }
    t->config->progress(t->config->opaque);
    if (!is_zero(piece, *got) && too_much(t, *got, errp)) {
        return false;
    }
    keep(t, piece, *got);
    return true;
}

/*
 * Pass over what is behind the end.  A file need not be read for that.
 * Decompressing it checks its checksums, and is limited, because few bytes may
 * hold very many.
 */
static bool pass_rest(Tail *t, GError **errp)
{
    uint64_t offset, at = stream_position(t->stream);
    uint64_t end = input_file_size(t->input);
    uint64_t left = REST_MAX;
    size_t size = 1;

    if (!t->config->to_the_end) {
        left = 0;
    } else if (input_file(t->input, &offset) >= 0) {
        return stream_skip(t->stream, end - MIN(at, end), errp);
    }
    while (left && size) {
        uint8_t piece[4096];

        if (!stream_get_some(t->stream, piece, sizeof(piece), &size, errp)) {
            return false;
        }
        left -= MIN(left, size);
    }
    return true;
}

static void count_trailing(Tail *t)
{
    t->report->trailing = stream_position(t->stream) - position_of(t, t->end);
}

/* May GO stand behind the end, as far as its bytes have come? */
static bool may_be_go(const Tail *t)
{
    size_t has = t->bytes->len - t->end;

    return has < GO_SIZE && (has ? *tail_at(t, t->end) == WIRE_COMMAND
                                 : t->zeros == 0);
}

/* Look for GO, and for whatever else a file has behind the end. */
static bool look_behind(Tail *t, GError **errp)
{
    size_t got = t->config->to_the_end;
    const uint8_t *go;

    while (got && may_be_go(t)) {
        if (!read_more(t, &got, errp)) {
            return false;
        }
    }
    go = tail_at(t, t->end);
    if (t->bytes->len - t->end >= GO_SIZE &&
        is_command(go, WIRE_CMD_PING, sizeof(uint32_t)) &&
        load_be32(go + COMMAND_HEAD) == WIRE_FERRY_GO) {
        t->report->handed_over = true;
        t->end += GO_SIZE;
    }
    return pass_rest(t, errp);
}

/* Where EOF is; in postcopy the devices came before. */
static void note_eof(Tail *t)
{
    if (t->report->postcopy) {
        return;
    }
    t->report->devices_size =
        position_of(t, t->eof) - t->report->devices_offset;
}

static bool finish_described(Tail *t, GError **errp)
{
    note_eof(t);
    t->report->vmdescription_offset = position_of(t, t->eof + 1);
    t->report->vmdescription_size = t->end - t->eof - 1;
    if (!walk_devices(t, errp) || !check_end(t, t->eof, errp) ||
        !look_behind(t, errp)) {
        return false;
    }
    count_trailing(t);
    return true;
}

/* Does the last device end here, or is there none? */
static bool ends_devices(const Tail *t, size_t at)
{
    return at == 0 || (at >= FOOTER_SIZE &&
                       *tail_at(t, at - FOOTER_SIZE) == WIRE_FOOTER);
}

static bool ends_with_sum(const Tail *t, size_t eof)
{
    return eof >= SUM_SIZE && ends_devices(t, eof - SUM_SIZE) &&
           is_command(tail_at(t, eof - SUM_SIZE), WIRE_CMD_FERRY_SUM,
                      sizeof(uint64_t));
}

/*
 * Without footers nothing tells EOF from other zeros.  The last one is EOF,
 * unless there are so many that they are those of a volume.
 */
static bool find_old_eof(Tail *t)
{
    uint64_t kept = t->bytes->len, zeros = t->zeros;
    uint64_t of_device = zeros > 1 && zeros <= OLD_ZEROS ? zeros - 1 : 0;

    if (!zeros) {
        return false;
    }
    g_byte_array_set_size(t->bytes, (guint)(kept + of_device + 1));
    memset(t->bytes->data + kept, 0, of_device + 1);
    t->eof = kept + of_device;
    t->end = t->eof + 1;
    return true;
}

/*
 * Find EOF among the zeros at the end, where the last bytes of a footer or of a
 * SUM may be, too.  Zeros where the devices should be do not count as an end:
 * somebody has made the file that large, and has not written it.
 */
static bool find_eof(Tail *t)
{
    static const uint8_t zeros[SUM_SIZE];
    size_t kept = t->bytes->len;
    size_t some = (size_t)MIN(t->zeros, SUM_SIZE);
    bool alone = t->zeros == 1 || t->report->devices->len > 0;

    if (t->lacks_footers) {
        return find_old_eof(t);
    }
    g_byte_array_append(t->bytes, zeros, (guint)some);
    for (t->eof = kept; t->eof < t->bytes->len; t->eof++) {
        if ((t->eof > 0 || alone) &&
            (ends_devices(t, t->eof) || ends_with_sum(t, t->eof))) {
            t->end = t->eof + 1;
            return true;
        }
    }
    return false;
}

/* The channel has ended, or gives nothing but zeros, and there was no
 * vmdescription. */
static bool finish_opaque(Tail *t, GError **errp)
{
    uint64_t len = t->bytes->len + t->zeros;

    if (find_eof(t)) {
        note_eof(t);
        if (ends_with_sum(t, t->eof) &&
            !check_sum(t, t->eof - SUM_SIZE, errp)) {
            return false;
        }
        guess_devices(t);
        if (!check_end(t, t->eof, errp) || !pass_rest(t, errp)) {
            return false;
        }
        count_trailing(t);
        return true;
    }
    if (t->fault) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "the vmdescription at byte %" G_GUINT64_FORMAT " of the "
                    "stream %s, and the stream ended at byte %"
                    G_GUINT64_FORMAT, position_of(t, t->suspect + 1),
                    t->fault, t->base + len);
        return false;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                "the channel ended at byte %" G_GUINT64_FORMAT
                " of the stream, behind RAM and before the vmdescription",
                t->base + len);
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
    } while (got && t->zeros <= TAIL_MAX);
    return finish_opaque(t, errp);
}

bool inspect_tail(const Input *input, const InspectConfig *config,
                  InspectReport *report, bool lacks_footers, GError **errp)
{
    Stream *stream = input_stream(input);
    Tail t = {
        .input = input,
        .stream = stream,
        .config = config,
        .report = report,
        .lacks_footers = lacks_footers,
        .base = stream_position(stream),
        .bytes = report->tail,
        .waiting = SIZE_MAX,
    };
    bool ok;

    report->tail_offset = t.base;
    stream_sum_hold(stream);
    ok = read_tail(&t, errp);
    g_free(t.fault);
    return ok;
}
