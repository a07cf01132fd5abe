#include "health/text_search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static bool is_found(const char *wanted, const char *text, size_t piece)
{
    struct text_search t;
    bool is_there = false;
    size_t len = strlen(text);
    text_search_init(&t, slice_of(wanted));
    for (size_t at = 0; at < len; at += piece)
        is_there = text_search_feed(&t, (struct slice){ text + at, len - at < piece ? len - at : piece });
    return is_there;
}

static void a_text_is_found_however_the_bytes_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *wanted, *text;
        bool is_there;
    } rows[] = {
        { "ok", "it is ok", true },
        { "ok", "o k", false },
        { "ok", "", false },
        { "aab", "aaaaab", true },
        { "abab", "abaabab", true },
        { "abac", "ababab", false },
        { "\"up\"", "{\"s\":\"up\"}", true },
        { "aaaa", "aaabaaabaaa", false },
        { "x", "x", true },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        for (size_t piece = 1; piece <= 4; piece++)
            assert_int_equal(is_found(rows[i].wanted, rows[i].text, piece), rows[i].is_there);
}

/* Two letters only, so that texts nearly match all the time. */
static void it_finds_what_strstr_finds(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    for (int n = 0; n < 20000; n++) {
        char wanted[9] = "", text[33] = "";
        uint32_t wanted_len = 1 + rng_below(&rng, 8), len = rng_below(&rng, 32);
        for (uint32_t i = 0; i < wanted_len; i++) wanted[i] = (char)('a' + rng_below(&rng, 2));
        for (uint32_t i = 0; i < len; i++) text[i] = (char)('a' + rng_below(&rng, 2));
        bool is_there = strstr(text, wanted) != NULL;
        if (is_found(wanted, text, 1 + rng_below(&rng, 5)) != is_there) fail_msg("%s in %s", wanted, text);
    }
}

static void the_longest_text_is_found(void **state)
{
    (void)state;
    char wanted[TEXT_SEARCH_MAX + 1] = "", text[2 * TEXT_SEARCH_MAX + 2] = "";
    memset(wanted, 'a', TEXT_SEARCH_MAX);
    memset(text, 'a', TEXT_SEARCH_MAX - 1);
    assert_false(is_found(wanted, text, 7));
    text[TEXT_SEARCH_MAX - 1] = 'b';
    memset(text + TEXT_SEARCH_MAX, 'a', TEXT_SEARCH_MAX);
    assert_true(is_found(wanted, text, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_found_however_the_bytes_are_cut),
        cmocka_unit_test(it_finds_what_strstr_finds),
        cmocka_unit_test(the_longest_text_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
