/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Completion of HMP lines: finds in the command table what could stand at the
 * cursor.  Blanks divide words.  Words in quotes are not completed.
 */
#include <string.h>

#include "monitor/commands.h"
#include "monitor/hmp.h"

typedef struct Completion {
    char **words;      /* before the one to be completed */
    unsigned count;    /* of words */
    const char *start; /* the beginning of the word to be completed */
    GPtrArray *found;
} Completion;

static void offer(Completion *c, const char *text)
{
    if (shape_name_begins(text, c->start)) {
        g_ptr_array_add(c->found, g_strdup(text));
    }
}

static void offer_commands(Completion *c)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    command_list_hmp(&command_table, "", names);
    for (unsigned i = 0; i < names->len; i++) {
        offer(c, g_ptr_array_index(names, i));
    }
}

static void offer_items(Completion *c)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    command_list_hmp(&command_table, "info ", names);
    for (unsigned i = 0; i < names->len; i++) {
        offer(c, (const char *)g_ptr_array_index(names, i) + strlen("info "));
    }
}

static void offer_switch(Completion *c)
{
    offer(c, "on");
    offer(c, "off");
}

static void offer_setting(Completion *c, const char *parameter)
{
    const MigOption *option = mig_option_find(parameter, false, NULL);

    if (option && option->kind == MIG_KIND_BOOL) {
        offer_switch(c);
    } else if (option && option->kind == MIG_KIND_ENUM) {
        for (unsigned i = 0; option->names[i]; i++) {
            offer(c, option->names[i]);
        }
    }
}

static void offer_flags(Completion *c, const Command *command)
{
    for (const Member *arg = command->args; arg->name; arg++) {
        char flag[] = { '-', arg->name[0], '\0' };

        if (arg->kind == KIND_FLAG) {
            offer(c, flag);
        }
    }
}

/* The argument that the word to be completed is for, or the end of the list. */
static const Member *next_arg(const Completion *c, const Command *command)
{
    const Member *arg = command->args;
    unsigned taken = 0;

    for (unsigned i = 1; i < c->count; i++) {
        taken += c->words[i][0] != '-';
    }
    while (arg->name && (arg->kind == KIND_FLAG || taken > 0)) {
        taken -= arg->kind != KIND_FLAG;
        arg++;
    }
    return arg;
}

static void offer_arg(Completion *c, const Command *command)
{
    const Member *arg = next_arg(c, command);

    if (c->start[0] == '-') {
        offer_flags(c, command);
    } else if (arg->kind == KIND_BOOL) {
        offer_switch(c);
    } else if (arg->kind == KIND_SETTING) {
        offer_setting(c, c->words[c->count - 1]);
    } else if (command->run == cmd_migrate_continue && arg->name) {
        /* A migration waits in this state only. */
        offer(c, mig_state_name(MIG_STATE_PRE_SWITCHOVER));
    } else if (arg->kind == KIND_ENUM) {
        for (unsigned i = 0; arg->value(i); i++) {
            offer(c, arg->value(i));
        }
    }
}

static const Command *first_command(const Completion *c)
{
    g_autoptr(GPtrArray) ignored = g_ptr_array_new();

    return c->count
               ? command_find_hmp(&command_table, c->words[0], ignored)
               : NULL;
}

/* Offer topics of help. */
static void offer_topics(Completion *c)
{
    const Command *command;

    c->words++;
    c->count--;
    command = first_command(c);
    if (c->count == 0) {
        offer_commands(c);
    } else if (c->count == 1 && command && command->has_items) {
        offer_items(c);
    }
}

static void offer_all(Completion *c)
{
    const Command *command = first_command(c);

    if (c->count == 0) {
        offer_commands(c);
    } else if (!command) {
        return;
    } else if (command->run == cmd_help) {
        offer_topics(c);
    } else if (!command->has_items) {
        offer_arg(c, command);
    } else if (c->count == 1) {
        offer_items(c);
    }
}

/* The words of text.  The last one may be "". */
static GPtrArray *split(const char *text)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    const char *p = text;

    for (;;) {
        size_t length;

        p += strspn(p, " \t");
        length = strcspn(p, " \t");
        g_ptr_array_add(words, g_strndup(p, length));
        p += length;
        if (!*p) {
            return words;
        }
    }
}

GPtrArray *hmp_complete(const char *text, size_t *start)
{
    g_autoptr(GPtrArray) words = split(text);
    const char *last = g_ptr_array_index(words, words->len - 1);
    Completion c = {
        .words = (char **)words->pdata,
        .count = words->len - 1,
        .start = last,
        .found = g_ptr_array_new_with_free_func(g_free),
    };

    offer_all(&c);
    *start = strlen(text) - strlen(last);
    return c.found;
}
