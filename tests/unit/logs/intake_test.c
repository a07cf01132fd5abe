#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "logs/intake.h"

struct seen {
    struct text text;
    uint32_t entries, malformed;
    char memory[16384];
};

static void on_entry(void *context, struct log_entry *e)
{
    struct seen *s = context;
    s->entries++;
    text_add_slice(&s->text, e->values[LOG_CLIENT]);
    text_printf(&s->text, " %u %llu ", e->status, (unsigned long long)e->bytes);
    text_add_slice(&s->text, e->path);
    text_add_char(&s->text, '\n');
}

static void on_malformed(void *context, struct slice bytes)
{
    struct seen *s = context;
    s->malformed++;
    text_printf(&s->text, "malformed %zu\n", bytes.len);
}

static const struct intake_events events = { on_entry, on_malformed };

static struct line_format combined(void)
{
    struct line_format f;
    struct err err;
    assert_int_equal(line_format_compile(&f, slice_of(line_format_combined), LINE_ESCAPE_DEFAULT, &err), 0);
    return f;
}

static void feed(struct intake *in, const char *data, size_t len)
{
    char *piece = calloc(1, len + INTAKE_SLACK);
    memcpy(piece, data, len);
    intake_feed(in, (struct slice){ piece, len });
    free(piece);
}

#define LINE(client, path) \
    client " - - [12/Mar/2026:10:00:01 +0000] \"GET " path " HTTP/1.1\" 200 7 \"-\" \"x\""

static const char input[] = LINE("10.0.0.1", "/a?b") "\n\nrubbish\r\n" LINE("10.0.0.2",
                                                                            "/c") "\r\n" LINE("::1", "/d");

static void lines_come_out_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t cut = 1; cut <= sizeof(input); cut++) {
        struct line_format f = combined();
        struct seen s = { 0 };
        struct intake *in;
        struct err err;
        s.text = text_over(s.memory, sizeof(s.memory));
        assert_int_equal(intake_new(&in, &f, &events, &s, &err), 0);
        for (size_t at = 0; at < sizeof(input) - 1; at += cut)
            feed(in, input + at, sizeof(input) - 1 - at < cut ? sizeof(input) - 1 - at : cut);
        assert_int_equal(intake_pending(in), strlen(LINE("::1", "/d")));
        intake_end(in);
        assert_string_equal(text_cstr(&s.text),
                            "10.0.0.1 200 7 /a\nmalformed 7\n10.0.0.2 200 7 /c\n::1 200 7 /d\n");
        intake_free(in);
    }
}

static void a_line_over_the_limit_is_passed_over_and_counted_once(void **state)
{
    (void)state;
    struct line_format f = combined();
    struct seen s = { 0 };
    struct intake *in;
    struct err err;
    char *long_line = malloc(INTAKE_RECORD_MAX);
    memset(long_line, 'a', INTAKE_RECORD_MAX);
    s.text = text_over(s.memory, sizeof(s.memory));
    assert_int_equal(intake_new(&in, &f, &events, &s, &err), 0);
    for (int i = 0; i < 5; i++) feed(in, long_line, INTAKE_RECORD_MAX);
    feed(in, "\n", 1);
    feed(in, LINE("10.0.0.3", "/e") "\n", strlen(LINE("10.0.0.3", "/e")) + 1);
    assert_int_equal(s.malformed, 1);
    assert_int_equal(s.entries, 1);
    assert_int_equal(intake_pending(in), 0);
    intake_free(in);
    free(long_line);
}

static void what_is_pending_of_json_begins_with_its_record(void **state)
{
    (void)state;
    struct seen s = { 0 };
    struct intake *in;
    struct err err;
    s.text = text_over(s.memory, sizeof(s.memory));
    assert_int_equal(intake_new(&in, NULL, &events, &s, &err), 0);
    feed(in, "{\"status\":200}\n{\"sta", 20);
    assert_int_equal(s.entries, 1);
    assert_int_equal(intake_pending(in), 5);
    feed(in, "tus\":201}", 9);
    assert_int_equal(s.entries, 2);
    assert_int_equal(intake_pending(in), 0);
    intake_free(in);
}

static void a_hole_before_a_line_is_passed_over(void **state)
{
    (void)state;
    static char text[300000 + sizeof(input)];
    size_t len = 300000;
    len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n", LINE("10.0.0.1", "/a"));
    for (size_t cut = 1000; cut <= 400000; cut *= 7) {
        struct line_format f = combined();
        struct seen s = { 0 };
        struct intake *in;
        struct err err;
        s.text = text_over(s.memory, sizeof(s.memory));
        assert_int_equal(intake_new(&in, &f, &events, &s, &err), 0);
        for (size_t at = 0; at < len; at += cut) feed(in, text + at, len - at < cut ? len - at : cut);
        assert_int_equal(intake_pending(in), 0);
        assert_string_equal(text_cstr(&s.text), "10.0.0.1 200 7 /a\n");
        intake_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_however_they_are_cut),
        cmocka_unit_test(a_line_over_the_limit_is_passed_over_and_counted_once),
        cmocka_unit_test(what_is_pending_of_json_begins_with_its_record),
        cmocka_unit_test(a_hole_before_a_line_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
