#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "logs/syslog.h"

static const struct {
    const char *datagram, *message; /* NULL: refused */
} rows[] = {
    { "<190>Mar 12 10:00:01 web1 nginx: 192.0.2.1 - - [x]", "192.0.2.1 - - [x]" },
    { "<190>Mar  2 10:00:01 nginx: record", "record" },
    { "<0>Mar 12 10:00:01 h t: a: b", "a: b" },
    { "<190>Mar 12 10:00:01 fe80::1 nginx: record\n", "record" },
    { "<190>Mar 12 10:00:01 nginx: ", "" },
    { "", NULL },
    { "<190>", NULL },
    { "<>Mar 12 10:00:01 h nginx: record", NULL },
    { "<1905>Mar 12 10:00:01 h nginx: record", NULL },
    { "<190>1 2026-03-12T10:00:01Z host nginx - - - record", "record" },
    { "<190>1 2026-03-12T10:00:01.123Z alder weir 4711 access - 192.0.2.1 - - [x]\n", "192.0.2.1 - - [x]" },
    { "<190>1 - - - - - - record: a", "record: a" },
    { "<190>1 - - - - - - \xef\xbb\xbfrecord", "record" },
    { "<190>1 - - - - - [a@1 b=\"c\"][d@1 e=\"] \\\" \\] \"] record", "record" },
    { "<190>1 - - - - - -", "" },
    { "<190>1 - - - - - -record", NULL },
    { "<190>1 - - - - - record", NULL },
    { "<190>1 - - - - - [a", NULL },
    { "<190>1 - - - - - [a b=\"] record", NULL },
    { "<190>1 - - - - -", NULL },
    { "<190>1  - - - - - record", NULL },
    { "<190>2 - - - - - - record", NULL },
    { "<190>Mar 12 10:00:01", NULL },
    { "<190>Mar 12 10:00:01 nothing follows a tag", NULL },
    { "192.0.2.1 - - [12/Mar/2026:10:00:01 +0000]", NULL },
};

static void the_record_is_what_follows_the_tag(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct slice message;
        bool is_taken = syslog_message(slice_of(rows[i].datagram), &message);
        if (is_taken != (rows[i].message != NULL)) fail_msg("%s", rows[i].datagram);
        if (is_taken && !slice_equal(message, slice_of(rows[i].message))) fail_msg("%s", rows[i].datagram);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_record_is_what_follows_the_tag) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
