/* Frames as bytes: their heads, what may stand where, and settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "http/h2_frame.h"

static void a_head_is_written_and_read_alike(void **state)
{
    (void)state;
    char bytes[H2_FRAME_HEAD];
    struct h2_frame f = {
        .len = 0x012345, .type = H2_HEADERS, .flags = H2_END_HEADERS, .stream = 0x7abcdef1
    };
    h2_frame_write(bytes, &f);
    struct h2_frame got = h2_frame_read(bytes);
    assert_int_equal(got.len, f.len);
    assert_int_equal(got.type, f.type);
    assert_int_equal(got.flags, f.flags);
    assert_int_equal(got.stream, f.stream);
}

static void the_reserved_bit_is_ignored(void **state)
{
    (void)state;
    struct h2_frame got = h2_frame_read("\0\0\0\0\0\x80\0\0\5");
    assert_int_equal(got.stream, 5);
}

static void what_may_not_come_is_named(void **state)
{
    (void)state;
    static const struct {
        struct h2_frame frame;
        enum h2_error error; /* H2_NO_ERROR: it may */
    } cases[] = {
        { { 16384, H2_DATA, 0, 1 }, H2_NO_ERROR },
        { { 16385, H2_DATA, 0, 1 }, H2_FRAME_SIZE_ERROR },
        { { 1, H2_DATA, 0, 0 }, H2_PROTOCOL_ERROR },
        { { 1, H2_HEADERS, 0, 0 }, H2_PROTOCOL_ERROR },
        { { 4, H2_RST_STREAM, 0, 1 }, H2_NO_ERROR },
        { { 3, H2_RST_STREAM, 0, 1 }, H2_FRAME_SIZE_ERROR },
        { { 4, H2_RST_STREAM, 0, 0 }, H2_PROTOCOL_ERROR },
        { { 12, H2_SETTINGS, 0, 0 }, H2_NO_ERROR },
        { { 5, H2_SETTINGS, 0, 0 }, H2_FRAME_SIZE_ERROR },
        { { 6, H2_SETTINGS, H2_ACK, 0 }, H2_FRAME_SIZE_ERROR },
        { { 0, H2_SETTINGS, 0, 1 }, H2_PROTOCOL_ERROR },
        { { 0, H2_PUSH_PROMISE, 0, 1 }, H2_PROTOCOL_ERROR },
        { { 8, H2_PING, 0, 0 }, H2_NO_ERROR },
        { { 7, H2_PING, 0, 0 }, H2_FRAME_SIZE_ERROR },
        { { 8, H2_PING, 0, 1 }, H2_PROTOCOL_ERROR },
        { { 7, H2_GOAWAY, 0, 0 }, H2_FRAME_SIZE_ERROR },
        { { 4, H2_WINDOW_UPDATE, 0, 0 }, H2_NO_ERROR },
        { { 5, H2_WINDOW_UPDATE, 0, 3 }, H2_FRAME_SIZE_ERROR },
        { { 0, H2_CONTINUATION, 0, 0 }, H2_PROTOCOL_ERROR },
        { { 100, 0xee, 0xff, 0 }, H2_NO_ERROR }, /* 5.5 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct h2_fault fault = { .error = H2_NO_ERROR };
        assert_int_equal(h2_frame_check(&cases[i].frame, &fault), cases[i].error == H2_NO_ERROR);
        assert_int_equal(fault.error, cases[i].error);
    }
}

static void padding_and_priority_are_no_content(void **state)
{
    (void)state;
    struct h2_content c;
    struct h2_frame f = { 9, H2_HEADERS, H2_PADDED | H2_HAS_PRIORITY, 3 };
    assert_true(h2_frame_content(&f, (struct slice){ "\2\x80\0\0\1\x10x\0\0", 9 }, &c));
    assert_true(slice_equal(c.bytes, SLICE("x")));
    assert_int_equal(c.depends_on, 1);
    assert_false(h2_frame_content(&f, (struct slice){ "\3\x80\0\0\1\x10x\0\0", 8 }, &c));
    assert_false(h2_frame_content(&f, (struct slice){ "\0\0\0", 3 }, &c));
    f.flags = H2_PADDED;
    assert_false(h2_frame_content(&f, SLICE_NONE, &c));
    assert_true(h2_frame_content(&f, (struct slice){ "\0", 1 }, &c));
    assert_int_equal(c.bytes.len, 0);
}

static void settings_change_what_they_name(void **state)
{
    (void)state;
    struct h2_settings s = H2_SETTINGS_FIRST;
    struct h2_fault fault;
    assert_true(
        h2_settings_read(&s, (struct slice){ "\0\4\0\0\0\1\0\1\0\0\0\0\xff\xff\1\2\3\4", 18 }, &fault));
    assert_int_equal(s.window, 1);
    assert_int_equal(s.header_table_bytes, 0);
    assert_true(s.is_push_enabled);
    assert_false(s.allows_tunnels);
}

static void what_is_said_of_tunnels_is_not_taken_back(void **state)
{
    (void)state;
    struct h2_settings s = H2_SETTINGS_FIRST;
    struct h2_fault fault;
    assert_true(h2_settings_read(&s, (struct slice){ "\0\x8\0\0\0\0\0\x8\0\0\0\1", 12 }, &fault));
    assert_true(s.allows_tunnels);
    assert_false(h2_settings_read(&s, (struct slice){ "\0\x8\0\0\0\0", 6 }, &fault)); /* RFC 8441 3 */
    assert_int_equal(fault.error, H2_PROTOCOL_ERROR);
}

static void settings_that_may_not_be_are_named(void **state)
{
    (void)state;
    static const struct {
        const char bytes[7];
        enum h2_error error;
    } cases[] = {
        { "\0\2\0\0\0\2", H2_PROTOCOL_ERROR },     { "\0\4\x80\0\0\0", H2_FLOW_CONTROL_ERROR },
        { "\0\5\0\0\x3f\xff", H2_PROTOCOL_ERROR }, { "\0\5\1\0\0\0", H2_PROTOCOL_ERROR },
        { "\0\x8\0\0\0\2", H2_PROTOCOL_ERROR },    { "\0\x9\0\0\0\2", H2_PROTOCOL_ERROR },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct h2_settings s = H2_SETTINGS_FIRST;
        struct h2_fault fault;
        assert_false(h2_settings_read(&s, (struct slice){ cases[i].bytes, 6 }, &fault));
        assert_int_equal(fault.error, cases[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_written_and_read_alike),
        cmocka_unit_test(the_reserved_bit_is_ignored),
        cmocka_unit_test(what_may_not_come_is_named),
        cmocka_unit_test(padding_and_priority_are_no_content),
        cmocka_unit_test(settings_change_what_they_name),
        cmocka_unit_test(what_is_said_of_tunnels_is_not_taken_back),
        cmocka_unit_test(settings_that_may_not_be_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
