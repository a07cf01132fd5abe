#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdlib.h>
#include <cmocka.h>

#include "admin/answer.h"

/* The body as a string: it is not terminated itself. */
static const char *body_of(const struct answer *a)
{
    static char text[4096];
    assert_true(a->body_len < sizeof(text));
    memcpy(text, a->body, a->body_len);
    text[a->body_len] = 0;
    return text;
}

static void a_problem_has_a_sentence_that_is_escaped(void **state)
{
    (void)state;
    struct answer a = { 0 };
    answer_problem(&a, 404, "There is no pool \"%s\".", "a\nb");
    assert_int_equal(a.status, 404);
    assert_string_equal(a.content_type, "application/problem+json");
    assert_int_equal(a.body[a.body_len - 1], '\n');
    a.body[a.body_len - 1] = 0;
    assert_string_equal(body_of(&a),
                        "{\n  \"type\": \"about:blank\",\n  \"title\": \"Not Found\",\n  \"status\": 404,\n"
                        "  \"detail\": \"There is no pool \\\"a\\nb\\\".\"\n}");
    answer_fini(&a);
}

static void an_error_becomes_a_whole_sentence(void **state)
{
    (void)state;
    struct answer a = { 0 };
    struct err err;
    err_set(&err, "limit is wrong");
    answer_error(&a, 400, &err);
    assert_non_null(strstr(body_of(&a), "\"detail\": \"Limit is wrong.\""));
    err_set(&err, "did you mean it?");
    answer_error(&a, 400, &err);
    assert_non_null(strstr(body_of(&a), "\"detail\": \"Did you mean it?\""));
    answer_fini(&a);
}

static void every_fault_of_a_body_is_told_with_its_place(void **state)
{
    (void)state;
    static struct conf_faults faults;
    struct conf_tree tree;
    struct answer a = { 0 };
    assert_int_equal(conf_read_json(&tree, "request body", SLICE("{\"a\": 1,\n \"a\": 2}"), &faults), -1);
    answer_faults(&a, &faults, &tree);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(body_of(&a), "\"detail\": \"request body:2:2: "));
    assert_non_null(strstr(body_of(&a), "\"line\": 2"));
    assert_non_null(strstr(body_of(&a), "\"column\": 2"));
    conf_tree_free(&tree);
    answer_fini(&a);
}

static void an_answer_that_grows_too_large_becomes_a_problem(void **state)
{
    (void)state;
    struct answer a = { 0 };
    struct json j;
    json_init(&j, 8, true);
    json_object(&j);
    json_key(&j, "more than eight bytes");
    json_null(&j);
    json_object_end(&j);
    answer_json(&a, 200, &j);
    assert_int_equal(a.status, 500);
    assert_string_equal(a.content_type, "application/problem+json");
    answer_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_has_a_sentence_that_is_escaped),
        cmocka_unit_test(an_error_becomes_a_whole_sentence),
        cmocka_unit_test(every_fault_of_a_body_is_told_with_its_place),
        cmocka_unit_test(an_answer_that_grows_too_large_becomes_a_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
