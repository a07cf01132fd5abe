#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void sequences_are_those_of_rfc_3629(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {
        { "a", 1 },
        { "\x7f", 1 },
        { "\xc2\x80", 2 },
        { "\xdf\xbf", 2 },
        { "\xe0\xa0\x80", 3 },
        { "\xed\x9f\xbf", 3 },
        { "\xef\xbf\xbf", 3 },
        { "\xf0\x90\x80\x80", 4 },
        { "\xf4\x8f\xbf\xbf", 4 },
        { "\x80", 0 },
        { "\xc0\x80", 0 }, /* overlong */
        { "\xc1\xbf", 0 },
        { "\xe0\x9f\xbf", 0 },
        { "\xf0\x8f\xbf\xbf", 0 },
        { "\xed\xa0\x80", 0 },     /* a surrogate */
        { "\xf4\x90\x80\x80", 0 }, /* over U+10FFFF */
        { "\xf5\x80\x80\x80", 0 },
        { "\xff", 0 },
        { "\xc2", 0 }, /* cut */
        { "\xe2\x82", 0 },
        { "\xe2\x28\xa1", 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (utf8_sequence_len(slice_of(cases[i].text)) != cases[i].len) fail_msg("case %zu", i);
}

static void what_is_encoded_is_one_sequence(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x900 ? 1 : 997) {
        char out[4];
        if (c >= 0xd800 && c <= 0xdfff) continue;
        size_t len = utf8_encode(c, out);
        assert_int_equal(utf8_sequence_len((struct slice){ out, len }), len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_are_those_of_rfc_3629),
        cmocka_unit_test(what_is_encoded_is_one_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
