/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Up to the END of ram the stream is read item by item, by the reader that the
 * destination uses.  What comes behind RAM has no lengths, and is
 * inspect-tail.c's.
 *
 * Iterable sections that are not ram have no length either.  If one, or a
 * device, comes before RAM has ended, it hides what is behind it, so it is
 * named and refused.
 */
#include "tools/inspect/streams/inspect-stream.h"

#include <string.h>

#include "tools/inspect/streams/inspect-ram.h"
#include "tools/inspect/streams/inspect-tail.h"
#include "migration/pack/codec.h"
#include "migration/pack/pack.h"
#include "migration/wire/names.h"
#include "migration/wire/reader.h"
#include "migration/wire/return-message.h"
#include "migration/wire/wire.h"

#define RAM_MAX      (UINT64_C(1) << 44) /* 16 TiB */
#define COMMANDS_MAX (1u << 16)
#define NOT_TAKEN "ferry-inspect looks at a guest and does not run it"

typedef struct Walk {
    const InspectConfig *config;
    InspectReport *report;
    IoChannel *channel; /* the input's, */
    Stream *stream;     /* and its stream */
    Stream *rp;      /* answers to the source; NULL: nobody listens */
    Reader *reader;
    InspectRam *ram; /* NULL: not begun */
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

static bool check_capability(const char *name, GError **errp)
{
    g_autofree char *shown = NULL;

    if (!strcmp(name, WIRE_CAP_IGNORE_SHARED)) {
        return true;
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
        if (!check_capability(p->capability[i], errp)) {
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

static bool run_command(Walk *w, Command *command, GError **errp)
{
    g_autofree char *name = NULL;

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
    case WIRE_CMD_POSTCOPY_ADVISE:
    case WIRE_CMD_SWITCHOVER_START:
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

static bool refuse_section(const SectionHeader *section, const char *what,
                           GError **errp)
{
    g_autofree char *shown = g_strescape(section->name, NULL);

    return unsupported(errp, "%s '%s', instance %u, version %u: it has no "
                       "length and hides what is behind it", what, shown,
                       section->instance, section->version);
}

static bool walk_ram_start(Walk *w, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    if (!item->is_ram || section->instance != WIRE_RAM_INSTANCE) {
        return refuse_section(section, "iterable section", errp);
    }
    if (section->version != WIRE_RAM_VERSION) {
        return unsupported(errp, "version %u of the ram section",
                           section->version);
    }
    if (w->ram) {
        stream_bad(w->stream, errp, "a second START of the ram section");
        return false;
    }
    return true;
}

static bool walk_blocks(Walk *w, Item *item, GError **errp)
{
    w->ram = inspect_ram_new(w->stream, w->config, w->report,
                             g_steal_pointer(&item->blocks), errp);
    return w->ram != NULL;
}

static bool begin_section(Walk *w, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    switch (section->type) {
    case WIRE_START:
        return walk_ram_start(w, item, errp);
    case WIRE_FULL:
        return refuse_section(section, "before RAM has ended, device", errp);
    default:
        break;
    }
    if (!item->is_ram) {
        stream_bad(w->stream, errp, "section %u, which has not begun",
                   section->id);
        return false;
    }
    return inspect_ram_begin(w->ram, section->type, item->position, errp);
}

static void end_section(Walk *w, const SectionHeader *section)
{
    if (section->type != WIRE_START) {
        inspect_ram_end(w->ram);
    }
}

static bool walk_item(Walk *w, Item *item, GError **errp)
{
    switch (item->type) {
    case ITEM_PREAMBLE:
        return walk_preamble(w, &item->preamble, errp);
    case ITEM_COMMAND:
        return walk_command(w, item, errp);
    case ITEM_SECTION:
        return begin_section(w, item, errp);
    case ITEM_BLOCKS:
        return walk_blocks(w, item, errp);
    case ITEM_RECORD:
        return inspect_ram_record(w->ram, item, errp);
    case ITEM_FOOTER:
        end_section(w, &item->section);
        return true;
    case ITEM_EOF:
    case ITEM_DESCRIPTION:
        break;
    }
    stream_bad(w->stream, errp, "the end before RAM has ended");
    return false;
}

static bool walk(Walk *w, GError **errp)
{
    while (!w->report->ram_ended) {
        Item *item = reader_next(w->reader, errp);

        if (!item || !walk_item(w, item, errp)) {
            return false;
        }
    }
    return inspect_ram_finish(w->ram, errp) &&
           inspect_tail(w->stream, w->config, w->report, errp);
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

bool inspect_stream(Input *input, const InspectConfig *config,
                    InspectReport *report, GError **errp)
{
    const ReaderConfig reader = { .max_ram = RAM_MAX };
    Walk w = {
        .config = config,
        .report = report,
        .channel = input_channel(input),
        .stream = input_stream(input),
    };
    GError *err = NULL;
    bool ok;

    w.reader = reader_new(w.stream, &reader);
    ok = walk(&w, &err);
    inspect_ram_stop(w.ram);
    if (err) {
        if (g_error_matches(err, MIG_ERROR, MIG_ERROR_UNSUPPORTED)) {
            g_prefix_error(&err, "before byte %" G_GUINT64_FORMAT
                           " of the stream: ", stream_position(w.stream));
        }
        g_propagate_error(errp, err);
    }
    report->complete = ok;
    report->bytes = stream_position(w.stream);
    if (w.rp) {
        decline_guest(&w);
    }
    inspect_ram_free(w.ram);
    reader_free(w.reader);
    stream_free(w.rp);
    return ok;
}
