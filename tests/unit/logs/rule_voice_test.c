#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "logs/rule_voice.h"

static void a_flood_is_some_lines_and_a_sum(void **state)
{
    (void)state;
    enum { HITS = 324000, SECONDS = 9 };
    struct rule_voice v = { 0 };
    uint64_t lines = 0, held[RULE_OUTCOMES] = { 0 };
    for (uint64_t i = 0; i < HITS; i++) {
        uint64_t now_ns = NS_PER_S + i * SECONDS * NS_PER_S / HITS;
        enum rule_outcome outcome = (enum rule_outcome)(i % RULE_OUTCOMES);
        if (rule_voice_may_speak(&v, outcome, now_ns))
            lines++;
        else
            held[outcome]++;
    }
    assert_int_equal(lines, RULE_VOICE_BURST + SECONDS - 1);
    char memory[256], wanted[256];
    struct text said = text_over(memory, sizeof(memory));
    assert_true(rule_voice_sum(&v, &said));
    snprintf(wanted, sizeof(wanted), "dry=%llu denied=%llu allow_listed=%llu no_room=%llu",
             (unsigned long long)held[RULE_DRY], (unsigned long long)held[RULE_DENIED],
             (unsigned long long)held[RULE_ALLOWED], (unsigned long long)held[RULE_NO_ROOM]);
    assert_string_equal(text_cstr(&said), wanted);
    assert_int_equal(lines + held[0] + held[1] + held[2] + held[3], HITS); /* none is left out */
    assert_false(rule_voice_sum(&v, &said));
}

static void a_hit_now_and_then_has_a_line_of_its_own(void **state)
{
    (void)state;
    struct rule_voice v = { 0 };
    char memory[256];
    struct text said = text_over(memory, sizeof(memory));
    for (uint64_t i = 1; i < 1000; i++) assert_true(rule_voice_may_speak(&v, RULE_DENIED, i * NS_PER_S));
    assert_false(rule_voice_sum(&v, &said));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_is_some_lines_and_a_sum),
        cmocka_unit_test(a_hit_now_and_then_has_a_line_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
