#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after the above */
#include <cmocka.h>

#include "admin/pprof.h"
#include "admin/routes.h"

/* The answer to a body that ends where its memory ends, as text. */
static char *ask_symbols(const char *body)
{
    struct answer out = { 0 };
    size_t len = strlen(body);
    char *bare = malloc(len ? len : 1);
    assert_non_null(bare);
    memcpy(bare, body, len);
    struct admin_request rq = { .body = { bare, len } };
    pprof_symbol_post(&rq, &out);
    assert_int_equal(out.status, 200);
    char *text = malloc(out.body_len + 1);
    assert_non_null(text);
    memcpy(text, out.body, out.body_len);
    text[out.body_len] = 0;
    answer_fini(&out);
    free(bare);
    return text;
}

static void an_address_that_ends_with_the_body_is_read_to_there(void **state)
{
    (void)state;
    char body[128], wanted[128];
    uintptr_t here = (uintptr_t)pprof_fault;
    snprintf(body, sizeof(body), "0x%lx", (unsigned long)here);
    snprintf(wanted, sizeof(wanted), "num_symbols: 1\n0x%lx pprof_fault\n", (unsigned long)here);
    char *text = ask_symbols(body);
    assert_string_equal(text, wanted);
    free(text);
    snprintf(body, sizeof(body), "0x1+%lu\r\n", (unsigned long)here);
    text = ask_symbols(body);
    assert_string_equal(text, wanted);
    free(text);
}

static void what_is_no_address_has_no_name(void **state)
{
    (void)state;
    static const char *const bodies[] = { "",       "+",  "++++", "0x", "x", "-1", "0x1ffffffffffffffff",
                                          "\n \r+", "nan" };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        char *text = ask_symbols(bodies[i]);
        assert_string_equal(text, "num_symbols: 1\n");
        free(text);
    }
}

static void a_window_is_plain_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *seconds, *hz;
        bool is_read;
        uint64_t ms;
    } cases[] = {
        { NULL, NULL, true, 30000 },   { "5", "100", true, 5000 }, { "0.5", NULL, true, 500 },
        { "600", NULL, true, 600000 }, { "601", NULL, false, 0 },  { "0", NULL, false, 0 },
        { "nan", NULL, false, 0 },     { "inf", NULL, false, 0 },  { "0x5", NULL, false, 0 },
        { "+5", NULL, false, 0 },      { " 5", NULL, false, 0 },   { "5", "-1", false, 0 },
        { "5", "0", false, 0 },        { "5", " 99", false, 0 },   { "5", "18446744073709551617", false, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct answer out = { 0 };
        struct profiler_request what = { 0 };
        struct admin_request rq = { .query = { slice_of(cases[i].seconds), slice_of(cases[i].hz) } };
        assert_int_equal(pprof_read_window(&rq, 30, &what, &out), cases[i].is_read);
        if (cases[i].is_read)
            assert_true(what.duration_ms == cases[i].ms);
        else
            assert_int_equal(out.status, 400);
        answer_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_that_ends_with_the_body_is_read_to_there),
        cmocka_unit_test(what_is_no_address_has_no_name),
        cmocka_unit_test(a_window_is_plain_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
