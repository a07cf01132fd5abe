#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "logs/log_format.h"

#define USUAL "192.0.2.7 - - [12/Mar/2026:10:00:01 +0000] \"GET / HTTP/1.1\" 200 7"
#define COMBINED USUAL " \"-\" \"curl\""
#define INGRESS " 120 0.500 [default-web-80] [] 10.0.0.1:80, 10.0.0.2:80 0, 5 0.500, 0.010 502, 200 8cb3a1f4"
#define TIMES_10(line) \
    line "\n" line "\n" line "\n" line "\n" line "\n" line "\n" line "\n" line "\n" line "\n" line "\n"

/* Whether the format that is guessed has the variable, of a text that ends with what readers may read behind it. */
static bool guess(const char *text, struct log_format *out)
{
    struct err err;
    size_t len = strlen(text);
    char *memory = calloc(1, len + 32);
    memcpy(memory, text, len);
    int result = log_format_guess((struct slice){ memory, len }, out, "a.log", &err);
    free(memory);
    if (result < 0) assert_non_null(strstr(err.text, "--log-format"));
    return result == 0;
}

static bool has(const struct log_format *f, const char *name)
{
    struct slice text = { f->lines.text, f->lines.text_len };
    return memmem(text.data, text.len, name, strlen(name)) != NULL;
}

static void fields_behind_the_usual_ones_are_what_they_look_like(void **state)
{
    (void)state;
    static const struct {
        const char *text, *has, *has_not;
    } cases[] = {
        { TIMES_10(COMBINED), "$http_user_agent", "$further" },
        { TIMES_10(COMBINED "\r"), "$http_user_agent", "$further" },
        { TIMES_10(USUAL "\r"), "$body_bytes_sent", "$http_user_agent" },
        { TIMES_10(COMBINED " \"198.51.100.3, 10.0.0.1\""), "$http_x_forwarded_for", "$request_time" },
        { TIMES_10(COMBINED " 0.512"), "$request_time", "$http_x_forwarded_for" },
        { TIMES_10(COMBINED " 0.512 0.500, 0.010"), "$upstream_response_time", "$http_x_forwarded_for" },
        { TIMES_10(COMBINED " \"-\" 0.512 -"), "$upstream_response_time", "$further" },
        { TIMES_10(COMBINED INGRESS), "$upstream_status", "$further" },
        /* microseconds, an address where a time would be, a host */
        { TIMES_10(COMBINED " 513802"), "$further", "$request_time" },
        { TIMES_10(COMBINED " \"203.0.113.9\" x"), "$further", "$request_time" },
        { TIMES_10(COMBINED " example.com"), "$further", "$request_time" },
        { TIMES_10("www.example.com:443 " COMBINED), "$host", "$further" },
        /* one client's own words do not decide */
        { COMBINED " \"<script>\" 0.100\n" TIMES_10(COMBINED " \"-\" 0.100"), "$http_x_forwarded_for",
          "$further" },
        { "rubbish\n" TIMES_10(COMBINED), "$http_user_agent", "$further" },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        static struct log_format f;
        if (!guess(cases[i].text, &f) || !has(&f, cases[i].has) || has(&f, cases[i].has_not))
            fail_msg("case %u: %.*s", i, f.lines.text_len, f.lines.text);
    }
}

static void what_is_no_log_is_refused_and_a_hole_is_passed_over(void **state)
{
    (void)state;
    static struct log_format f;
    assert_false(guess("a b c\nd e f\n", &f));
    assert_true(guess("{\"status\":200}\n", &f));
    assert_true(f.is_json);
    assert_true(guess("", &f));
    static char text[4096];
    memcpy(text + 100, COMBINED "\n", sizeof(COMBINED));
    struct err err;
    assert_int_equal(log_format_guess((struct slice){ text, 100 + sizeof(COMBINED) }, &f, "a.log", &err), 0);
    assert_true(has(&f, "$http_user_agent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_behind_the_usual_ones_are_what_they_look_like),
        cmocka_unit_test(what_is_no_log_is_refused_and_a_hole_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
