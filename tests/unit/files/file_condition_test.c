#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "files/file_condition.h"
#include "http/date.h"

#define MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

static struct http_field field_of(const char *name, const char *value)
{
    return (struct http_field){
        .name = name, .name_len = (uint16_t)strlen(name), .value = value, .value_len = (uint32_t)strlen(value)
    };
}

static struct http_head head_of(struct http_field *fields, uint32_t count)
{
    return (struct http_head){ .method = HTTP_GET, .fields = fields, .field_count = count };
}

static const struct file_state strong = { { "\"a,b\"", 5 }, MODIFIED, true },
                               weak = { { "W/\"a\"", 5 }, MODIFIED, false };

static void the_order_is_that_of_the_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *name[2], *value[2];
        enum file_verdict verdict;
    } cases[] = {
        { { "If-Match", "If-Unmodified-Since" },
          { "\"a,b\"", "Sun, 06 Nov 1994 08:49:36 GMT" },
          FILE_WANTED },
        { { "If-Match", "If-None-Match" }, { "\"x\"", "\"a,b\"" }, FILE_PRECONDITION_FAILED },
        { { "If-Match", "If-None-Match" }, { "*", "\"a,b\"" }, FILE_NOT_MODIFIED },
        { { "If-Match", "if-match" }, { "\"x\"", "\"a,b\"" }, FILE_WANTED },
        { { "If-Match", "X" }, { "W/\"a,b\"", "" }, FILE_PRECONDITION_FAILED },
        { { "If-None-Match", "If-Modified-Since" },
          { "\"x\"", "Sun, 06 Nov 1994 08:49:37 GMT" },
          FILE_WANTED },
        { { "If-None-Match", "X" }, { "W/\"a,b\"", "" }, FILE_NOT_MODIFIED },
        { { "If-None-Match", "X" }, { "", "" }, FILE_WANTED },
        { { "If-Modified-Since", "X" }, { "Sunday, 06-Nov-94 08:49:37 GMT", "" }, FILE_NOT_MODIFIED },
        { { "If-Modified-Since", "X" }, { "Sun Nov  6 08:49:36 1994", "" }, FILE_WANTED },
        { { "If-Unmodified-Since", "X" }, { "Sun, 06 Nov 1994 08:49:36 GMT", "" }, FILE_PRECONDITION_FAILED },
        { { "If-Unmodified-Since", "X" }, { "yesterday", "" }, FILE_WANTED },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct http_field fields[] = { field_of(cases[i].name[0], cases[i].value[0]),
                                       field_of(cases[i].name[1], cases[i].value[1]) };
        struct http_head head = head_of(fields, 2);
        if (file_condition(&head, &strong) != cases[i].verdict) fail_msg("case %zu", i);
    }
}

static void a_field_that_a_rule_took_out_says_nothing(void **state)
{
    (void)state;
    struct http_field f = field_of("If-None-Match", "*");
    struct http_head head = head_of(&f, 1);
    assert_int_equal(file_condition(&head, &strong), FILE_NOT_MODIFIED);
    f.is_dropped = true;
    assert_int_equal(file_condition(&head, &strong), FILE_WANTED);
}

static bool takes(const char *if_range, const struct file_state *s)
{
    struct http_field f = field_of("If-Range", if_range);
    struct http_head head = head_of(&f, 1);
    return file_condition_takes_range(&head, s);
}

static void a_part_is_given_of_what_is_the_same_for_certain(void **state)
{
    (void)state;
    struct http_head none = head_of(NULL, 0);
    assert_true(file_condition_takes_range(&none, &weak));
    assert_true(takes("\"a,b\"", &strong));
    assert_false(takes("\"a\"", &strong));
    assert_false(takes("W/\"a,b\"", &strong));
    assert_false(takes("W/\"a\"", &weak));
    assert_true(takes("Sun, 06 Nov 1994 08:49:37 GMT", &strong));
    assert_false(takes("Sun, 06 Nov 1994 08:49:37 GMT", &weak));
    assert_false(takes("Sun, 06 Nov 1994 08:49:38 GMT", &strong));
    assert_false(takes("", &strong));
}

static void dates_are_read_in_all_three_forms(void **state)
{
    (void)state;
    int64_t s;
    static const char *const forms[] = { "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                         "Sun Nov  6 08:49:37 1994", " Sun, 06 Nov 1994 08:49:37 GMT " };
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        assert_true(http_date_parse(slice_of(forms[i]), &s));
        assert_int_equal(s, MODIFIED);
    }
    static const char *const others[] = { "",
                                          "0",
                                          "Sun, 06 Nov 1994 08:49:37",
                                          "Sun, 06 Nov 1994 08:49:37 GMT+1",
                                          "Sun, 06 Nov 1994 25:49:37 GMT",
                                          "06 Nov 1994 08:49:37 GMT" };
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        assert_false(http_date_parse(slice_of(others[i]), &s));
    assert_false(http_date_parse(SLICE("Sun, 06 Nov 1994 08:49:37 GMT\0"), &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_that_of_the_rfc),
        cmocka_unit_test(a_field_that_a_rule_took_out_says_nothing),
        cmocka_unit_test(a_part_is_given_of_what_is_the_same_for_certain),
        cmocka_unit_test(dates_are_read_in_all_three_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
