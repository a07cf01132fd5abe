#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <math.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/shape.h"

struct part {
    uint64_t count;
};

static const struct shape_field part_fields[] = { { "count", SHAPE_COUNT, offsetof(struct part, count) },
                                                  { 0 } };
static const struct shape part_shape = { "Part", sizeof(struct part), part_fields };

struct whole {
    const char *name, *nothing;
    bool is_up;
    uint64_t unknown;
    double ms, never;
    struct part part;
    struct shape_list parts, words, counts;
    const void *conf;
};

static const struct shape_field whole_fields[] = {
    { "name", SHAPE_STRING, offsetof(struct whole, name), .help = "A name." },
    { "nothing", SHAPE_STRING, offsetof(struct whole, nothing), .may_be_null = true },
    { "is_up", SHAPE_BOOL, offsetof(struct whole, is_up) },
    { "unknown", SHAPE_COUNT, offsetof(struct whole, unknown), .may_be_null = true },
    { "ms", SHAPE_NUMBER, offsetof(struct whole, ms) },
    { "never", SHAPE_NUMBER, offsetof(struct whole, never) },
    { "part", SHAPE_OBJECT, offsetof(struct whole, part), &part_shape },
    { "parts", SHAPE_LIST, offsetof(struct whole, parts), &part_shape },
    { "words", SHAPE_LIST, offsetof(struct whole, words) },
    { "counts", SHAPE_COUNTS, offsetof(struct whole, counts) },
    { "conf", SHAPE_CONF, offsetof(struct whole, conf) },
    { 0 },
};
static const struct shape whole_shape = { "Whole", sizeof(struct whole), whole_fields };

static void an_object_is_printed_by_its_rows(void **state)
{
    (void)state;
    const struct part parts[] = { { 1 }, { 2 } };
    const char *const words[] = { "a", "b" };
    const struct shape_count counts[] = { { "ok", 5 } };
    struct whole w = { .name = "x",
                       .is_up = true,
                       .unknown = SHAPE_NULL,
                       .ms = 0.5,
                       .never = NAN,
                       .part = { 3 },
                       .parts = { parts, 2 },
                       .words = { words, 2 },
                       .counts = { counts, 1 } };
    struct json j;
    json_init(&j, 4096, false);
    shape_print(&whole_shape, &w, &j);
    char *text = json_take(&j, NULL);
    assert_string_equal(text, "{\"name\":\"x\",\"nothing\":null,\"is_up\":true,\"unknown\":null,\"ms\":0.5,"
                              "\"never\":null,\"part\":{\"count\":3},\"parts\":[{\"count\":1},{\"count\":2}],"
                              "\"words\":[\"a\",\"b\"],\"counts\":{\"ok\":5},\"conf\":null}");
    free(text);
}

static void the_schema_says_types_and_what_may_be_null(void **state)
{
    (void)state;
    struct json j;
    json_init(&j, 8192, false);
    shape_schema(&whole_shape, &j);
    char *text = json_take(&j, NULL);
    static const char *const parts[] = {
        "\"name\":{\"type\":\"string\",\"description\":\"A name.\"}",
        "\"nothing\":{\"type\":[\"string\",\"null\"]}",
        "\"part\":{\"type\":\"object\",\"required\":[\"count\"],\"properties\":{\"count\":{\"type\":"
        "\"integer\"}}}",
        "\"words\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
        "\"counts\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) assert_non_null(strstr(text, parts[i]));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_printed_by_its_rows),
        cmocka_unit_test(the_schema_says_types_and_what_may_be_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
