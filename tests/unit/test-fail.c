/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/fail.h: errors that quote errno. */
#include "util/fail.h"

#include <errno.h>
#include <gio/gio.h>

static void test_errno(void)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *wanted = g_strdup_printf("cannot read '%s': %s", "x",
                                              g_strerror(ENOENT));

    errno = ENOENT;
    g_assert_false(fail_errno(&err, "cannot read '%s'", "x"));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
    g_assert_cmpstr(err->message, ==, wanted);
}

static void test_nobody_asks(void)
{
    errno = ENOENT;
    g_assert_false(fail_errno(NULL, "cannot read"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fail/errno", test_errno);
    g_test_add_func("/fail/nobody-asks", test_nobody_asks);
    return g_test_run();
}
