#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "logs/json_reader.h"

/* What was delivered, as lines of text. */
struct seen {
    struct json_reader *reader;
    struct text text;
    char memory[65536];
};

static void on_entry(void *context, struct log_entry *e)
{
    struct seen *s = context;
    text_printf(&s->text, "%u %llu %llu ", e->status, (unsigned long long)e->bytes,
                (unsigned long long)e->time_s);
    text_add_slice(&s->text, e->method);
    text_add_char(&s->text, ' ');
    text_add_slice(&s->text, e->path);
    text_add_char(&s->text, ' ');
    text_add_slice(&s->text, e->values[LOG_AGENT]);
    for (uint32_t i = 0; i < s->reader->names.name_count; i++) {
        struct slice v = e->values[LOG_FURTHER + i];
        text_add_char(&s->text, ' ');
        text_add_slice(&s->text, s->reader->names.names[i]);
        text_add_char(&s->text, '=');
        text_add_slice(&s->text, v.data ? v : SLICE("~"));
    }
    text_add_char(&s->text, '\n');
}

static void on_malformed(void *context, struct slice bytes)
{
    (void)bytes;
    struct seen *s = context;
    TEXT_LITERAL(&s->text, "malformed\n");
}

static const struct json_reader_events events = { on_entry, on_malformed };

/* Feeds copies with nothing but slack behind them, cut after each `cut` bytes. */
static const char *read_in_pieces(const char *input, size_t len, size_t cut)
{
    static struct seen s;
    struct json_reader *r = malloc(sizeof(*r));
    s.reader = r;
    s.text = text_over(s.memory, sizeof(s.memory));
    json_reader_init(r, &events, &s);
    for (size_t at = 0; at < len; at += cut) {
        size_t n = len - at < cut ? len - at : cut;
        char *piece = calloc(1, n + 32);
        memcpy(piece, input + at, n);
        json_reader_feed(r, (struct slice){ piece, n });
        free(piece);
    }
    json_reader_end(r);
    text_cstr(&s.text);
    free(r);
    return s.memory;
}

static const struct {
    const char *input, *output;
} cases[] = {
    { "{\"status\":200,\"bytes\":12,\"method\":\"GET\",\"path\":\"/a?x=1\"}\n", "200 12 0 GET /a \n" },
    { "{\"status\":\"404\"}{\"status\":500}", "404 0 0   \n500 0 0   \n" },
    { "[{\"status\":200},\n {\"status\":201}]", "200 0 0   \n201 0 0   \n" },
    { " \n{ \"status\" : 200 , \"user_agent\" : \"a \\\"b\\\\\" }", "200 0 0   a \\\"b\\\\\n" },
    { "{\"time\":\"2026-03-12T10:00:01Z\",\"status\":304}", "304 0 1773309601   \n" },
    { "{\"request\":\"POST /x/y?z HTTP/1.1\",\"status\":200}", "200 0 0 POST /x/y \n" },
    { "{\"status\":200,\"nested\":{\"status\":1,\"b\":[1,{\"c\":\"}]\"}]},\"zone\":\"eu\"}",
      "200 0 0    zone=eu\n" },
    { "{\"status\":null,\"zone\":null,\"ok\":true}", "0 0 0    zone=~ ok=true\n" },
    { "{}\n{\"status\":1}", "0 0 0   \n0 0 0   \n" },
    { "garbage\n{\"status\":200}\n", "malformed\n200 0 0   \n" },
    { "{\"status\":200,,,\"bytes\" 3}\n{\"status\":201}\n", "malformed\n201 0 0   \n" },
    { "{\"status\":@}\nstill lost\n{\"status\":202}", "malformed\n202 0 0   \n" },
    { "{\"status\":200", "malformed\n" },
    /* cut, and the next line is whole: within an object, a string, a key, behind a value, a comma, a colon, a backslash */
    { "{\"status\":201}\n{\"a\":{\"b\":[1,\n{\"status\":202}\n{\"status\":203}\n",
      "201 0 0   \nmalformed\n202 0 0   \n203 0 0   \n" },
    { "{\"status\":201}\n{\"a\":{\"b\":\"x\n{\"status\":202}\n", "201 0 0   \nmalformed\n202 0 0   \n" },
    { "{\"status\":201}\r\n{\"url\":\"/x\\\n{\"status\":202}\r\n", "201 0 0   \nmalformed\n202 0 0   \n" },
    { "{\"status\":201}\n{\"sta\n{\"status\":202}\n", "201 0 0   \nmalformed\n202 0 0   \n" },
    { "{\"status\":201}\n{\"status\":203\n{\"status\":202}\n", "201 0 0   \nmalformed\n202 0 0   \n" },
    { "{\"status\":201}\n{\"status\":203,\n{\"status\":202}\n", "201 0 0   \nmalformed\n202 0 0   \n" },
    { "{\"status\":201}\n{\"status\":\n{\"status\":202}\n", "201 0 0   \nmalformed\n202 0 0   \n" },
    /* the first of all */
    { "{\"a\":{\"b\":1\n{\"status\":202}\n{\"status\":203}\n", "malformed\n202 0 0   \n203 0 0   \n" },
    { "{\"url\":\"/x\n{\"status\":202}\n", "malformed\n202 0 0   \n" },
    /* records of several lines */
    { "{\n \"status\": 201,\n \"a\": [\n {\n }\n ]\n}\n{\n \"status\": 202\n}\n",
      "201 0 0   \n202 0 0   \n" },
    { "", "" },
};

static void reads_records_however_they_are_cut(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t len = strlen(cases[i].input);
        for (size_t cut = 1; cut <= len + 1; cut++)
            assert_string_equal(read_in_pieces(cases[i].input, len, cut), cases[i].output);
    }
}

static void holds_a_bounded_part_of_a_giant_record(void **state)
{
    (void)state;
    struct seen *s = calloc(1, sizeof(*s));
    struct json_reader *r = malloc(sizeof(*r));
    char *piece = malloc(4096 + 32);
    s->reader = r;
    s->text = text_over(s->memory, sizeof(s->memory));
    json_reader_init(r, &events, s);
    memcpy(piece, "{\"status\":200,\"user_agent\":\"", 28);
    json_reader_feed(r, (struct slice){ piece, 28 });
    memset(piece, 'a', 4096);
    for (int i = 0; i < 1000; i++) json_reader_feed(r, (struct slice){ piece, 4096 });
    memcpy(piece, "\",\"bytes\":7}", 12);
    json_reader_feed(r, (struct slice){ piece, 12 });
    text_cstr(&s->text);
    assert_string_equal(s->memory, "200 7 0   \n");
    assert_int_equal(r->cut_values, 1);
    free(piece);
    free(r);
    free(s);
}

static void on_line(void *context, struct log_entry *e)
{
    struct text *t = context;
    text_add_slice(t, e->line);
    text_add_char(t, '|');
}

static void a_record_is_there_as_it_was_written_however_it_is_cut(void **state)
{
    (void)state;
    static const struct json_reader_events lines = { on_line, on_malformed };
    static const char input[] = "{\"a\": 1}\n { \"b\":{\"c\":\"}\"} , \"d\":2 }\n{}";
    for (size_t cut = 1; cut <= sizeof(input); cut++) {
        char memory[256];
        struct text t = text_over(memory, sizeof(memory));
        struct json_reader *r = malloc(sizeof(*r));
        json_reader_init(r, &lines, &t);
        for (size_t at = 0; at < sizeof(input) - 1; at += cut) {
            size_t n = sizeof(input) - 1 - at < cut ? sizeof(input) - 1 - at : cut;
            char *piece = calloc(1, n + 32);
            memcpy(piece, input + at, n);
            json_reader_feed(r, (struct slice){ piece, n });
            free(piece);
        }
        assert_string_equal(text_cstr(&t), "{\"a\": 1}|{ \"b\":{\"c\":\"}\"} , \"d\":2 }|{}|");
        free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_records_however_they_are_cut),
        cmocka_unit_test(holds_a_bounded_part_of_a_giant_record),
        cmocka_unit_test(a_record_is_there_as_it_was_written_however_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
