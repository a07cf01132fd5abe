#include "conf/sample_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_type_has_a_section_with_a_line_for_each_row(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "# Configuration\n\n",
        "## Top level\n\n| key | type | default | range | meaning |\n|---|---|---|---|---|\n"
        "| `listeners` | list or map of [listener](#listener) |  |  | What accepts. |\n",
        "| `retry` | [retry](#retry) | `{attempts: 5}` |  | For all pools. |\n",
        "| `levels` | list of level |  | 0 to 3 elements of `low`, `middle`, `high` | Some levels. |\n",
        "## listener\n\nAt `listeners.NAME`. Without a name in a list, it is named after its `bind`.\n\n",
        "| `protocol` | word | `http` | `http`, `tcp` | What it speaks. |\n",
        "| `pool` | name |  | one under `pools` | Where requests go. |\n",
        "| `quiet` | true or false | `false` |  | No log. |\n",
        "## server\n\nAt `pools.NAME.servers.NAME`. Text in its place fills `address`.",
        "| `weight` | number | `1` | 1 to 100 | Its share. Can be changed while running. |\n",
        "| `timeouts` | [pool timeouts](#pool-timeouts) |  |  | Time-outs. Can be changed while running. |\n",
        "## pool timeouts\n\nAt `pools.NAME.timeouts`.\n\n",
        "| `total` | duration | `off` | 1s to 1h, or `off` | How long all may take. |\n",
        "## retry\n\nAt `pools.NAME.retry`, `retry`. Text in its place fills `attempts`.\n\n",
        "| `buffer` | size | `16KiB` | 0 to 1MiB | How much of a body \\| is kept. |\n",
        "* `hash`: By key.\n",
        "Keys of `hash`:\n\n",
        "| `key` | text | required | 1 to 100 bytes | What is hashed. |\n",
    };
    static char data[1 << 16];
    struct text t = text_over(data, sizeof(data));
    conf_manual(&sample_type, &t);
    assert_false(t.is_cut);
    const char *text = text_cstr(&t);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (!strstr(text, parts[i])) fail_msg("%s is not in %s", parts[i], text);
    assert_true(t.len > 2 && data[t.len - 1] == '\n' && data[t.len - 2] != '\n');
}

static void what_does_not_fit_is_cut(void **state)
{
    (void)state;
    char data[100];
    struct text t = text_over(data, sizeof(data));
    conf_manual(&sample_type, &t);
    assert_true(t.is_cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_a_section_with_a_line_for_each_row),
        cmocka_unit_test(what_does_not_fit_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
