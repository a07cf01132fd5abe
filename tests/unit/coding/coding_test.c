/* What clients say of the codings that they take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coding/coding.h"

static const uint32_t all[] = { CODING_ZSTD, CODING_BR, CODING_GZIP };

/* Field lines are parted by a line's end. */
static struct coding_wishes wishes_of(const char *lines)
{
    struct coding_wishes w = { 0 };
    while (lines) {
        const char *end = strchr(lines, '\n');
        coding_wishes_add(&w, (struct slice){ lines, end ? (size_t)(end - lines) : strlen(lines) });
        lines = end ? end + 1 : NULL;
    }
    return w;
}

static void the_best_that_both_have_is_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum coding chosen;
    } cases[] = {
        { "gzip", CODING_GZIP },
        { "x-gzip", CODING_GZIP },
        { "GZIP", CODING_GZIP },
        { "gzip, deflate, br", CODING_BR },
        { "gzip, deflate, br, zstd", CODING_ZSTD },
        { "gzip\nzstd", CODING_ZSTD },
        { " , ,gzip ,, ", CODING_GZIP },
        { "deflate", CODING_IDENTITY },
        { "", CODING_IDENTITY },
        { "*", CODING_ZSTD },
        { "*;q=0", CODING_IDENTITY },
        { "*;q=0, gzip", CODING_GZIP },
        { "zstd;q=0, *", CODING_BR },
        { "gzip;q=1, *;q=0.5", CODING_GZIP },
        { "zstd;q=0.5, br;q=0.8, gzip;q=0.8", CODING_BR },
        { "zstd;q=0.501, br;q=0.5", CODING_ZSTD },
        { "gzip;q=0", CODING_IDENTITY },
        { "gzip;q=0.000", CODING_IDENTITY },
        { "gzip;q=0.001", CODING_GZIP },
        { "gzip;Q=0.5", CODING_GZIP },
        { "gzip \t; \tq=0.5\t", CODING_GZIP },
        { "gzip;q=1.000", CODING_GZIP },
        { "gzip;q=1.", CODING_GZIP },
        /* who would rather have it as it is */
        { "gzip;q=0.5, identity", CODING_IDENTITY },
        { "gzip;q=0.5, identity;q=0.5", CODING_GZIP },
        { "identity;q=1, *;q=0.5", CODING_IDENTITY },
        { "identity;q=0, gzip;q=0.1", CODING_GZIP },
        { "identity;q=0", CODING_IDENTITY },
        /* what cannot be read is not acceptable */
        { "gzip;q=1.001", CODING_IDENTITY },
        { "gzip;q=2", CODING_IDENTITY },
        { "gzip;q=0.5555", CODING_IDENTITY },
        { "gzip;q=", CODING_IDENTITY },
        { "gzip;q", CODING_IDENTITY },
        { "gzip;", CODING_IDENTITY },
        { "gzip;q=.5", CODING_IDENTITY },
        { "gzip;q=-1", CODING_IDENTITY },
        { "gzip;q=0,5", CODING_IDENTITY },
        { "gzip;level=9", CODING_IDENTITY },
        { "gzip;q=1;q=0", CODING_IDENTITY },
        { "gzip q=1", CODING_IDENTITY },
        { "gzipp", CODING_IDENTITY },
        { "gzi", CODING_IDENTITY },
        /* said twice: what it says less of */
        { "gzip, gzip;q=0", CODING_IDENTITY },
        { "gzip;q=0\ngzip", CODING_IDENTITY },
        { "*, *;q=0", CODING_IDENTITY },
        { "x-gzip;q=0, gzip", CODING_IDENTITY },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct coding_wishes w = wishes_of(cases[i].accept);
        enum coding chosen = coding_choose(&w, all, 3);
        if (chosen != cases[i].chosen)
            fail_msg("\"%s\": %s, not %s", cases[i].accept, coding_name(chosen),
                     coding_name(cases[i].chosen));
    }
}

static void the_order_decides_among_equals(void **state)
{
    (void)state;
    static const uint32_t other[] = { CODING_GZIP, CODING_ZSTD };
    struct coding_wishes w = wishes_of("zstd, gzip, br");
    assert_int_equal(coding_choose(&w, other, 2), CODING_GZIP);
    w = wishes_of("zstd, gzip;q=0.9, br");
    assert_int_equal(coding_choose(&w, other, 2), CODING_ZSTD);
    assert_int_equal(coding_choose(&w, other, 0), CODING_IDENTITY);
}

static void identity_can_be_refused(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool is_refused;
    } cases[] = { { "gzip", false },       { "", false },           { "identity;q=0", true },
                  { "*;q=0, gzip", true }, { "*;q=0.1", false },    { "*;q=0, identity;q=0.1", false },
                  { "identity", false },   { "identity;q=x", true } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct coding_wishes w = wishes_of(cases[i].accept);
        assert_true(w.is_given);
        if ((coding_weight(&w, CODING_IDENTITY) == 0) != cases[i].is_refused)
            fail_msg("\"%s\"", cases[i].accept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_that_both_have_is_chosen),
        cmocka_unit_test(the_order_decides_among_equals),
        cmocka_unit_test(identity_can_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
