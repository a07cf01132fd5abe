#include "record/access_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct access_message_form plain = {
    .kind = ACCESS_MESSAGE_SYSLOG,
    .facility = 23,
    .severity = 6,
    .tag = "weir",
    .host = "alder",
    .pid = 17,
};

static char memory[ACCESS_MESSAGE_ROOM + 1];

static struct slice make(struct access_message_form form, struct slice line)
{
    struct text out = text_over(memory, ACCESS_MESSAGE_ROOM);
    memory[ACCESS_MESSAGE_ROOM] = 'X';
    access_message_make(&form, line, &out);
    assert_false(out.is_cut);
    assert_int_equal(memory[ACCESS_MESSAGE_ROOM], 'X');
    return text_slice(&out);
}

static void check(struct slice got, const char *expected)
{
    if (!slice_equal(got, slice_of(expected)))
        fail_msg("\n%.*s\nand not\n%s", (int)got.len, got.data, expected);
}

static void a_line_for_syslog_has_the_head_of_rfc_5424(void **state)
{
    (void)state;
    struct slice line = SLICE("2026-01-02T15:04:05.123Z\x1fGET / 200");
    check(make(plain, line), "<190>1 2026-01-02T15:04:05.123Z alder weir 17 access - GET / 200");
}

static void over_tcp_its_length_comes_first(void **state)
{
    (void)state;
    struct access_message_form form = plain;
    form.kind = ACCESS_MESSAGE_SYSLOG_COUNTED;
    check(make(form, SLICE("T\x1f"
                           "ab")),
          "34 <190>1 T alder weir 17 access - ab");
    check(make(form, SLICE("T\x1f")), "32 <190>1 T alder weir 17 access - ");
}

static void what_a_host_is_called_never_adds_a_field(void **state)
{
    (void)state;
    struct access_message_form form = plain;
    form.host = "a b\n<1>";
    check(make(form, SLICE("T\x1fx")), "<190>1 T ab<1> weir 17 access - x");
    form.host = "";
    check(make(form, SLICE("T\x1fx")), "<190>1 T - weir 17 access - x");
    form.host = NULL;
    check(make(form, SLICE("T\x1fx")), "<190>1 T - weir 17 access - x");
}

static void journald_gets_fields_for_what_there_is(void **state)
{
    (void)state;
    struct access_message_form form = plain;
    form.kind = ACCESS_MESSAGE_JOURNALD;
    check(make(form,
               SLICE("WEIR_ID=7\x1eWEIR_POOL=-\x1eWEIR_ROUTE=\x1eWEIR_STATUS=200\x1fGET /?WEIR_STATUS=500")),
          "SYSLOG_IDENTIFIER=weir\nPRIORITY=6\nWEIR_EVENT=access\nWEIR_ID=7\nWEIR_STATUS=200\n"
          "MESSAGE=GET /?WEIR_STATUS=500\n");
}

/* Every kind, at every length around the bound: never longer, and whole characters only. */
static void a_long_line_is_cut_at_the_bound(void **state)
{
    (void)state;
    static const enum access_message_kind kinds[] = { ACCESS_MESSAGE_SYSLOG, ACCESS_MESSAGE_SYSLOG_COUNTED,
                                                      ACCESS_MESSAGE_JOURNALD };
    char *line = malloc(ACCESS_MESSAGE_MAX + 200);
    line[0] = 'T';
    line[1] = ACCESS_MESSAGE_MARK;
    for (size_t i = 2; i < ACCESS_MESSAGE_MAX + 200; i++) line[i] = i % 2 ? '\xa4' : '\xc3'; /* "ä" */
    for (size_t k = 0; k < 3; k++)
        for (size_t len = ACCESS_MESSAGE_MAX - 100; len < ACCESS_MESSAGE_MAX + 200; len += 2) {
            struct access_message_form form = plain;
            form.kind = kinds[k];
            struct slice got = make(form, (struct slice){ line, len });
            size_t count_len = k == 1 ? 6 : 0;
            assert_true(got.len <= ACCESS_MESSAGE_MAX + count_len);
            if (k == 1) assert_int_equal(strtoul(got.data, NULL, 10), got.len - count_len);
            size_t end = got.len - (k == 2);
            bool is_cut = memcmp(got.data + end - 3, "...", 3) == 0;
            assert_int_equal((unsigned char)got.data[end - 1 - (is_cut ? 3 : 0)], 0xa4);
            if (len > ACCESS_MESSAGE_MAX) assert_true(is_cut);
        }
    free(line);
}

static void long_names_leave_room_for_the_line(void **state)
{
    (void)state;
    struct access_message_form form = plain;
    size_t len = ACCESS_MESSAGE_MAX + 30000;
    char *line = malloc(len);
    form.kind = ACCESS_MESSAGE_JOURNALD;
    memset(line, 'x', len);
    for (size_t i = 0; i < 30000; i += 1500) {
        line[i] = i ? '\x1e' : 'A';
        line[i + 2] = '=';
    }
    line[30000] = ACCESS_MESSAGE_MARK;
    struct slice got = make(form, (struct slice){ line, len });
    assert_true(got.len <= ACCESS_MESSAGE_MAX);
    assert_non_null(memmem(got.data, got.len, "\nMESSAGE=xxx", 12));
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_for_syslog_has_the_head_of_rfc_5424),
        cmocka_unit_test(over_tcp_its_length_comes_first),
        cmocka_unit_test(what_a_host_is_called_never_adds_a_field),
        cmocka_unit_test(journald_gets_fields_for_what_there_is),
        cmocka_unit_test(a_long_line_is_cut_at_the_bound),
        cmocka_unit_test(long_names_leave_room_for_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
