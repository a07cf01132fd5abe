#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include "record/mention.h"
#include <cmocka.h>

#define LONGEST "0123456789012345678901234567890123456789"

static void a_request_is_named_by_its_id_and_its_trace(void **state)
{
    (void)state;
    char out[MENTION_MAX];
    uint8_t trace[TRACE_ID_BYTES] = { 0x0a, 0xf7, 0x65, [15] = 0x9c };
    struct flight_record r;
    flight_init(&r);
    flight_set_request_id(&r, SLICE("my-id.7"));
    assert_string_equal(mention_print(&r, NULL, out), " request_id=my-id.7");
    assert_string_equal(mention_print(&r, trace, out),
                        " request_id=my-id.7 trace_id=0af7650000000000000000000000009c");
}

static void the_longest_ids_have_room(void **state)
{
    (void)state;
    char out[MENTION_MAX];
    uint8_t trace[TRACE_ID_BYTES];
    struct flight_record r;
    memset(trace, 0xff, sizeof(trace));
    flight_init(&r);
    flight_set_request_id(&r, SLICE(LONGEST));
    mention_print(&r, trace, out);
    assert_int_equal(strlen(out),
                     strlen(" request_id= trace_id=") + FLIGHT_REQUEST_ID_MAX + 2 * TRACE_ID_BYTES);
}

static void a_tcp_connection_is_named_by_its_record(void **state)
{
    (void)state;
    char out[MENTION_MAX];
    struct flight_record r;
    flight_init(&r);
    r.id = 0xabc;
    assert_string_equal(mention_print(&r, NULL, out), " id=0000000000000abc");
}

static void of_what_has_no_ids_nothing_is_said(void **state)
{
    (void)state;
    char out[MENTION_MAX] = "x";
    assert_string_equal(mention_print_texts(SLICE_NONE, SLICE_NONE, out), "");
    assert_string_equal(mention_print_texts(SLICE_NONE, SLICE("ab"), out), " trace_id=ab");
    assert_string_equal(mention_print_texts(SLICE("ab"), SLICE_NONE, out), " request_id=ab");
}

static void an_id_of_a_clients_is_plain_and_not_too_long(void **state)
{
    (void)state;
    assert_true(flight_is_request_id(SLICE("aZ09-_.")));
    assert_false(flight_is_request_id(SLICE("")));
    assert_false(flight_is_request_id(SLICE("a b")));
    assert_false(flight_is_request_id(SLICE("a\"b")));
    assert_false(flight_is_request_id(SLICE("a=b")));
    assert_false(flight_is_request_id(SLICE("a\nb")));
    assert_false(flight_is_request_id(SLICE(LONGEST)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_named_by_its_id_and_its_trace),
        cmocka_unit_test(the_longest_ids_have_room),
        cmocka_unit_test(a_tcp_connection_is_named_by_its_record),
        cmocka_unit_test(of_what_has_no_ids_nothing_is_said),
        cmocka_unit_test(an_id_of_a_clients_is_plain_and_not_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
