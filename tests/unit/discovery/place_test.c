#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "discovery/place.h"

static void names_and_files_are_kept_as_they_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name;
        enum place_kind kind;
        uint16_t port;
    } cases[] = {
        { "app.internal:8080", "app.internal", PLACE_DNS, 8080 },
        { "app:1", "app", PLACE_DNS, 1 },
        { "App.Internal.:65535", "App.Internal.", PLACE_DNS, 65535 },
        { "_http.10a.x:80", "_http.10a.x", PLACE_DNS, 80 },
        { "file:/run/a b.servers", "/run/a b.servers", PLACE_FILE, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct address a;
        struct err err = { "" };
        if (place_parse(slice_of(cases[i].text), &a, &err) < 0) fail_msg("%s: %s", cases[i].text, err.text);
        assert_true(place_is_one(&a));
        struct address copy = a;
        struct place p = place_of(&copy);
        assert_int_equal(p.kind, cases[i].kind);
        assert_true(slice_equal(p.text, slice_of(cases[i].text)));
        assert_true(slice_equal(p.name, slice_of(cases[i].name)));
        assert_int_equal(p.port, cases[i].port);
        assert_int_equal(address_port(&a), 0);
    }
}

static void what_is_neither_says_nothing_of_its_own(void **state)
{
    (void)state;
    static const char *const texts[] = { "",        "app",        "app:",         "app:0",    "app:65536",
                                         "app:080", "10.0.0:80",  "1.2.3.4.5:80", ".app:80",  "a..b:80",
                                         "a b:80",  "-:80",       ":80",          "[::1]:80", "a/b:80",
                                         "unix:/x", "http://a:80" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct address a;
        struct err err = { "as it was" };
        if (place_parse(slice_of(texts[i]), &a, &err) == 0) fail_msg("%s is taken", texts[i]);
        assert_string_equal(err.text, "as it was");
    }
}

static void what_looks_like_one_and_is_not_is_explained(void **state)
{
    (void)state;
    struct address a;
    struct err err = { "" };
    char text[300];
    assert_int_equal(place_parse(SLICE("file:servers"), &a, &err), -1);
    assert_string_equal(err.text, "\"file:servers\" has no absolute path; write file:/etc/weir/app.servers");
    /* 52 + 1 + 51 + 3 bytes are the most */
    snprintf(text, sizeof(text), "%052d.%051d:80", 1, 1);
    text[0] = 'a';
    assert_int_equal(strlen(text), PLACE_TEXT_MAX);
    assert_int_equal(place_parse(slice_of(text), &a, &err), 0);
    assert_true(slice_equal(place_of(&a).text, slice_of(text)));
    snprintf(text, sizeof(text), "%052d.%052d:80", 1, 1);
    text[0] = 'a';
    assert_int_equal(place_parse(slice_of(text), &a, &err), -1);
    assert_non_null(strstr(err.text, "has 108 bytes"));
}

static void addresses_are_none(void **state)
{
    (void)state;
    static const char *const texts[] = { "10.0.0.1:80", "[::1]:80", "unix:/run/app.sock" };
    struct address a = { 0 };
    assert_false(place_is_one(&a));
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        assert_int_equal(address_parse(slice_of(texts[i]), false, &a, NULL), 0);
        assert_false(place_is_one(&a));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_files_are_kept_as_they_are_written),
        cmocka_unit_test(what_is_neither_says_nothing_of_its_own),
        cmocka_unit_test(what_looks_like_one_and_is_not_is_explained),
        cmocka_unit_test(addresses_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
