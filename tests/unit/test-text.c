/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/text.h"

static void expect(const char *text, const char *shown)
{
    g_autofree char *printable = text_printable(text);

    g_assert_cmpstr(printable, ==, shown);
}

/* A peer cannot write to the terminal what it likes. */
static void test_control(void)
{
    expect("a\033[31m\r\nb\177", "a?[31m??b?");
    expect("\302\233A \302\237", "?A ?");
    expect("\342\200\256a\342\200\250b", "?a?b"); /* U+202E, U+2028 */
}

static void test_utf8(void)
{
    expect("", "");
    expect("\303\244 \342\202\254", "\303\244 \342\202\254");
    expect("\377a", "\357\277\275a");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text/control", test_control);
    g_test_add_func("/text/utf-8", test_utf8);
    return g_test_run();
}
