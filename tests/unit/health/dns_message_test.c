#include "health/dns_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_question_is_as_it_is_written_in_the_standard(void **state)
{
    (void)state;
    static const unsigned char wanted[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                                          "\x03www\x07"
                                          "example\x03org\x00\x00\x1c\x00\x01";
    static const char *const names[] = { "www.example.org", "www.example.org." };
    for (size_t i = 0; i < 2; i++) {
        unsigned char out[DNS_QUESTION_MAX];
        const struct dns_question q = { 0x1234, 28, names[i] };
        assert_int_equal(dns_question_write(&q, out), sizeof(wanted) - 1);
        assert_memory_equal(out, wanted, sizeof(wanted) - 1);
    }
    unsigned char out[DNS_QUESTION_MAX];
    const struct dns_question root = { 0, 2, "." };
    assert_int_equal(dns_question_write(&root, out), DNS_HEAD_BYTES + 1 + 4);
}

static void the_longest_name_fits(void **state)
{
    (void)state;
    char name[255] = { 0 };
    unsigned char out[DNS_QUESTION_MAX];
    memset(name, 'a', 254);
    /* Three labels of 63 letters, and one of 61: with a length before each, and the root's, 255. */
    name[63] = name[127] = name[191] = name[253] = '.';
    assert_null(dns_name_fault(name));
    const struct dns_question q = { 1, 1, name };
    assert_int_equal(dns_question_write(&q, out), DNS_QUESTION_MAX);
    name[253] = 'a';
    assert_non_null(strstr(dns_name_fault(name), "255 bytes"));
}

static void names_that_cannot_be_asked_for_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "..", ".a", "a..b", "a b", "a\\.b", "b\xc3\xbc" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) assert_non_null(dns_name_fault(bad[i]));
    static const char *const good[] = { ".", "a", "a.", "_dns.example.org", "1.0.0.127.in-addr.arpa" };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) assert_null(dns_name_fault(good[i]));
    char label[66];
    memset(label, 'a', 64);
    label[64] = 0;
    assert_non_null(strstr(dns_name_fault(label), "63 bytes"));
    label[63] = 0;
    assert_null(dns_name_fault(label));
}

static const struct dns_question asked = { 0x1234, 1, "Example.org" };

/* The question, made an answer, with what the row says of it. */
static const char *read_changed(size_t at, unsigned char value, size_t len, struct dns_answer *out)
{
    unsigned char message[DNS_QUESTION_MAX];
    size_t whole = dns_question_write(&asked, message);
    message[2] |= 0x80;
    message[at] = value;
    unsigned char *copy = malloc(whole); /* what reads on is seen */
    assert_non_null(copy);
    if (len > whole) len = whole;
    memcpy(copy, message, len);
    copy = realloc(copy, len ? len : 1);
    assert_non_null(copy);
    const char *fault = dns_answer_read(&asked, (struct slice){ (char *)copy, len }, out);
    free(copy);
    return fault;
}

static void an_answer_is_known_by_id_and_question(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        unsigned char value;
        size_t len;
        const char *fault; /* NULL: it is the answer */
        uint8_t rcode;
    } rows[] = {
        { 0, 0x12, 99, NULL, 0 },
        { 3, 0x83, 99, NULL, 3 },
        { 3, 0x8f, 99, NULL, 15 },
        { 2, 0x87, 99, NULL, 0 }, /* it is cut short */
        { 13, 'e', 99, NULL, 0 }, /* in another case */
        { 0, 0x13, 99, "its id is not the question's", 0 },
        { 1, 0x35, 99, "its id is not the question's", 0 },
        { 2, 0x01, 99, "it is a question itself", 0 },
        { 2, 0xa8, 99, "it answers another kind of request", 0 },
        { 5, 0, 99, "it is of another question", 0 },
        { 5, 2, 99, "it is of another question", 0 },
        { 4, 1, 99, "it is of another question", 0 },
        { 12, 6, 99, "it is of another question", 0 },
        { 14, 'Y', 99, "it is of another question", 0 },
        { 12, 0xc0, 99, "it is of another question", 0 }, /* a pointer to itself */
        { 26, 28, 99, "it is of another question", 0 },
        { 28, 3, 99, "it is of another question", 0 },
        { 0, 0x12, 0, "it is too short for a message of DNS", 0 },
        { 0, 0x12, 11, "it is too short for a message of DNS", 0 },
        { 0, 0x12, 12, "it is of another question", 0 },
        { 0, 0x12, 28, "it is of another question", 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct dns_answer a;
        const char *fault = read_changed(rows[i].at, rows[i].value, rows[i].len, &a);
        if ((fault == NULL) != (rows[i].fault == NULL) || (fault && strcmp(fault, rows[i].fault) != 0))
            fail_msg("row %zu: %s", i, fault ? fault : "it is taken");
        if (!fault) assert_int_equal(a.rcode, rows[i].rcode);
        if (!fault) assert_int_equal(a.is_truncated, rows[i].at == 2);
    }
}

static void who_cannot_read_the_question_need_not_repeat_it(void **state)
{
    (void)state;
    for (unsigned rcode = 0; rcode < 16; rcode++) {
        struct dns_answer a;
        const char head[] = { 0x12, 0x34, (char)0x81, (char)(0x80 | rcode), 0, 0, 0, 0, 0, 0, 0, 0 };
        const char *fault = dns_answer_read(&asked, (struct slice){ head, sizeof(head) }, &a);
        assert_int_equal(fault == NULL, rcode == 1 || rcode == 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_as_it_is_written_in_the_standard),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(names_that_cannot_be_asked_for_are_refused),
        cmocka_unit_test(an_answer_is_known_by_id_and_question),
        cmocka_unit_test(who_cannot_read_the_question_need_not_repeat_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
