#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/target.h"

/* What was read as one text: "a|b|?name=value|…", or the error. */
static const char *read_as(const char *text)
{
    static char out[4096];
    struct target t;
    struct err err;
    size_t len = strlen(text);
    char *memory = malloc(len + 1); /* exactly what is asked for: the sanitizer watches */
    assert_non_null(memory);
    size_t used = 0;
    out[0] = 0;
    if (target_read(&t, (struct slice){ text, len }, memory, &err) < 0) {
        snprintf(out, sizeof(out), "%s", err.text);
        free(memory);
        return out;
    }
    for (uint32_t i = 0; i < t.segment_count; i++) {
        assert_int_equal(t.segments[i].data[t.segments[i].len], 0);
        used += (size_t)snprintf(out + used, sizeof(out) - used, "%s|", t.segments[i].data);
    }
    for (uint32_t i = 0; i < t.pair_count; i++)
        used += (size_t)snprintf(out + used, sizeof(out) - used, "?%s=%s|", t.pairs[i].name.data,
                                 t.pairs[i].value.data);
    free(memory);
    return out;
}

static void paths_and_queries_are_taken_apart_and_decoded(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "/", "" },
        { "/?", "" },
        { "/?a=b", "?a=b|" },
        { "/a", "a|" },
        { "/a/b", "a|b|" },
        { "/a/", "a||" },
        { "//", "||" },
        { "/a%2Fb/c", "a/b|c|" },
        { "/unix:%2frun%2Fx", "unix:/run/x|" },
        { "/a+b?c+d=e+f%2B", "a+b|?c d=e f+|" },
        { "/a?b", "a|?b=|" },
        { "/a?b=", "a|?b=|" },
        { "/a?=b", "a|?=b|" },
        { "/a?&&b=c&", "a|?b=c|" },
        { "/a?b=c=d/e?f", "a|?b=c=d/e?f|" },
        { "/%C3%A4", "\xc3\xa4|" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(read_as(cases[i][0]), cases[i][1]);
}

static void what_cannot_be_a_target_is_refused_with_a_sentence(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "", "the target must begin with /" },
        { "*", "the target must begin with /" },
        { "a/b", "the target must begin with /" },
        { "/%", "a % in the target is not followed by two hexadecimal digits; write %25" },
        { "/%4", "a % in the target is not followed by two hexadecimal digits; write %25" },
        { "/a%4g", "a % in the target is not followed by two hexadecimal digits; write %25" },
        { "/?a=%g0", "a % in the target is not followed by two hexadecimal digits; write %25" },
        { "/%00", "%00 is a control byte, which no name here has" },
        { "/a%0Ab", "%0A is a control byte, which no name here has" },
        { "/?a=%7f", "%7F is a control byte, which no name here has" },
        { "/%ff", "the target's escapes do not decode to UTF-8" },
        { "/%c3", "the target's escapes do not decode to UTF-8" },
        { "/%c0%af", "the target's escapes do not decode to UTF-8" },
        { "/%ed%a0%80", "the target's escapes do not decode to UTF-8" },
        { "/a b", "the byte %20 must be escaped in the target" },
        { "/\xc3\xa4", "the byte %C3 must be escaped in the target" },
        { "/a#b", "the byte %23 must be escaped in the target" },
        { "/?a=\"", "the byte %22 must be escaped in the target" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(read_as(cases[i][0]), cases[i][1]);
}

static void a_zero_byte_ends_nothing(void **state)
{
    (void)state;
    struct target t;
    struct err err;
    char memory[16];
    assert_int_equal(target_read(&t, (struct slice){ "/a\0b", 4 }, memory, &err), -1);
    assert_string_equal(err.text, "the byte %00 must be escaped in the target");
    assert_int_equal(target_read(&t, (struct slice){ "/a?\0", 4 }, memory, &err), -1);
}

static void segments_and_parameters_are_bounded(void **state)
{
    (void)state;
    char text[256] = "";
    for (int i = 0; i < 16; i++) strcat(text, "/a");
    assert_string_equal(read_as(text), "a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|");
    strcat(text, "/a");
    assert_string_equal(read_as(text), "the path has more than 16 parts");
    strcpy(text, "/?");
    for (int i = 0; i < 33; i++) strcat(text, "a&");
    assert_string_equal(read_as(text), "the query has more than 32 parameters");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_and_queries_are_taken_apart_and_decoded),
        cmocka_unit_test(what_cannot_be_a_target_is_refused_with_a_sentence),
        cmocka_unit_test(a_zero_byte_ends_nothing),
        cmocka_unit_test(segments_and_parameters_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
