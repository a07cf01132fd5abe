#include "auth/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HASH "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define OTHER "$y$j75$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01"

static void each_user_has_the_hash_of_its_line(void **state)
{
    (void)state;
    struct err err = { "" };
    struct users *u = users_parse(
        "f", SLICE("# who\n\nbob:" HASH "\r\n alice:" OTHER ":more:fields\ncarol:" HASH), &err);
    bool is_known;
    if (!u) fail_msg("%s", err.text);
    assert_int_equal(users_count(u), 3);
    assert_string_equal(users_hash(u, SLICE("bob"), 1, &is_known), HASH);
    assert_true(is_known);
    assert_string_equal(users_hash(u, SLICE("alice"), 1, &is_known), OTHER);
    assert_true(is_known);
    users_hash(u, SLICE("Bob"), 1, &is_known);
    assert_false(is_known);
    users_free(u);
    users_free(NULL);
}

/* Who asks for names learns from the time it takes nothing that the same question does not tell again. */
static void an_unknown_name_has_somebodys_hash_and_always_the_same(void **state)
{
    (void)state;
    struct err err;
    struct users *u = users_parse("f", SLICE("a:" HASH "\nb:" OTHER "\n"), &err);
    bool is_known, has_hash = false, has_other = false;
    for (int i = 0; i < 64; i++) {
        char name[16];
        snprintf(name, sizeof(name), "user%d", i);
        const char *first = users_hash(u, slice_of(name), 7, &is_known);
        assert_false(is_known);
        assert_ptr_equal(first, users_hash(u, slice_of(name), 7, &is_known));
        has_hash |= strcmp(first, HASH) == 0;
        has_other |= strcmp(first, OTHER) == 0;
    }
    assert_true(has_hash && has_other);
    users_free(u);
}

static void a_mistake_is_told_with_its_place_and_never_with_the_hash(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "", "has no user" },
        { "# nobody\n", "has no user" },
        { "a:" HASH "\nbob\n", "f:2: " },
        { "bob:secret\n", "f:1: user \"bob\": this is a password in the clear" },
        { "a:" HASH "\n\nb:$apr1$x$y\n", "f:3: user \"b\": MD5" },
        { ":" HASH "\n", "f:1: the name before the colon is empty" },
        { "bob :" HASH "\n", "f:1: a user's name has no blank" },
        { "b\tob:" HASH "\n", "f:1: a user's name cannot have a control character" },
        { "bob:" HASH "\na:" HASH "\nbob:" OTHER "\n",
          "f:3: user \"bob\" is there twice, in line 1 as well" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = { "" };
        assert_null(users_parse("f", slice_of(cases[i].text), &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].text, err.text);
        assert_null(strstr(err.text, "secret"));
        assert_null(strstr(err.text, "$2y$"));
    }
}

static void a_name_has_a_bound(void **state)
{
    (void)state;
    char text[400];
    for (int len = 254; len <= 257; len++) {
        struct err err;
        memset(text, 'x', (size_t)len);
        snprintf(text + len, sizeof(text) - (size_t)len, ":%s\n", HASH);
        struct users *u = users_parse("f", slice_of(text), &err);
        assert_int_equal(u != NULL, len <= 255);
        users_free(u);
    }
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct err err;
    assert_null(users_read("/nowhere/users", &err));
    assert_non_null(strstr(err.text, "/nowhere/users"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_user_has_the_hash_of_its_line),
        cmocka_unit_test(an_unknown_name_has_somebodys_hash_and_always_the_same),
        cmocka_unit_test(a_mistake_is_told_with_its_place_and_never_with_the_hash),
        cmocka_unit_test(a_name_has_a_bound),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
