#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "net/srv_answer.h"

/* A head with one question and `answers` answers, and the question: _h._tcp.a.test, SRV, IN; the name is at 12, "a.test" at 20. */
#define QUESTION(answers)                   \
    "\0\1\x81\x80\0\1\0" answers "\0\0\0\0" \
    "\2_h\4_tcp\1a\4test\0\0\x21\0\1"
#define ASKED "\xc0\x0c"
#define SRV "\0\x21\0\1"
#define BYTES(text) (const unsigned char *)(text), sizeof(text) - 1

static struct srv_answer answer;

static void assert_target(uint32_t n, unsigned priority, unsigned weight, unsigned port, const char *name)
{
    assert_true(n < answer.count);
    assert_int_equal(answer.targets[n].priority, priority);
    assert_int_equal(answer.targets[n].weight, weight);
    assert_int_equal(answer.targets[n].port, port);
    assert_string_equal(answer.targets[n].name, name);
}

static const char two[] = QUESTION("\2") ASKED SRV "\0\0\0\x3c\0\x0a\0\1\0\5\x1f\x90\1x\xc0\x14" ASKED SRV
                                                   "\0\0\0\x0a\0\x0f\0\2\0\0\0\x50\1y\5other\0";

static void targets_are_read_with_the_shortest_ttl(void **state)
{
    (void)state;
    static const char one[] = QUESTION("\1") ASKED SRV "\0\0\0\x3c\0\x0a\0\1\0\5\x1f\x90\1x\xc0\x14";
    assert_true(srv_answer_read(BYTES(one), &answer));
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.ttl_s, 60);
    assert_target(0, 1, 5, 8080, "x.a.test");
    assert_true(srv_answer_read(BYTES(two), &answer));
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.ttl_s, 10);
    assert_target(0, 1, 5, 8080, "x.a.test");
    assert_target(1, 2, 0, 80, "y.other");
}

static void an_alias_counts_with_its_ttl_and_other_records_are_passed_over(void **state)
{
    (void)state;
    static const char text[] = QUESTION("\3") ASKED "\0\5\0\1\0\0\0\x07\0\2\xc0\x14" ASKED
                                                    "\0\x10\0\1\0\0\0\1\0\2\1t" ASKED SRV
                                                    "\0\0\0\x3c\0\x0a\0\1\0\5\x1f\x90\1x\xc0\x14";
    assert_true(srv_answer_read(BYTES(text), &answer));
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.ttl_s, 7);
}

static void a_service_that_is_decidedly_not_there_has_no_target(void **state)
{
    (void)state;
    static const char root[] = QUESTION("\1") ASKED SRV "\0\0\0\x3c\0\7\0\0\0\0\0\0\0";
    static const char none[] = QUESTION("\0");
    assert_true(srv_answer_read(BYTES(root), &answer));
    assert_int_equal(answer.count, 0);
    assert_true(srv_answer_read(BYTES(none), &answer));
    assert_int_equal(answer.count, 0);
    assert_int_equal(answer.ttl_s, 0);
}

/* As many as fit into the largest message: none is left out. */
static void all_targets_of_the_largest_answer_are_read(void **state)
{
    (void)state;
    static const char head[] = QUESTION("\0");
    static const char record[] = "\0" SRV "\0\0\0\x3c\0\x09\0\1\0\5\x1f\x90\1x";
    static unsigned char message[UINT16_MAX];
    size_t len = sizeof(head) - 1;
    uint16_t count = 0;
    memcpy(message, head, len);
    for (; len + sizeof(record) <= sizeof(message); count++) {
        memcpy(message + len, record, sizeof(record));
        len += sizeof(record);
    }
    message[6] = (unsigned char)(count >> 8);
    message[7] = (unsigned char)count;
    assert_true(srv_answer_read(message, len, &answer));
    assert_true(count > 3000);
    assert_int_equal(answer.count, count);
    assert_target(count - 1u, 1, 5, 8080, "x");
}

static void a_ttl_below_zero_is_none(void **state)
{
    (void)state;
    static const char text[] = QUESTION("\1") ASKED SRV "\xff\xff\xff\xff\0\x0a\0\1\0\5\x1f\x90\1x\xc0\x14";
    assert_true(srv_answer_read(BYTES(text), &answer));
    assert_int_equal(answer.ttl_s, 0);
    assert_int_equal(answer.count, 1);
}

static void what_is_cut_anywhere_is_no_answer(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(two) - 1; len++) {
        unsigned char *copy = malloc(len + 1); /* what reads on is seen by the sanitizer */
        assert_non_null(copy);
        memcpy(copy, two, len);
        unsigned char *exact = realloc(copy, len ? len : 1);
        assert_false(srv_answer_read(exact, len, &answer));
        free(exact);
    }
}

static void names_that_lead_in_circles_or_out_of_it_are_no_answer(void **state)
{
    (void)state;
    static const char circle[] = QUESTION("\1") ASKED SRV "\0\0\0\x3c\0\x08\0\1\0\5\x1f\x90\xc0\x32";
    static const char outside[] = QUESTION("\1") ASKED SRV "\0\0\0\x3c\0\x08\0\1\0\5\x1f\x90\xff\xff";
    static const char longer[] = QUESTION("\1") ASKED SRV "\0\0\0\x3c\0\x07\0\1\0\5\x1f\x90\1x\xc0\x14";
    static const char empty[] = QUESTION("\1") ASKED SRV "\0\0\0\x3c\0\0";
    assert_false(srv_answer_read(BYTES(circle), &answer));
    assert_false(srv_answer_read(BYTES(outside), &answer));
    assert_false(srv_answer_read(BYTES(longer), &answer));
    assert_false(srv_answer_read(BYTES(empty), &answer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_read_with_the_shortest_ttl),
        cmocka_unit_test(an_alias_counts_with_its_ttl_and_other_records_are_passed_over),
        cmocka_unit_test(a_service_that_is_decidedly_not_there_has_no_target),
        cmocka_unit_test(all_targets_of_the_largest_answer_are_read),
        cmocka_unit_test(a_ttl_below_zero_is_none),
        cmocka_unit_test(what_is_cut_anywhere_is_no_answer),
        cmocka_unit_test(names_that_lead_in_circles_or_out_of_it_are_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
