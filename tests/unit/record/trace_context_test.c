#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include "record/trace_context.h"
#include <cmocka.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static void what_was_parsed_is_printed_again(void **state)
{
    (void)state;
    struct trace_context c;
    char text[TRACE_PARENT_LEN + 1], id[TRACE_ID_TEXT + 1];
    assert_true(trace_context_parse(SLICE("00-" TRACE "-" SPAN "-01"), &c));
    assert_int_equal(c.flags, TRACE_SAMPLED);
    trace_context_print(&c, text);
    assert_string_equal(text, "00-" TRACE "-" SPAN "-01");
    trace_id_print(c.trace_id, TRACE_ID_BYTES, id);
    assert_string_equal(id, TRACE);
    assert_true(trace_context_parse(SLICE("00-" TRACE "-" SPAN "-00"), &c));
    assert_int_equal(c.flags, 0);
    /* Flags that nobody knows yet are not passed on as if we did (3.2.2.5.2). */
    assert_true(trace_context_parse(SLICE("00-" TRACE "-" SPAN "-ff"), &c));
    assert_int_equal(c.flags, TRACE_SAMPLED);
}

static void a_later_version_is_read_as_far_as_it_is_known(void **state)
{
    (void)state;
    struct trace_context c;
    assert_true(trace_context_parse(SLICE("01-" TRACE "-" SPAN "-01"), &c));
    assert_true(trace_context_parse(SLICE("cc-" TRACE "-" SPAN "-01-what-the-future-has"), &c));
    assert_false(trace_context_parse(SLICE("cc-" TRACE "-" SPAN "-01.what"), &c));
    assert_false(trace_context_parse(SLICE("ff-" TRACE "-" SPAN "-01"), &c));
}

static void anything_else_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-011",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-01-more",
        " 00-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-0x",
        "0-" TRACE "-" SPAN "-01 ",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
        "00-" TRACE "-B7AD6B7169203331-01",
        "00-zaf7651916cd43dd8448eb211c80319c-" SPAN "-01",
        ".0-" TRACE "-" SPAN "-01",
    };
    struct trace_context c;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (trace_context_parse(slice_of(bad[i]), &c)) fail_msg("%s", bad[i]);
    assert_false(trace_context_parse(SLICE_NONE, &c));
}

/* Every byte counts: none of the 256 others in its place makes the same of it. */
static void no_byte_of_it_is_passed_over(void **state)
{
    (void)state;
    static const char good[] = "00-" TRACE "-" SPAN "-01";
    struct trace_context wanted, c;
    assert_true(trace_context_parse(SLICE(good), &wanted));
    for (size_t at = 3; at < TRACE_PARENT_LEN - 2; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[sizeof(good)];
            memcpy(text, good, sizeof(good));
            if ((unsigned char)text[at] == byte) continue;
            text[at] = (char)byte;
            memset(&c, 0, sizeof(c));
            if (trace_context_parse((struct slice){ text, TRACE_PARENT_LEN }, &c))
                assert_memory_not_equal(&c, &wanted, sizeof(c));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_parsed_is_printed_again),
        cmocka_unit_test(a_later_version_is_read_as_far_as_it_is_known),
        cmocka_unit_test(anything_else_is_none),
        cmocka_unit_test(no_byte_of_it_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
