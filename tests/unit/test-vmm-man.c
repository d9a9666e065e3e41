/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * docs/man/ferry-vm.1: it has the options that -help has, which are those of
 * the table, in the same order and with the same values, and is well-formed.
 */
#include <string.h>

#include "vmm/vm-args.h"

/* The lines of text that begin with prefix, each without it. */
static GStrv lines_after(const char *text, const char *prefix)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    char **line;

    for (line = lines; *line; line++) {
        if (g_str_has_prefix(*line, prefix)) {
            g_ptr_array_add(found, g_strdup(*line + strlen(prefix)));
        }
    }
    g_ptr_array_add(found, NULL);
    return (GStrv)g_ptr_array_steal(found, NULL);
}

/* What the page says of an option: "smp Ar N". */
static char *without_macro(const char *item)
{
    g_auto(GStrv) parts = g_strsplit(item, " Ar ", 2);

    return g_strjoinv(" ", parts);
}

static void test_options(void)
{
    g_autofree char *help = vm_args_help();
    g_autofree char *page = NULL;
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) in_help = lines_after(help, "-");
    g_auto(GStrv) in_page = NULL;
    unsigned i;

    g_assert_true(g_file_get_contents(MAN_PAGE, &page, NULL, &err));
    in_page = lines_after(page, ".It Fl ");
    g_assert_cmpuint(g_strv_length(in_help), >, 10);
    for (i = 0; in_help[i] && in_page[i]; i++) {
        g_autofree char *item = without_macro(in_page[i]);

        g_assert_cmpstr(item, ==, in_help[i]);
    }
    g_assert_cmpstr(in_help[i], ==, NULL);
    g_assert_cmpstr(in_page[i], ==, NULL);
}

/* The formatter that is installed must print no warning. */
static void test_form(void)
{
    const char *mandoc[] = { "mandoc", "-Tlint", "-Wwarning", MAN_PAGE, NULL };
    const char *groff[] = { "groff", "-ww", "-z", "-mandoc", MAN_PAGE, NULL };
    const char **argv = mandoc;
    g_autofree char *program = g_find_program_in_path("mandoc");
    g_autofree char *output = NULL, *errors = NULL;
    g_autoptr(GError) err = NULL;
    int status;

    if (!program) {
        argv = groff;
        program = g_find_program_in_path("groff");
    }
    if (!program) {
        g_test_skip("neither mandoc nor groff is installed");
        return;
    }
    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                               G_SPAWN_SEARCH_PATH, NULL, NULL, &output,
                               &errors, &status, &err));
    g_assert_cmpstr(output, ==, "");
    g_assert_cmpstr(errors, ==, "");
    g_assert_true(g_spawn_check_wait_status(status, &err));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/man/options", test_options);
    g_test_add_func("/man/form", test_form);
    return g_test_run();
}
