/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The documents describe every codec, in the words of its row: docs/options.md
 * and ferry-relay's page in the order of the rows.  docs/stream.md has what is
 * on the wire.
 */
#include <string.h>

#include "migration/pack/codec.h"

static char *read_doc(const char *name)
{
    g_autofree char *path = g_build_filename(DOCS, name, NULL);
    g_autoptr(GError) err = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, &err);
    g_assert_no_error(err);
    return text;
}

static void expect(const char *name, const char *text)
{
    g_autofree char *doc = read_doc(name);

    if (!strstr(doc, text)) {
        g_error("docs/%s does not have\n%s", name, text);
    }
}

static void test_options(void)
{
    GString *table = g_string_new("## Methods\n\n| `compress-method` | what it "
                                  "is for | what `compress-level` means |\n"
                                  "|---|---|---|\n");

    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);

        g_string_append_printf(table, "| `%s` | %s | %s |\n", codec->name,
                               codec->help, codec->levels);
    }
    g_string_append_c(table, '\n'); /* and no more */
    expect("options.md", table->str);
    g_string_free(table, TRUE);
}

static void test_relay_page(void)
{
    GString *list = g_string_new(".Bl -tag -width Ds\n");

    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);

        g_string_append_printf(list, ".It Cm %s\n%s\n", codec->name,
                               codec->help);
    }
    g_string_append(list, ".El\n");
    expect("man/ferry-relay.1", list->str);
    g_string_free(list, TRUE);
}

/* What the n bytes of a batch are, and which feature announces them. */
static void test_stream(void)
{
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);
        g_autofree char *batch = g_strdup_printf("\n| `%s` | ", codec->name);
        g_autofree char *upper = g_ascii_strup(codec->name, -1);
        g_autofree char *feature = g_strdup_printf(
            "\n| 0x%04x | %s | reads batches by %s |\n", codec->feature, upper,
            codec->name);

        if (codec->batch_pages > 1) {
            expect("stream.md", batch);
            expect("stream.md", feature);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/codec-docs/options", test_options);
    g_test_add_func("/codec-docs/relay-page", test_relay_page);
    g_test_add_func("/codec-docs/stream", test_stream);
    return g_test_run();
}
