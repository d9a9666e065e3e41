/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMP: what a line could go on with. */
#include <string.h>

#include "monitor/hmp.h"

static const struct {
    const char *text; /* up to the cursor */
    const char *word; /* its last word */
    const char *names;
} rows[] = {
    { "", "",
      "closefd cont getfd help info migrate migrate_cancel migrate_continue "
      "migrate_incoming migrate_pause migrate_set_capability "
      "migrate_set_parameter pmemsave quit stop" },
    { "mi", "mi",
      "migrate migrate_cancel migrate_continue migrate_incoming "
      "migrate_pause migrate_set_capability "
      "migrate_set_parameter" },
    { "  migrate-s", "migrate-s",
      "migrate_set_capability migrate_set_parameter" },
    { "quit", "quit", "quit" },
    { "foo", "foo", "" },
    { "foo ", "", "" },
    { "quit ", "", "" },
    { "info ", "",
      "migrate migrate_capabilities migrate_parameters name "
      "status version" },
    { "inf migrate-", "migrate-", "migrate_capabilities migrate_parameters" },
    { "info status ", "", "" },
    { "help st", "st", "stop" },
    { "help info na", "na", "name" },
    { "help stop ", "", "" },
    { "? info v", "v", "version" },
    { "migrate -", "-", "-d -b -i -r" },
    { "migrate -d", "-d", "-d" },
    { "migrate -d ", "", "" },
    { "migrate_set_capability ", "",
      "xbzrle auto-converge compress events return-path "
      "pause-before-switchover validate-uuid verify" },
    { "migrate_set_cap auto_c", "auto_c", "auto-converge" },
    { "migrate_set_capability compress ", "", "on off" },
    { "migrate_set_capability compress of", "of", "off" },
    { "migrate_set_capability compress on ", "", "" },
    { "migrate_set_parameter compress-", "compress-",
      "compress-history compress-level compress-method compress-threads "
      "compress-wait-thread" },
    { "migrate_set_parameter compress-wait-thread ", "", "on off" },
    { "migrate_set_parameter compress_level ", "", "" },
    { "migrate_set_parameter foo ", "", "" },
    { "migrate_continue ", "", "pre-switchover" },
    { "migrate_continue pre", "pre", "pre-switchover" },
    { "migrate_continue pre-switchover ", "", "" },
    { "migrate-set ", "", "" }, /* ambiguous */
};

static void test_rows(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        size_t start;
        g_autoptr(GPtrArray) names = hmp_complete(rows[i].text, &start);
        g_autofree char *list = NULL;

        g_ptr_array_add(names, NULL);
        list = g_strjoinv(" ", (char **)names->pdata);
        g_test_message("'%s'", rows[i].text);
        g_assert_cmpstr(list, ==, rows[i].names);
        g_assert_cmpstr(rows[i].text + start, ==, rows[i].word);
    }
}

/* Every offer for the first word can be run and has a help text. */
static void test_offers_are_commands(void)
{
    size_t start;
    g_autoptr(GPtrArray) names = hmp_complete("", &start);

    for (unsigned i = 0; i < names->len; i++) {
        const char *cursor = g_ptr_array_index(names, i);
        g_autoptr(GString) out = g_string_new(NULL);
        const Command *command = hmp_find(&command_table, &cursor, out);

        g_assert_nonnull(command);
        g_assert_nonnull(command->help);
        g_assert_cmpstr(command->hmp, ==, g_ptr_array_index(names, i));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hmp-complete/rows", test_rows);
    g_test_add_func("/hmp-complete/offers-are-commands",
                    test_offers_are_commands);
    return g_test_run();
}
