/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/inspect-inputs.h"

#include <stdio.h>

#include "tools/inspect/streams/preempt-channel.h"
#include "tools/inspect/streams/side-channels.h"

static bool is_socket(const IoUri *uri)
{
    return uri->kind == IO_URI_TCP || uri->kind == IO_URI_UNIX;
}

/* A folder that people have instead of a file. */
static bool is_cloud_hypervisor(const IoUri *uri)
{
    g_autofree char *state = NULL, *memory = NULL;

    if (uri->kind != IO_URI_FILE) {
        return false;
    }
    state = g_build_filename(uri->path, "state.json", NULL);
    memory = g_build_filename(uri->path, "memory-ranges", NULL);
    return g_file_test(state, G_FILE_TEST_EXISTS) &&
           g_file_test(memory, G_FILE_TEST_EXISTS);
}

static IoChannel *open_channel(const IoUri *uri, GError **errp)
{
    IoListener *listener;
    IoChannel *channel;

    if (is_cloud_hypervisor(uri)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "a snapshot of Cloud Hypervisor, which is not supported");
        return NULL;
    }
    listener = io_listener_new(uri, errp);
    if (!listener) {
        return NULL;
    }
    if (is_socket(uri)) {
        fprintf(stderr, "ferry-inspect: waiting at %s\n",
                io_listener_address(listener));
    }
    channel = io_listener_accept(listener, NULL, errp);
    io_listener_free(listener);
    return channel;
}

static Input *new_input(const InspectOperand *operand, const char *snapshot,
                        GError **errp)
{
    IoChannel *channel = open_channel(operand->uri, errp);

    return channel ? input_new(channel, snapshot) : NULL;
}

Input *inputs_open_one(const InspectOperand *operand, const char *snapshot,
                       GError **errp)
{
    Input *input = new_input(operand, snapshot, errp);

    if (input && !input_open(input, errp)) {
        input_free(input);
        return NULL;
    }
    return input;
}

/* One that cannot be read stays, because it has containers to be shown. */
static bool open_one(Inputs *inputs, unsigned i, const InspectArgs *args,
                     GError **errp)
{
    const InspectOperand *operand =
        &g_array_index(args->operands, InspectOperand, i);
    const GPtrArray *names = args->snapshots;
    const char *snapshot = names->len ? names->pdata[names->len - 1] : NULL;

    inputs->input[i] = new_input(operand, snapshot, errp);
    return inputs->input[i] && input_open(inputs->input[i], errp);
}

typedef enum {
    KIND_MAIN, /* or no channel at all */
    KIND_SIDE,
    KIND_PREEMPT,
} Kind;

static bool find_kind(const Input *input, Kind *kind, GError **errp)
{
    const uint8_t *head;
    size_t size;

    *kind = KIND_MAIN;
    if (!input_has_stream(input)) {
        return true;
    }
    /* A source that runs may wait for an answer behind its first bytes. */
    head = stream_peek_some(input_stream(input), sizeof(uint32_t), &size,
                            errp);
    if (head && side_channels_begins(head, size)) {
        *kind = KIND_SIDE;
    } else if (head && !preempt_channel_may_begin(head, size)) {
        return true;
    } else if (head) {
        head = stream_peek_some(input_stream(input), PREEMPT_HEAD, &size,
                                errp);
        if (head && preempt_channel_begins(head, size)) {
            *kind = KIND_PREEMPT;
        }
    }
    return head != NULL;
}

static bool fail(GError **errp, const char *text)
{
    g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_OPTION, text);
    return false;
}

/* Open the next one, and see what it is.  main is set to one that cannot be
 * opened: that is to be shown. */
static bool add_input(Inputs *inputs, unsigned i, const InspectArgs *args,
                      unsigned *mains, GError **errp)
{
    unsigned found = inputs->main;
    Kind kind;

    inputs->main = i;
    if (!open_one(inputs, i, args, errp) ||
        !find_kind(inputs->input[i], &kind, errp)) {
        return false;
    }
    if (kind == KIND_MAIN) {
        return ++*mains == 1 ||
               fail(errp, "one stream can be inspected at a time, with the "
                    "side channels of its multifd");
    }
    if (kind == KIND_SIDE) {
        inputs->side[inputs->sides++] = inputs->input[i];
    } else if (!inputs->preempt) {
        inputs->preempt = inputs->input[i];
    } else {
        return fail(errp, "a second channel of postcopy-preempt");
    }
    inputs->main = *mains ? found : i;
    return true;
}

bool inputs_open(Inputs *inputs, const InspectArgs *args, GError **errp)
{
    unsigned mains = 0;

    *inputs = (Inputs){ .count = args->operands->len };
    inputs->input = g_new0(Input *, inputs->count);
    inputs->side = g_new0(Input *, inputs->count);
    for (unsigned i = 0; i < inputs->count; i++) {
        if (!add_input(inputs, i, args, &mains, errp)) {
            return false;
        }
    }
    return mains > 0 ||
           fail(errp, "a side channel: give the file of the main channel, "
                "too");
}

void inputs_close(Inputs *inputs)
{
    for (unsigned i = 0; i < inputs->count; i++) {
        input_free(inputs->input[i]);
    }
    g_free(inputs->input);
    g_free(inputs->side);
}
