/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP: where objects begin and end, and what becomes of broken ones. */
#include <string.h>

#include "tests/unit/test-monitor-fixture.h"

#define ASK       "{\"execute\": \"query-name\"}"
#define ANSWER    "{\"return\": {\"name\": \"bob\"}}"
#define TOO_DEEP  "JSON parse error, more than 64 levels of nesting"
#define TOO_LONG  "JSON parse error, more than 1 MiB"
#define NO_MATCH  "JSON parse error, brackets do not match"
#define NO_OBJECT "JSON parse error, expecting an object"

static void tear_down(Fixture *f, gconstpointer data)
{
    /* Nothing is left over from before, and the session lives. */
    client_expect_answer(f->client, "\n" ASK, ANSWER);
    g_assert_cmpstr(f->client->got->str, ==, "");
    fixture_tear_down(f, data);
}

static const char escapes[] =
    "{\"execute\": \"query-name\", \"id\": [\"}{\\\"]\\\\\", {\"[\": "
    "\"\\u00e9\"}]}";
static const char escapes_answer[] =
    "{\"return\": {\"name\": \"bob\"}, \"id\": [\"}{\\\"]\\\\\", {\"[\": "
    "\"\\u00e9\"}]}";

static void run_all_pending(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
        /* until nothing is left to do */
    }
}

static void test_split(Fixture *f, gconstpointer data)
{
    for (size_t at = 1; at < strlen(escapes); at++) {
        client_send_bytes(f->client, escapes, at);
        run_all_pending();
        g_assert_cmpstr(f->client->got->str, ==, "");
        client_expect_answer(f->client, escapes + at, escapes_answer);
    }
}

static void test_bytewise(Fixture *f, gconstpointer data)
{
    for (const char *p = escapes; *p; p++) {
        client_send_bytes(f->client, p, 1);
        run_all_pending();
    }
    client_expect_json(f->client, escapes_answer);
}

static void test_joined(Fixture *f, gconstpointer data)
{
    client_send(f->client, ASK ASK "\n" ASK "\r\n\t " ASK);
    for (int i = 0; i < 4; i++) {
        client_expect_json(f->client, ANSWER);
    }
}

static void test_pretty_printed(Fixture *f, gconstpointer data)
{
    client_expect_answer(f->client, "{\n  \"execute\":\r\n\t\"query-name\"\n}",
                         ANSWER);
}

static void test_broken(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *text, *desc;
    } rows[] = {
        { "{\"a\":]", NO_MATCH },
        { "{\"a\":] } trailing\n", NO_MATCH },
        { "[{]}\n", NO_MATCH },
        { "}", NO_OBJECT },
        { "abc }]\n", NO_OBJECT },
        { "\"str{\"", NO_OBJECT },
        { "5\n", NO_OBJECT },
        { "\xff\n", NO_OBJECT },
        { "{\"execute\": \"query-name}\n",
          "JSON parse error, a string does not end on its line" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        client_expect_error(f->client, rows[i].text, rows[i].desc);
        client_expect_answer(f->client, ASK, ANSWER);
    }
}

/* What is in a string of either kind neither opens nor closes anything. */
static void test_single_quotes(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *id, *same;
    } rows[] = {
        { "'x'", "\"x\"" },
        { "'}'", "\"}\"" },
        { "'{[\"'", "\"{[\\\"\"" },
        { "\"'{\"", "\"'{\"" },
        { "'it\\'s \\\"\\\\\\u00e4'", "\"it's \\\"\\\\\\u00e4\"" },
        { "\"it\\'s\"", "\"it's\"" },
        { "['\\\\', {'\"]': ''}]", "[\"\\\\\", {\"\\\"]\": \"\"}]" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *ask =
            g_strdup_printf("{'execute': 'query-name', 'id': %s}", rows[i].id);
        g_autofree char *answer = g_strdup_printf(
            "{\"return\": {\"name\": \"bob\"}, \"id\": %s}", rows[i].same);

        client_expect_answer(f->client, ask, answer);
        client_expect_answer(f->client, ASK, ANSWER);
    }
    client_expect_error(f->client, "'str{\"' " ASK, NO_OBJECT);
    client_expect_json(f->client, ANSWER);
    client_expect_error(f->client, "{'execute': 'query-name\"}\n",
                        "JSON parse error, a string does not end on its line");
}

/* More than JSON, which the parser would take for something else, or would
 * take and then could not say. */
static void test_words(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *id, *desc;
    } rows[] = {
        { "0x10", "invalid number '0x10'" },
        { "010", "invalid number '010'" },
        { "1.", "invalid number '1.'" },
        { "1.e5", "invalid number '1.e5'" },
        { "1e", "invalid number '1e'" },
        { "-", "invalid number '-'" },
        { "-x", "invalid number '-x'" },
        { "+1", "invalid keyword '+1'" },
        { ".5", "invalid keyword '.5'" },
        { "NaN", "invalid keyword 'NaN'" },
        { "True", "invalid keyword 'True'" },
        { "1e999", "number out of range '1e999'" },
        { "[-1e999]", "number out of range '-1e999'" },
        { "\"\\u0000\"", "a string cannot have the escape '\\u0000'" },
        { "'a\\u0000'", "a string cannot have the escape '\\u0000'" },
        { "\"\\ud83dx\"", "a string cannot have the escape '\\ud83d'" },
        { "\"\\ude00\"", "a string cannot have the escape '\\ude00'" },
        { "\"\\u12g4\"", "a string cannot have the escape '\\u12g4'" },
        { "\"\\x\"", "a string cannot have the escape '\\x'" },
        { "\"\t\"", "a string has a control character" },
        { "1 /* } */", "stray character 0x2f" },
        { "1 # }", "stray character 0x23" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *ask = g_strdup_printf(
            "{\"execute\": \"query-name\", \"id\": %s}\n", rows[i].id);
        g_autofree char *desc =
            g_strdup_printf("JSON parse error, %s", rows[i].desc);
        g_autofree char *rest = NULL;

        client_expect_error(f->client, ask, desc);
        client_send(f->client, "\n" ASK);
        rest = client_take(f->client, "\"name\":\"bob\"}}\r\n");
    }
}

/* An "id" is sent back as it was written, not as the parser reads it. */
static void test_ids(Fixture *f, gconstpointer data)
{
    static const char *const ids[] = {
        "9223372036854775807", "9223372036854775808", "18446744073709551615",
        "18446744073709551616", "-9223372036854775809", "1e300", "5E-324",
        "1e-400", "-0", "1.50", "null", "true", "\"18446744073709551615\"",
        "[18446744073709551615, {\"id\": 1, \"b\": [1e300]}]",
        "{\"id\": {\"id\": 18446744073709551615}, \"c\": []}",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autofree char *first = g_strdup_printf(
            "{\"id\": %s , \"execute\": \"query-name\"}", ids[i]);
        g_autofree char *last = g_strdup_printf(
            "{\"execute\": \"query-name\", '\\u0069d'\n:\n%s\n}", ids[i]);
        g_autofree char *answer = g_strdup_printf(
            "{\"return\":{\"name\":\"bob\"},\"id\":%s}\r\n", ids[i]);
        g_autofree char *one = NULL;
        g_autofree char *two = NULL;

        client_send(f->client, first);
        one = client_take(f->client, "\r\n");
        g_assert_cmpstr(one, ==, answer);
        client_send(f->client, last);
        two = client_take(f->client, "\r\n");
        g_assert_cmpstr(two, ==, answer);
    }
}

/* Lines end within, and another member has the name. */
static void test_no_ids(Fixture *f, gconstpointer data)
{
    client_expect_answer(f->client,
                         "{\"execute\": \"query-name\", \"arguments\": "
                         "{}, \"id\": [\n1,\r\n2 ]}",
                         "{\"return\": {\"name\": \"bob\"}, \"id\": "
                         "[1, 2]}");
    client_expect_error(f->client,
                        "{\"execute\": \"query-name\", \"arguments\": "
                        "{\"id\": 7}}",
                        "Parameter 'id' is unexpected");
}

/* What would take json-glib the square of the number. */
static void test_members(Fixture *f, gconstpointer data)
{
    g_autoptr(GString) ask = g_string_new("{\"execute\": \"query-name\"");

    for (unsigned i = 0; i < 60000; i++) {
        g_string_append_printf(ask, ",\"%u\":1", i);
    }
    for (unsigned i = 0; i < 30000; i++) {
        g_string_append(ask, ",\"59999\":1");
    }
    g_string_append(ask, "}");
    client_send_bytes(f->client, ask->str, ask->len);
    client_expect_error(f->client, "",
                        "JSON parse error, an object has more than 256 "
                        "members");
}

/* A NUL within, in a string or not. */
static void test_nul(Fixture *f, gconstpointer data)
{
    static const char outside[] = "{\"execute\": \0\"query-name\"}";
    static const char inside[] = "{\"execute\": \"query-\0name\"}";

    client_send_bytes(f->client, outside, sizeof(outside) - 1);
    client_expect_error(f->client, "",
                        "JSON parse error, stray character 0x00");
    client_send_bytes(f->client, inside, sizeof(inside) - 1);
    client_expect_error(f->client, "",
                        "JSON parse error, a string has a control character");
}

/* Framed well, but not JSON; the words are the parser's. */
static void test_not_json(Fixture *f, gconstpointer data)
{
    static const char *const texts[] = {
        "{\"execute\": }",
        "{\"execute\" \"query-name\"}",
        "{execute}",
        "{\"execute\": \"query-name\",}",
        "{\"execute\": \"query-\xffname\"}",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *line = NULL;

        client_send(f->client, texts[i]);
        line = client_take(f->client, "\r\n");
        g_assert_nonnull(strstr(line, "\"class\":\"GenericError\""));
        g_assert_nonnull(strstr(line, "\"desc\":\"JSON parse error, "));
        client_expect_answer(f->client, ASK, ANSWER);
    }
}

/* ASK with an "id" that is nested to make the whole depth levels deep. */
static char *nested(unsigned depth)
{
    g_autofree char *open = g_strnfill(depth - 1, '[');
    g_autofree char *close = g_strnfill(depth - 1, ']');

    return g_strdup_printf("{\"execute\": \"query-name\", \"id\": %s%s}", open,
                           close);
}

static void test_depth(Fixture *f, gconstpointer data)
{
    g_autofree char *good = nested(64);
    g_autofree char *bad = nested(65);
    g_autofree char *worse = nested(5000);
    g_autofree char *line = NULL;

    client_send(f->client, good);
    line = client_take(f->client, "\r\n");
    g_assert_nonnull(strstr(line, "{\"return\":{\"name\":\"bob\"}"));
    client_expect_error(f->client, bad, TOO_DEEP);
    client_expect_answer(f->client, ASK, ANSWER);
    client_expect_error(f->client, worse, TOO_DEEP);
    client_expect_answer(f->client, ASK, ANSWER);
}

static void test_open_brackets(Fixture *f, gconstpointer data)
{
    g_autofree char *open = g_strnfill(100000, '[');

    client_expect_error(f->client, open, TOO_DEEP);
    client_expect_answer(f->client, "\n" ASK, ANSWER);
}

/* A request for a command with a name, of that many bytes altogether. */
static char *sized(size_t size)
{
    g_autofree char *filler =
        g_strnfill(size - strlen("{\"execute\": \"\"}"), 'x');

    return g_strdup_printf("{\"execute\": \"%s\"}", filler);
}

static void test_size(Fixture *f, gconstpointer data)
{
    g_autofree char *good = sized(1 << 20);
    g_autofree char *bad = sized((1 << 20) + 1);
    g_autofree char *worse = sized(3 << 20);
    g_autofree char *line = NULL;

    client_send(f->client, good);
    line = client_take(f->client, "\r\n");
    g_assert_nonnull(strstr(line, "CommandNotFound"));
    client_expect_error(f->client, bad, TOO_LONG);
    client_expect_answer(f->client, ASK, ANSWER);
    client_expect_error(f->client, worse, TOO_LONG);
    client_expect_answer(f->client, ASK, ANSWER);
}

/* What is inside of something too large is not taken for a command. */
static void test_nothing_inside(Fixture *f, gconstpointer data)
{
    g_autofree char *filler = g_strnfill(1 << 20, ' ');
    g_autofree char *text =
        g_strdup_printf("[%s, {\"execute\": \"quit\"}, \"]{\\\"\"]", filler);

    client_expect_error(f->client, text, TOO_LONG);
    client_expect_answer(f->client, ASK, ANSWER);
    fixture_expect_calls(f, "");
}

static void test_duplicate_keys(Fixture *f, gconstpointer data)
{
    static const char *const texts[] = {
        "{\"execute\": \"stop\", \"execute\": \"query-name\"}",
        "{\"execute\": \"query-name\", \"id\": {\"a\": 1, \"a\": 1}}",
        "{\"execute\": \"query-name\", \"id\": [1, {\"a\": {}, \"a\": "
        "{\"b\": 1}}]}",
        "{\"execute\": \"migrate\", \"arguments\": {\"uri\": \"tcp:a:1\", "
        "\"uri\": \"tcp:b:1\"}}",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        client_expect_error(f->client, texts[i],
                            "JSON parse error, duplicate key");
    }
    fixture_expect_calls(f, "");
    client_expect_answer(f->client,
                         "{\"execute\": \"query-name\", \"id\": [{\"a\": 1}, "
                         "{\"a\": {\"a\": 2}}]}",
                         "{\"return\": {\"name\": \"bob\"}, \"id\": "
                         "[{\"a\": 1}, {\"a\": {\"a\": 2}}]}");
}

static void add(const char *path, FixtureTest *test)
{
    g_test_add(path, Fixture, NULL, fixture_set_up_qmp, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/qmp-framing/split", test_split);
    add("/qmp-framing/bytewise", test_bytewise);
    add("/qmp-framing/joined", test_joined);
    add("/qmp-framing/pretty-printed", test_pretty_printed);
    add("/qmp-framing/broken", test_broken);
    add("/qmp-framing/single-quotes", test_single_quotes);
    add("/qmp-framing/words", test_words);
    add("/qmp-framing/ids", test_ids);
    add("/qmp-framing/no-ids", test_no_ids);
    add("/qmp-framing/members", test_members);
    add("/qmp-framing/nul", test_nul);
    add("/qmp-framing/not-json", test_not_json);
    add("/qmp-framing/depth", test_depth);
    add("/qmp-framing/open-brackets", test_open_brackets);
    add("/qmp-framing/size", test_size);
    add("/qmp-framing/nothing-inside", test_nothing_inside);
    add("/qmp-framing/duplicate-keys", test_duplicate_keys);
    return g_test_run();
}
