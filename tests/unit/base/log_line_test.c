#include "base/log_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *json_of(struct slice line)
{
    static char memory[LOG_JSON_MAX + 1];
    struct text t = text_over(memory, LOG_JSON_MAX);
    log_line_json(line, &t);
    assert_false(t.is_cut);
    memory[t.len] = 0;
    return memory;
}

static void pairs_become_members(void **state)
{
    (void)state;
    static const struct {
        struct slice line;
        const char *json;
    } cases[] = {
        { SLICE("time=T level=info event=ready pid=7\n"),
          "{\"time\":\"T\",\"level\":\"info\",\"event\":\"ready\",\"pid\":\"7\"}" },
        { SLICE("event=a error=\"two words\" n=1"), "{\"event\":\"a\",\"error\":\"two words\",\"n\":\"1\"}" },
        { SLICE("event=a v=\"q\\\"b\\\\s\\x0at\\x1b\""),
          "{\"event\":\"a\",\"v\":\"q\\\"b\\\\s\\u000at\\u001b\"}" },
        { SLICE("event=a v="), "{\"event\":\"a\",\"v\":\"\"}" },
        { SLICE("event=a v=\"\""), "{\"event\":\"a\",\"v\":\"\"}" },
        { SLICE("event=a v=\xc3\xa4\xff\xc3"), "{\"event\":\"a\",\"v\":\"\xc3\xa4\\ufffd\\ufffd\"}" },
        { SLICE(""), "{}" },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(json_of(cases[i].line), cases[i].json);
}

static void what_is_no_pair_or_would_forge_one_is_text(void **state)
{
    (void)state;
    static const struct {
        struct slice line;
        const char *json;
    } cases[] = {
        { SLICE("event=a free words"), "{\"event\":\"a\",\"text\":\"free words\"}" },
        { SLICE("event=a v=1 event=forged x=2"),
          "{\"event\":\"a\",\"v\":\"1\",\"text\":\"event=forged x=2\"}" },
        { SLICE("event=a v=\"open"), "{\"event\":\"a\",\"text\":\"v=\\\"open\"}" },
        { SLICE("event=a v=\"shut\"and more"), "{\"event\":\"a\",\"text\":\"v=\\\"shut\\\"and more\"}" },
        { SLICE("event=a =1"), "{\"event\":\"a\",\"text\":\"=1\"}" },
        { SLICE("event=a text=1 and more"), "{\"event\":\"a\",\"text\":\"text=1 and more\"}" },
        { SLICE("event=a cut=1"), "{\"event\":\"a\",\"text\":\"cut=1\"}" },
        { SLICE("event=a v=\"end\\"), "{\"event\":\"a\",\"text\":\"v=\\\"end\\\\\"}" },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(json_of(cases[i].line), cases[i].json);
}

static void what_finds_no_room_is_left_out_and_the_object_is_whole(void **state)
{
    (void)state;
    char line[1024] = "event=a v=";
    size_t len = strlen(line);
    memset(line + len, 1, sizeof(line) - len); /* six bytes each */
    const char *json = json_of((struct slice){ line, sizeof(line) });
    assert_string_equal(json, "{\"event\":\"a\",\"cut\":true}");
    memset(line, 1, sizeof(line));
    assert_string_equal(json_of((struct slice){ line, sizeof(line) }), "{\"cut\":true}");
}

static void journald_has_a_field_for_each_pair(void **state)
{
    (void)state;
    char memory[LOG_JOURNAL_MAX];
    struct text t = text_over(memory, sizeof(memory));
    log_line_journal(SLICE("time=T level=warn event=server_state server=a reason=\"two words\"\n"), &t);
    memory[t.len] = 0;
    assert_string_equal(memory, "SYSLOG_IDENTIFIER=weir\nPRIORITY=4\nWEIR_EVENT=server_state\n"
                                "MESSAGE=server_state server=a reason=\"two words\"\n"
                                "WEIR_SERVER=a\nWEIR_REASON=two words\n");
}

static void a_value_with_line_breaks_forges_no_field(void **state)
{
    (void)state;
    static const char expected[] = "SYSLOG_IDENTIFIER=weir\nWEIR_EVENT=a\nMESSAGE=a v=\"x\\x0aPRIORITY=0\"\n"
                                   "WEIR_V\n\x0c\0\0\0\0\0\0\0x\nPRIORITY=0\n";
    char memory[LOG_JOURNAL_MAX];
    struct text t = text_over(memory, sizeof(memory));
    log_line_journal(SLICE("event=a v=\"x\\x0aPRIORITY=0\""), &t);
    assert_int_equal(t.len, sizeof(expected) - 1);
    assert_memory_equal(memory, expected, t.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_become_members),
        cmocka_unit_test(what_is_no_pair_or_would_forge_one_is_text),
        cmocka_unit_test(what_finds_no_room_is_left_out_and_the_object_is_whole),
        cmocka_unit_test(journald_has_a_field_for_each_pair),
        cmocka_unit_test(a_value_with_line_breaks_forges_no_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
