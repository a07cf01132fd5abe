#include "base/json.h"
#include "conf/sample_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *schema(void)
{
    struct json j;
    json_init(&j, 1 << 20, false);
    conf_schema(&sample_type, &j);
    char *text = json_take(&j, NULL);
    assert_non_null(text);
    return text;
}

static void rows_become_properties(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "{\"$schema\":\"https://json-schema.org/draft/2020-12/"
        "schema\",\"title\":\"configuration\",\"type\":\"object\"",
        "\"required\":[\"pools\"],\"additionalProperties\":false,\"$defs\":{\"listener\":{",
        /* U32, with its bounds and its preset as a number */
        "\"attempts\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":16,\"description\":\"How many "
        "attempts.\",\"default\":3}",
        /* durations: only 0 is without a unit */
        "\"total\":{\"type\":[\"string\",\"integer\"],\"pattern\":\"^(0|([0-9]+(\\\\.[0-9]+)?(d|h|m|s|ms))+|"
        "off)$\","
        "\"minimum\":1000,\"maximum\":0,\"description\":\"How long all may take.\",\"default\":\"off\"}",
        "\"protocol\":{\"enum\":[\"http\",\"tcp\"],\"description\":\"What it speaks.\",\"default\":\"http\"}",
        /* presets of lists and maps */
        "\"default\":[\"websocket\"]",
        "\"retry\":{\"$ref\":\"#/$defs/retry\",\"description\":\"For all "
        "pools.\",\"default\":{\"attempts\":5}}",
        /* the short form beside the map */
        "\"server\":{\"anyOf\":[{\"type\":[\"string\",\"number\"],\"examples\":[\"10.0.0.1:80\"],"
        "\"description\":\"Where it "
        "listens.\"},{\"type\":\"object\",",
        /* a choice: its word, unless the option needs more; and its map */
        "\"balance\":{\"anyOf\":[{\"const\":\"random\",\"description\":\"Any.\"},{\"type\":\"object\","
        "\"properties\":{\"method\":"
        "{\"const\":\"random\"",
        "{\"type\":\"object\",\"properties\":{\"method\":{\"const\":\"hash\",\"description\":\"By "
        "key.\"},\"key\":",
        "\"required\":[\"method\",\"key\"]",
        /* a list or a map */
        "\"servers\":{\"anyOf\":[{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
        "server\"},\"minItems\":1,\"maxItems\":8},"
        "{\"type\":\"object\",\"propertyNames\":{\"minLength\":1},\"additionalProperties\":{\"$ref\":\"#/"
        "$defs/server\"},"
        "\"minProperties\":1,\"maxProperties\":8}]",
    };
    char *text = schema();
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (!strstr(text, parts[i])) fail_msg("%s is not in %s", parts[i], text);
    free(text);
}

static void every_reference_has_its_definition(void **state)
{
    (void)state;
    char *text = schema(), name[80];
    int seen = 0;
    const char *start = "\"$ref\":\"#/$defs/";
    for (const char *at = strstr(text, start); at; at = strstr(at, start), seen++) {
        at += strlen(start);
        snprintf(name, sizeof(name), "\"%.*s\":{", (int)strcspn(at, "\""), at);
        assert_non_null(strstr(strstr(text, "\"$defs\":{"), name));
    }
    assert_true(seen >= 8);
    free(text);
}

static void rows_of_answers_are_not_in_it(void **state)
{
    (void)state;
    struct json j;
    json_init(&j, 1 << 20, false);
    conf_schema(&sample_status_type, &j);
    char *text = json_take(&j, NULL);
    assert_null(strstr(text, "in_flight"));
    assert_non_null(strstr(text, "weight"));
    free(text);
}

static void two_types_of_one_name_are_told_apart(void **state)
{
    (void)state;
    static const struct conf_field a_fields[] = { { "x", CONF_KIND_U32 }, { 0 } },
                                   b_fields[] = { { "y", CONF_KIND_U32 }, { 0 } };
    static const struct conf_type a = { .name = "some limits", .size = 4, .fields = a_fields };
    static const struct conf_type b = { .name = "some limits", .size = 4, .fields = b_fields };
    static const struct conf_field fields[] = { { "a", CONF_KIND_OBJECT, 0, &a },
                                                { "b", CONF_KIND_OBJECT, 4, &b },
                                                { 0 } };
    static const struct conf_type root = { .name = "root", .size = 8, .fields = fields };
    struct json j;
    json_init(&j, 1 << 20, false);
    conf_schema(&root, &j);
    char *text = json_take(&j, NULL);
    assert_non_null(strstr(text, "\"a\":{\"$ref\":\"#/$defs/some_limits\"}"));
    assert_non_null(strstr(text, "\"b\":{\"$ref\":\"#/$defs/some_limits_2\"}"));
    assert_non_null(strstr(text, "\"some_limits_2\":{\"type\":\"object\",\"properties\":{\"y\":"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_become_properties),
        cmocka_unit_test(every_reference_has_its_definition),
        cmocka_unit_test(rows_of_answers_are_not_in_it),
        cmocka_unit_test(two_types_of_one_name_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
