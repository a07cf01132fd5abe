#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after the above */
#include <cmocka.h>

#include "base/secret.h"
#include "base/secret_same.h"

/* Whether /proc/self/smaps has the flag in the VmFlags of the mapping that has `address`. */
static bool has_flag(const void *address, const char *flag)
{
    char line[512];
    bool is_here = false, has = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            is_here = (uintptr_t)address >= from && (uintptr_t)address < to;
        if (is_here && strncmp(line, "VmFlags:", 8) == 0) has = strstr(line, flag) != NULL;
    }
    fclose(f);
    return has;
}

static void secrets_keep_their_text(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static const char *copies[COUNT];
    char text[32];
    struct secret_store *s = secret_store_new();
    for (int i = 0; i < COUNT; i++) {
        int len = snprintf(text, sizeof(text), "secret %d", i);
        copies[i] = secret_copy(s, (struct slice){ text, (size_t)len });
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof(text), "secret %d", i);
        assert_string_equal(copies[i], text);
    }
    assert_string_equal(secret_copy(s, SLICE_NONE), "");
    secret_store_free(s);
}

static void a_secret_larger_than_a_page_has_room(void **state)
{
    (void)state;
    enum { LEN = 100000 };
    char *text = malloc(LEN);
    assert_non_null(text);
    memset(text, 'x', LEN);
    struct secret_store *s = secret_store_new();
    const char *copy = secret_copy(s, (struct slice){ text, LEN });
    assert_memory_equal(copy, text, LEN);
    assert_int_equal(copy[LEN], 0);
    secret_store_free(s);
    free(text);
}

static void cores_are_without_secrets_until_they_are_to_be_shown(void **state)
{
    (void)state;
    struct secret_store *s = secret_store_new();
    const char *copy = secret_copy(s, SLICE("key"));
    assert_true(has_flag(copy, " dd"));
    secret_store_show(s);
    assert_false(has_flag(copy, " dd"));
    secret_store_free(s);
    secret_store_free(NULL);
}

static void what_is_shown_is_the_secret_as_a_whole_or_not_at_all(void **state)
{
    (void)state;
    assert_true(secret_is_same(SLICE("abc"), SLICE("abc")));
    assert_false(secret_is_same(SLICE("abc"), SLICE("ab")));
    assert_false(secret_is_same(SLICE("abc"), SLICE("abcabc")));
    assert_false(secret_is_same(SLICE("abc"), SLICE("abd")));
    assert_false(secret_is_same(SLICE("abc"), SLICE("Abc")));
    assert_false(secret_is_same(SLICE("abc"), SLICE_NONE));
    assert_true(secret_is_same((struct slice){ "a\0\xff", 3 }, (struct slice){ "a\0\xff", 3 }));
    assert_false(secret_is_same((struct slice){ "a\0\xff", 3 }, (struct slice){ "a\0\xfe", 3 }));
    /* One that was never set is nobody's. */
    assert_false(secret_is_same(SLICE(""), SLICE("")));
    assert_false(secret_is_same(SLICE_NONE, SLICE_NONE));
    assert_false(secret_is_same(SLICE(""), SLICE("abc")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_keep_their_text),
        cmocka_unit_test(a_secret_larger_than_a_page_has_room),
        cmocka_unit_test(cores_are_without_secrets_until_they_are_to_be_shown),
        cmocka_unit_test(what_is_shown_is_the_secret_as_a_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
