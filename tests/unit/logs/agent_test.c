#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logs/agent.h"

#define CHROME \
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"

static void families_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *agent, *family;
    } cases[] = {
        { CHROME, "Chrome" },
        { CHROME " Edg/120.0.0.0", "Edge" },
        { CHROME " OPR/106.0.0.0", "Opera" },
        { "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_2) AppleWebKit/605.1.15 (KHTML, like Gecko) "
          "Version/17.2 "
          "Safari/605.1.15",
          "Safari" },
        { "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0", "Firefox" },
        { "Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer" },
        { "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; "
          "+http://www.google.com/bot.html) Chrome/120.0.0.0 Safari/537.36",
          "Googlebot" },
        { "curl/8.5.0", "curl" },
        { "Go-http-client/1.1", "Go-http-client" },
        { "kube-probe/1.29", "kube-probe" },
        { "SomeNewBot/0.1", "bot" },
        { "Mozilla/4.0", "Mozilla" },
        { "-", "(none)" },
        { "", "(none)" },
        { "\xff\xfe nothing known", "other" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct slice family = agent_family(slice_of(cases[i].agent));
        if (!slice_equal(family, slice_of(cases[i].family)))
            fail_msg("%s is %.*s, not %s", cases[i].agent, SLICE_ARGS(family), cases[i].family);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(families_are_told) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
