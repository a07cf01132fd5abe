#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"
#include "logs/place.h"

#define ONE                                                                                    \
    "{\"device\":1,\"inode\":2,\"offset\":3,\"head_hash\":4,\"modified_ns\":5,\"head_len\":6," \
    "\"is_rotated\":true,\"name\":\"access.log\"}"

static char *print(const struct places *p)
{
    struct json j;
    json_init(&j, 1 << 20, false);
    places_print(p, &j);
    char *text = json_take(&j, NULL);
    assert_non_null(text);
    return text;
}

static int parse(const char *text, struct places *out, struct err *err)
{
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    struct conf_tree tree;
    assert_non_null(faults);
    assert_int_equal(conf_read_json(&tree, "checkpoint", slice_of(text), faults), 0);
    int result = places_parse(tree.root, out, err);
    conf_tree_free(&tree);
    free(faults);
    return result;
}

static void places_read_back_as_they_were_printed(void **state)
{
    struct place items[] = {
        { .device = 66,
          .inode = UINT64_MAX,
          .offset = INT64_MAX,
          .head_hash = UINT64_MAX,
          .modified_ns = 7,
          .head_len = 1024,
          .is_rotated = true,
          .name = "access \"1\" \xc3\xa9.log" },
        { .name = "b" },
    };
    struct places given = { .items = items, .count = 2, .floor_ns = 1795430000000000001 }, back;
    struct err err;
    (void)state;
    char *text = print(&given);
    assert_int_equal(parse(text, &back, &err), 0);
    free(text);
    assert_int_equal(back.count, 2);
    assert_true(back.floor_ns == given.floor_ns);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(back.items[i].device == items[i].device && back.items[i].inode == items[i].inode);
        assert_true(back.items[i].offset == items[i].offset && back.items[i].head_hash == items[i].head_hash);
        assert_true(back.items[i].modified_ns == items[i].modified_ns);
        assert_int_equal(back.items[i].head_len, items[i].head_len);
        assert_int_equal(back.items[i].is_rotated, items[i].is_rotated);
        assert_string_equal(back.items[i].name, items[i].name);
    }
    places_fini(&back);
}

static void no_places_are_places(void **state)
{
    struct places none = { 0 }, back;
    struct err err;
    (void)state;
    char *text = print(&none);
    assert_string_equal(text, "{\"floor_ns\":0,\"files\":[]}");
    assert_int_equal(parse(text, &back, &err), 0);
    assert_int_equal(back.count, 0);
    free(text);
}

static void one_wrong_value_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *was, *is;
    } changes[] = {
        { "\"device\":1", "\"device\":-1" },
        { "\"device\":1", "\"device\":18446744073709551616" },
        { "\"device\":1", "\"device\":\"1\"" },
        { "\"device\":1", "\"device\":1.0" },
        { "\"device\":1", "\"device\":{}" },
        { "\"device\":1,", "" },
        { "\"device\"", "\"divice\"" },
        { "\"offset\":3", "\"offset\":9223372036854775808" },
        { "\"head_len\":6", "\"head_len\":1025" },
        { "\"head_len\":6", "\"head_len\":0" },
        { "true", "1" },
        { "true", "\"true\"" },
        { "\"access.log\"", "\"\"" },
        { "\"access.log\"", "\"../access.log\"" },
        { "\"access.log\"", "\"a\\u0000b\"" },
        { "\"access.log\"", "7" },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        char text[512];
        struct places out;
        struct err err = { "" };
        const char *at = strstr(ONE, changes[i].was);
        snprintf(text, sizeof(text), "{\"floor_ns\":0,\"files\":[%.*s%s%s]}", (int)(at - ONE), ONE,
                 changes[i].is, at + strlen(changes[i].was));
        assert_int_equal(parse(text, &out, &err), -1);
        assert_int_equal(strncmp(err.text, "1:", 2), 0);
        assert_null(out.items);
    }
}

static void what_is_no_list_of_places_is_refused(void **state)
{
    static const char *const texts[] = {
        "[]",
        "7",
        "null",
        "{}",
        "{\"files\":[]}",
        "{\"floor_ns\":0}",
        "{\"floor_ns\":0,\"files\":{}}",
        "{\"floor_ns\":0,\"files\":[7]}",
        "{\"floor_ns\":0,\"files\":[],\"more\":1}",
        "{\"floor_ns\":\"0\",\"files\":[]}",
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct places out;
        struct err err = { "" };
        assert_int_equal(parse(texts[i], &out, &err), -1);
        assert_true(err.text[0] != 0);
    }
}

static void more_places_than_are_followed_are_refused(void **state)
{
    size_t cap = (PLACES_MAX + 2) * sizeof(ONE) + 64;
    char *text = malloc(cap);
    struct places out;
    struct err err;
    (void)state;
    assert_non_null(text);
    for (unsigned count = PLACES_MAX; count <= PLACES_MAX + 1; count++) {
        struct text t = text_over(text, cap);
        text_printf(&t, "{\"floor_ns\":0,\"files\":[");
        for (unsigned i = 0; i < count; i++) text_printf(&t, "%s%s", i ? "," : "", ONE);
        text_printf(&t, "]}");
        assert_int_equal(parse(text_cstr(&t), &out, &err), count > PLACES_MAX ? -1 : 0);
        if (count <= PLACES_MAX) assert_int_equal(out.count, PLACES_MAX);
        places_fini(&out);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_read_back_as_they_were_printed),
        cmocka_unit_test(no_places_are_places),
        cmocka_unit_test(one_wrong_value_is_refused_with_its_place),
        cmocka_unit_test(what_is_no_list_of_places_is_refused),
        cmocka_unit_test(more_places_than_are_followed_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
