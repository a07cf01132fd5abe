#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <string.h>

#include <cmocka.h>

#include "acme/document.h"

static const char *print_problem(const char *json)
{
    static char room[2048];
    struct text t = text_over(room, sizeof(room));
    struct acme_document d;
    assert_true(acme_document_read(&d, slice_of(json)));
    acme_problem_print(d.root, &t);
    acme_document_close(&d);
    return text_cstr(&t);
}

static void a_problem_is_said_with_its_names(void **state)
{
    (void)state;
    assert_string_equal(
        print_problem("{\"type\":\"urn:ietf:params:acme:error:malformed\",\"detail\":\"Some of it\","
                      "\"subproblems\":[{\"type\":\"urn:ietf:params:acme:error:dns\",\"detail\":\"no A\","
                      "\"identifier\":{\"type\":\"dns\",\"value\":\"a.example\"}},{\"detail\":\"x\"}]}"),
        "Some of it (malformed); a.example: no A (dns); x");
    assert_string_equal(print_problem("{\"title\":\"T\",\"type\":\"about:blank\"}"), "T (about:blank)");
    assert_string_equal(print_problem("{}"), "the CA does not say why");
    assert_string_equal(print_problem("{\"detail\":5,\"subproblems\":{\"a\":1},\"type\":null}"),
                        "the CA does not say why");
}

static void what_it_says_steers_no_terminal(void **state)
{
    (void)state;
    assert_string_equal(print_problem("{\"detail\":\"a\\u001b[31m\\r\\nb\"}"), "a\\x1b[31m\\x0d\\x0ab");
}

static void long_words_are_cut(void **state)
{
    (void)state;
    char json[4096] = "{\"detail\":\"";
    memset(json + 11, 'a', 3000);
    strcpy(json + 3011, "\"}");
    assert_int_equal(strlen(print_problem(json)), 300);
}

static void its_kind_is_known_by_its_whole_type(void **state)
{
    (void)state;
    struct acme_document d;
    assert_true(acme_document_read(&d, SLICE("{\"type\":\"urn:ietf:params:acme:error:badNonce\"}")));
    assert_true(acme_problem_is(d.root, "badNonce"));
    assert_false(acme_problem_is(d.root, "bad"));
    acme_document_close(&d);
    assert_true(acme_document_read(&d, SLICE("{\"type\":\"badNonce\"}")));
    assert_false(acme_problem_is(d.root, "badNonce"));
    acme_document_close(&d);
}

static void only_objects_are_documents(void **state)
{
    (void)state;
    struct acme_document d;
    static const char *const others[] = { "",  "[]",         "null",   "\"a\"",
                                          "{", "{\"a\":1,}", "<html>", "{\"a\":1}{}" };
    for (unsigned i = 0; i < sizeof(others) / sizeof(*others); i++)
        assert_false(acme_document_read(&d, slice_of(others[i])));
}

static void members_of_other_kinds_are_none(void **state)
{
    (void)state;
    struct acme_document d;
    assert_true(acme_document_read(
        &d, SLICE("{\"n\":1,\"z\":\"a\\u0000b\",\"l\":[\"x\"],\"o\":{\"t\":\"v\"},\"e\":\"\"}")));
    assert_null(acme_document_text(d.root, "n"));
    assert_null(acme_document_text(d.root, "z"));
    assert_null(acme_document_text(d.root, "l"));
    assert_null(acme_document_text(d.root, "missing"));
    assert_null(acme_document_list(d.root, "o"));
    assert_null(acme_document_object(d.root, "l"));
    assert_null(acme_document_text(NULL, "n"));
    assert_string_equal(acme_document_text(d.root, "e"), "");
    assert_string_equal(acme_document_text(acme_document_object(d.root, "o"), "t"), "v");
    assert_non_null(acme_document_list(d.root, "l"));
    acme_document_close(&d);
}

static void urls_are_absolute_and_of_https(void **state)
{
    (void)state;
    static const char *const good[] = { "https://ca.example/dir", "https://127.0.0.1:14000/dir?a=b",
                                        "https://[::1]:1/" };
    static const char *const bad[] = {
        "http://ca.example/", "https://",           "https:///x", "ftp://a/", "https://a/ b",
        "https://a/\r\nX: y", "https://a/\xc3\xa4", "/dir",       "",         "https://@a/",
        "file:///etc/passwd"
    };
    char longer[2100];
    memset(longer, 'a', sizeof(longer) - 1);
    memcpy(longer, "https://", 8);
    longer[sizeof(longer) - 1] = 0;
    for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) assert_true(acme_is_url(good[i]));
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) assert_false(acme_is_url(bad[i]));
    assert_false(acme_is_url(longer));
    assert_false(acme_is_url(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_is_said_with_its_names),
        cmocka_unit_test(what_it_says_steers_no_terminal),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(its_kind_is_known_by_its_whole_type),
        cmocka_unit_test(only_objects_are_documents),
        cmocka_unit_test(members_of_other_kinds_are_none),
        cmocka_unit_test(urls_are_absolute_and_of_https),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
