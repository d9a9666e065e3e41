/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Up to the end of RAM the stream is read item by item, by the reader that the
 * destination uses.  What comes behind RAM is inspect-tail.c's.
 *
 * Sections carry no length.  The content of ram is records.  Of a few other
 * sections the content is known, too, see known-section.c; where another one
 * ends is guessed, see guess.c.
 *
 * RAM ends with its END.  A background snapshot has none: its pages go on until
 * the guest's devices come, which were saved before.  A device that comes
 * before the first page is an early one, such as virtio-mem's.
 *
 * Postcopy sends the devices in a package, which is read as if it were not one,
 * and goes on with pages.  Pages that it has discarded before come once more.
 */
#include "tools/inspect/streams/inspect-stream.h"

#include <string.h>

#include "tools/inspect/streams/guess.h"
#include "tools/inspect/streams/inspect-command.h"
#include "tools/inspect/streams/inspect-ram.h"
#include "tools/inspect/streams/inspect-tail.h"
#include "tools/inspect/streams/known-section.h"
#include "tools/inspect/streams/preempt-channel.h"
#include "tools/inspect/streams/side-channels.h"
#include "migration/pack/codec.h"
#include "migration/pack/pack.h"
#include "migration/wire/names.h"
#include "migration/wire/reader.h"
#include "migration/wire/return-message.h"
#include "migration/wire/wire.h"

#define RAM_MAX      (UINT64_C(1) << 44) /* 16 TiB */
#define COMMANDS_MAX (1u << 16)
#define OTHERS_MAX   256u
#define DEVICES_MAX  (1u << 16)
#define KEPT_MAX     (64u << 20) /* bytes of devices before the end of RAM */
#define NOT_TAKEN "ferry-inspect looks at a guest and does not run it"

typedef struct Walk {
    const InspectConfig *config;
    InspectReport *report;
    Input *input;
    IoChannel *channel; /* the input's, */
    Stream *stream;     /* and its stream */
    Stream *rp;      /* answers to the source; NULL: nobody listens */
    Reader *reader;
    Item *item;      /* the reader's, once there was one */
    InspectRam *ram; /* NULL: not begun */
    SideChannels *side; /* NULL: none were given */
    bool flushes;       /* the stream says where its channels wait */
    bool keeps;      /* a device's content, as far as it has come */
    bool has_pages;  /* a PART or END of ram has come */
    bool in_section;
    uint64_t section_at;  /* where the last section begins */
    uint64_t package_end; /* of PACKAGED, while it is read; or UINT64_MAX */
    GArray *begun;        /* of uint32_t: the ids of iterable sections */
} Walk;

static bool unsupported(GError **errp, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

static bool unsupported(GError **errp, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED, "%s", text);
    return false;
}

/* The preamble */

static bool check_capability(const Walk *w, const char *name, GError **errp)
{
    g_autofree char *shown = NULL;
    uint64_t begin;

    if (!strcmp(name, WIRE_CAP_IGNORE_SHARED)) {
        return true;
    }
    if (!strcmp(name, WIRE_CAP_MAPPED_RAM)) {
        return input_file(w->input, &begin) >= 0 ||
               unsupported(errp, "mapped-ram is only read from a file");
    }
    if (g_str_has_prefix(name, WIRE_CAPABILITY_METHOD)) {
        return codec_for_batches(name + strlen(WIRE_CAPABILITY_METHOD),
                                 errp) != NULL;
    }
    shown = g_strescape(name, NULL);
    return unsupported(errp, "the source uses capability '%s', which changes "
                       "the stream's layout and is not supported", shown);
}

static bool walk_preamble(Walk *w, const Preamble *p, GError **errp)
{
    w->report->preamble = *p;
    w->report->has_preamble = true;
    for (unsigned i = 0; i < p->capabilities; i++) {
        if (!check_capability(w, p->capability[i], errp)) {
            return false;
        }
    }
    return p->page_bits == MIG_PAGE_BITS ||
           unsupported(errp, "pages of %u bits are not supported",
                       p->page_bits);
}

/* Commands */

static bool answer_ping(Walk *w, uint32_t value, GError **errp)
{
    if (value == WIRE_FERRY_HELLO) {
        w->report->ferry = true;
    }
    if (!w->rp) {
        return true;
    }
    return_path_put_pong(w->rp, value);
    return stream_flush(w->rp, errp);
}

static bool get_value(Walk *w, Command *command, GError **errp)
{
    if (command->length != sizeof(command->value)) {
        stream_bad(w->stream, errp, "a %s of %u bytes",
                   wire_command_name(command->number), command->length);
        return false;
    }
    return stream_get_be32(w->stream, &command->value, errp);
}

/* What a hostile stream of a few megabytes may make this program keep. */
#define WINDOW_MAX ((1u << 30) / PACK_SLOT_BYTES)

static bool use_packs(Walk *w, uint32_t window, GError **errp)
{
    if (window > WINDOW_MAX) {
        return unsupported(errp, "packs with a history of more than 1 GiB are "
                           "not supported");
    }
    if (!w->ram || !inspect_ram_use_packs(w->ram, window)) {
        stream_bad(w->stream, errp, "packs are announced in a wrong place");
        return false;
    }
    stream_sum_begin(w->stream);
    return true;
}

/* A source that runs must not begin postcopy here: it would have given its
 * guest away. */
static bool check_live(const Walk *w, const Command *command, GError **errp)
{
    g_autofree char *name = NULL;

    if (!io_channel_is_two_way(w->channel)) {
        return true;
    }
    switch (command->number) {
    case WIRE_CMD_POSTCOPY_LISTEN:
    case WIRE_CMD_POSTCOPY_RUN:
    case WIRE_CMD_POSTCOPY_DISCARD:
    case WIRE_CMD_PACKAGED:
        name = wire_command_text(command->number);
        return unsupported(errp, "%s of a source that runs is not supported",
                           name);
    default:
        return true;
    }
}

/* A package is a stream inside of the stream, without a header and an end. */
static bool enter_package(Walk *w, uint32_t size, GError **errp)
{
    if (w->package_end != UINT64_MAX || !w->ram) {
        stream_bad(w->stream, errp, "PACKAGED in a wrong place");
        return false;
    }
    w->report->postcopy = true;
    w->report->devices_offset = stream_position(w->stream);
    w->report->devices_size = size;
    w->package_end = w->report->devices_offset + size;
    return true;
}

static bool leave_package(Walk *w, GError **errp)
{
    uint64_t at = stream_position(w->stream);

    if (w->in_section || at < w->package_end) {
        return true;
    }
    if (at > w->package_end) {
        stream_bad(w->stream, errp, "an item over the end of a package");
        return false;
    }
    w->package_end = UINT64_MAX;
    return true;
}

static bool run_command(Walk *w, Command *command, GError **errp)
{
    g_autofree char *name = NULL;

    if (!check_live(w, command, errp)) {
        return false;
    }
    switch (command->number) {
    case WIRE_CMD_OPEN_RETURN_PATH:
        if (!w->rp && io_channel_is_two_way(w->channel)) {
            w->rp = stream_new(w->channel);
        }
        break;
    case WIRE_CMD_PING:
        return get_value(w, command, errp) &&
               answer_ping(w, command->value, errp);
    case WIRE_CMD_FERRY_PACKS:
        return get_value(w, command, errp) &&
               use_packs(w, command->value, errp);
    case WIRE_CMD_FERRY_SUM:
        return section_get_sum(w->stream, command, errp);
    case WIRE_CMD_PACKAGED:
        return get_value(w, command, errp) &&
               enter_package(w, command->value, errp);
    case WIRE_CMD_POSTCOPY_DISCARD:
        if (!w->ram) {
            stream_bad(w->stream, errp, "a discard before RAM has begun");
            return false;
        }
        return inspect_command_discard(w->stream, command, w->ram, errp);
    case WIRE_CMD_POSTCOPY_ADVISE:
    case WIRE_CMD_POSTCOPY_LISTEN:
    case WIRE_CMD_POSTCOPY_RUN:
    case WIRE_CMD_SWITCHOVER_START:
    case WIRE_CMD_FERRY_VERIFY:
        break;
    default:
        name = wire_command_text(command->number);
        return unsupported(errp, "%s is not supported", name);
    }
    return stream_skip(w->stream, command->length, errp);
}

static bool walk_command(Walk *w, Item *item, GError **errp)
{
    InspectCommand found = { item->position, item->command };

    /* There may be very many. */
    if (item->command.number == WIRE_CMD_POSTCOPY_DISCARD) {
        return run_command(w, &found.command, errp);
    }
    if (w->report->commands->len == COMMANDS_MAX) {
        return unsupported(errp, "more than %u commands", COMMANDS_MAX);
    }
    if (!run_command(w, &found.command, errp)) {
        return false;
    }
    g_array_append_val(w->report->commands, found);
    return true;
}

/* Sections */

static bool walk_ram_start(Walk *w, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    if (section->instance != WIRE_RAM_INSTANCE) {
        return unsupported(errp, "instance %u of the ram section",
                           section->instance);
    }
    if (section->version != WIRE_RAM_VERSION) {
        return unsupported(errp, "version %u of the ram section",
                           section->version);
    }
    if (w->ram) {
        stream_bad(w->stream, errp, "a second START of the ram section");
        return false;
    }
    w->report->ram_id = section->id;
    w->report->ram_offset = item->position;
    return true;
}

/* The channels have waited for each other here, and the stream says so. */
static bool sync_channels(Walk *w, GError **errp)
{
    w->flushes = true;
    if (w->side) {
        return side_channels_sync(w->side, errp);
    }
    inspect_ram_elsewhere(w->ram);
    return true;
}

static bool start_multifd(Walk *w, GError **errp)
{
    const InspectConfig *config = w->config;
    unsigned flushes = w->report->list->flushes;

    if (config->sides) {
        inspect_ram_elsewhere(w->ram);
        w->side = side_channels_new(config->side, config->sides, w->ram,
                                    config->verify || config->extracts ||
                                        config->scratch, errp);
        if (!w->side) {
            return false;
        }
    }
    while (flushes--) {
        if (!sync_channels(w, errp)) {
            return false;
        }
    }
    return true;
}

static bool walk_blocks(Walk *w, Item *item, GError **errp)
{
    MappedFile file;

    w->ram = inspect_ram_new(w->stream, w->config, w->report,
                             g_steal_pointer(&item->blocks), errp);
    if (!w->ram || !start_multifd(w, errp)) {
        return false;
    }
    if (!section_has_capability(&w->report->preamble, WIRE_CAP_MAPPED_RAM)) {
        return true;
    }
    file.input = w->input;
    file.fd = input_file(w->input, &file.begin);
    return inspect_ram_mapped(w->ram, &file, errp);
}

static InspectOther *find_other(const Walk *w, uint32_t id)
{
    /* The last one that has begun with that id. */
    for (unsigned i = w->report->others->len; i-- > 0;) {
        InspectOther *other =
            &g_array_index(w->report->others, InspectOther, i);

        if (other->id == id) {
            return other;
        }
    }
    return NULL;
}

static InspectOther *start_other(Walk *w, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;
    InspectOther other = {
        .id = section->id,
        .instance = section->instance,
        .version = section->version,
        .offset = item->position,
    };

    if (w->report->others->len == OTHERS_MAX) {
        unsupported(errp, "more than %u iterable sections", OTHERS_MAX);
        return NULL;
    }
    g_strlcpy(other.name, section->name, sizeof(other.name));
    g_array_append_val(w->report->others, other);
    return find_other(w, section->id);
}

static bool skip_content(Walk *w, const SectionHeader *section,
                         const char *name, GError **errp)
{
    const GuessRules rules = {
        .lacks_footers = !reader_has_footers(w->reader),
        .begun = w->begun,
        .end = w->package_end,
    };
    g_autofree char *shown = g_strescape(name, NULL);
    bool skipped;

    if (!known_section_skip(w->stream, name, &skipped, errp) ||
        (!skipped && !guess_skip(w->stream, section->id, &rules, errp))) {
        g_prefix_error(errp, "section '%s': ", shown);
        return false;
    }
    return true;
}

static bool walk_other(Walk *w, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;
    InspectOther *other = section->type == WIRE_START
                              ? start_other(w, item, errp)
                              : find_other(w, section->id);

    if (!other) {
        if (section->type != WIRE_START) {
            stream_bad(w->stream, errp, "section %u, which has not begun",
                       section->id);
        }
        return false;
    }
    other->sections++;
    return skip_content(w, section, other->name, errp);
}

/* What is too much is passed over, and then none of it is kept. */
static bool keep_bytes(void *opaque, const void *buf, size_t size,
                       GError **errp)
{
    Walk *w = opaque;
    GByteArray *bytes = w->report->early;

    w->keeps = w->keeps && bytes->len + size <= KEPT_MAX;
    if (w->keeps) {
        g_byte_array_append(bytes, buf, (guint)size);
    }
    return true;
}

/* Skip a device's content, and keep it. */
static bool take_content(Walk *w, const SectionHeader *section, GError **errp)
{
    static const StreamTap tap = { .given = keep_bytes };
    InspectDevice *device = &g_array_index(w->report->devices, InspectDevice,
                                           w->report->devices->len - 1);
    bool ok;

    w->keeps = true;
    device->kept_at = w->report->early->len;
    stream_set_tap(w->stream, &tap, w);
    ok = skip_content(w, section, section->name, errp);
    stream_set_tap(w->stream, NULL, NULL);
    if (ok && w->keeps) {
        device->kept = w->report->early;
        device->kept_size = w->report->early->len - device->kept_at;
    }
    return ok;
}

/* Before RAM, or in a package. */
static bool walk_device(Walk *w, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;
    InspectDevice found = {
        .name = g_strdup(section->name),
        .id = section->id,
        .instance = section->instance,
        .version = section->version,
        .offset = item->position,
    };

    if (w->report->devices->len == DEVICES_MAX) {
        g_free(found.name);
        return unsupported(errp, "more than %u devices", DEVICES_MAX);
    }
    g_array_append_val(w->report->devices, found);
    return take_content(w, section, errp);
}

static bool begin_section(Walk *w, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    w->in_section = true;
    if (section->type == WIRE_START) {
        g_array_append_val(w->begun, section->id);
    }
    if (section->type == WIRE_FULL) {
        return walk_device(w, item, errp);
    }
    if (!item->is_ram) {
        return walk_other(w, item, errp);
    }
    if (section->type == WIRE_START) {
        return walk_ram_start(w, item, errp);
    }
    w->has_pages = true;
    return inspect_ram_begin(w->ram, section->type, w->section_at, errp);
}

static bool end_section(Walk *w, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;
    uint64_t size = stream_position(w->stream) - w->section_at;

    w->in_section = false;
    if (section->type == WIRE_FULL) {
        g_array_index(w->report->devices, InspectDevice,
                      w->report->devices->len - 1).size = size;
    } else if (!item->is_ram) {
        find_other(w, section->id)->bytes += size;
    } else {
        /* Before 8.0, and with older machine types, each section is a round. */
        if (w->side && !w->flushes && !side_channels_sync(w->side, errp)) {
            return false;
        }
        if (section->type != WIRE_START) {
            inspect_ram_end(w->ram);
        }
    }
    return true;
}

static bool walk_item(Walk *w, Item *item, GError **errp)
{
    switch (item->type) {
    case ITEM_PREAMBLE:
        return walk_preamble(w, &item->preamble, errp);
    case ITEM_COMMAND:
        return walk_command(w, item, errp);
    case ITEM_SECTION:
        w->section_at = item->position;
        return begin_section(w, item, errp);
    case ITEM_BLOCKS:
        return walk_blocks(w, item, errp);
    case ITEM_RECORD:
        return inspect_ram_record(w->ram, item, errp);
    case ITEM_FOOTER:
        return end_section(w, item, errp);
    case ITEM_EOF:
    case ITEM_DESCRIPTION:
        break;
    }
    stream_bad(w->stream, errp, "the end before RAM has ended");
    return false;
}

/* Has RAM ended, and all that is iterable? */
static bool at_tail(Walk *w, bool *yes, GError **errp)
{
    uint8_t next;

    *yes = false;
    if (!w->has_pages || w->in_section || w->package_end != UINT64_MAX) {
        return true;
    }
    if (!stream_peek_u8(w->stream, &next, errp)) {
        return false;
    }
    *yes = w->report->ram_ended
               ? next != WIRE_START && next != WIRE_PART && next != WIRE_END
               : next == WIRE_FULL;
    return true;
}

/* Have the pages that postcopy has discarded come again? */
static bool check_discarded(const Walk *w, GError **errp)
{
    const InspectReport *report = w->report;

    for (unsigned i = 0; report->discarded && i < report->list->count; i++) {
        g_autofree char *shown =
            g_strescape(report->list->entry[i].name, NULL);

        if (report->missing[i]) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                        "RAM block '%s': %" G_GUINT64_FORMAT " pages that "
                        "postcopy has discarded did not come again.  They "
                        "went over another connection (postcopy-preempt), "
                        "whose file may be given, too, or the migration was "
                        "not finished", shown,
                        report->missing[i]);
            return false;
        }
    }
    return true;
}

/* The reader does not take a flush of multifd, which is a record without
 * data. */
static bool is_flush(const Item *item, const GError *err)
{
    return item && item->type == ITEM_RECORD &&
           item->record.type == WIRE_RAM_MULTIFD &&
           g_error_matches(err, MIG_ERROR, MIG_ERROR_UNSUPPORTED);
}

static bool walk_next(Walk *w, GError **errp)
{
    GError *err = NULL;
    Item *item = reader_next(w->reader, &err);

    if (item) {
        w->item = item;
        return walk_item(w, item, errp);
    }
    if (is_flush(w->item, err)) {
        g_error_free(err);
        return sync_channels(w, errp);
    }
    g_propagate_error(errp, err);
    return false;
}

/* A few targets (alpha, or1k, sparc64) have larger pages, and only the end of
 * the stream says so. */
static bool check_page_size(const Walk *w, GError **errp)
{
    JsonNode *root = w->report->vmdescription;
    JsonObject *object = root ? json_node_get_object(root) : NULL;
    int64_t size = object ? json_object_get_int_member_with_default(
                                object, "page_size", MIG_PAGE_SIZE)
                          : MIG_PAGE_SIZE;

    return size == MIG_PAGE_SIZE ||
           unsupported(errp, "pages of %" G_GINT64_FORMAT " bytes are not "
                       "supported", size);
}

/* Has every page come? */
static bool is_whole(const Walk *w)
{
    for (unsigned i = 0; i < w->report->list->count; i++) {
        if (w->report->missing[i]) {
            return false;
        }
    }
    return true;
}

static bool check_elsewhere(const Walk *w, GError **errp)
{
    if (w->report->elsewhere) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                    "the guest's pages are not in this stream.  They went over "
                    "multifd's side channels: give their files, too");
    }
    return !w->report->elsewhere;
}

/* The pages that went over another connection, after all others. */
static bool take_preempted(Walk *w, GError **errp)
{
    if (!w->config->preempt) {
        return true;
    }
    if (!w->report->postcopy) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "a channel of postcopy-preempt was given, and the main "
                    "channel has no postcopy");
        return false;
    }
    return preempt_channel_read(input_stream(w->config->preempt), w->ram,
                                errp);
}

static bool walk(Walk *w, GError **errp)
{
    bool ended = false;

    while (!ended) {
        if (!walk_next(w, errp) || !leave_package(w, errp) ||
            !at_tail(w, &ended, errp)) {
            return false;
        }
    }
    w->report->lacks_footers = !reader_has_footers(w->reader);
    return (!w->side || side_channels_finish(w->side, errp)) &&
           take_preempted(w, errp) && inspect_ram_finish(w->ram, errp) &&
           inspect_tail(w->input, w->config, w->report,
                        w->report->lacks_footers, errp) &&
           check_page_size(w, errp) &&
           (!w->side || side_channels_check(w->side, is_whole(w), errp)) &&
           check_discarded(w, errp) && check_elsewhere(w, errp);
}

static bool convert(Walk *w, GError **errp)
{
    const InspectConfig *config = w->config;

    return !config->convert ||
           config->convert(config->opaque, w->report, w->ram, errp);
}

/* The stream's error is the one to be told.  What is at work in the pool may be
 * good. */
static void convert_parts(Walk *w)
{
    g_autoptr(GError) err = NULL;

    if (w->ram && w->config->parts && inspect_ram_flush(w->ram, &err)) {
        convert(w, &err);
    }
    if (err) {
        g_ptr_array_add(w->report->warnings, g_strdup(err->message));
    }
}

/* The end */

/* Answer as a destination that has failed does: the guest stays at the
 * source. */
static void decline_guest(Walk *w)
{
    if (w->report->ferry) {
        return_path_put_reason(w->rp, NOT_TAKEN);
    }
    return_path_put_shut(w->rp, 1);
    stream_flush(w->rp, NULL);
}

/* The first error is the one to be told. */
static void keep_ram(Walk *w)
{
    g_autoptr(GError) err = NULL;

    if (!inspect_ram_keep(w->ram, &err)) {
        g_ptr_array_add(w->report->warnings, g_strdup(err->message));
    }
}

/* Did the stream itself end the reading, and not, for example, a full disk? */
static bool is_of_stream(const GError *err)
{
    return err->domain == MIG_ERROR && err->code != MIG_ERROR_OPTION;
}

bool inspect_stream(Input *input, const InspectConfig *config,
                    InspectReport *report, GError **errp)
{
    const ReaderConfig reader = {
        .max_ram = RAM_MAX,
        .may_lack_footers = true,
        .may_lack_configuration = true,
    };
    Walk w = {
        .config = config,
        .report = report,
        .input = input,
        .channel = input_channel(input),
        .stream = input_stream(input),
        .package_end = UINT64_MAX,
        .begun = g_array_new(FALSE, FALSE, sizeof(uint32_t)),
    };
    GError *err = NULL;
    bool ok;

    w.reader = reader_new(w.stream, &reader);
    ok = walk(&w, &err);
    inspect_ram_stop(w.ram);
    report->complete = ok;
    if (ok) {
        ok = convert(&w, &err);
        report->complete = ok;
    } else if (is_of_stream(err)) {
        convert_parts(&w);
    }
    if (err) {
        if (g_error_matches(err, MIG_ERROR, MIG_ERROR_UNSUPPORTED)) {
            g_prefix_error(&err, "before byte %" G_GUINT64_FORMAT
                           " of the stream: ", stream_position(w.stream));
        }
        if (w.ram && !report->ram_ended && is_of_stream(err)) {
            keep_ram(&w);
        }
        g_propagate_error(errp, err);
    }
    report->bytes = stream_position(w.stream);
    if (w.rp) {
        decline_guest(&w);
    }
    side_channels_free(w.side);
    if (ok && config->keep) {
        *config->keep = w.ram;
    } else {
        inspect_ram_free(w.ram);
    }
    reader_free(w.reader);
    g_array_unref(w.begun);
    stream_free(w.rp);
    return ok;
}
