#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <string.h>

#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <cmocka.h>

#include "tls/challenges.h"
#include "tls/store.h"

static struct tls_challenges *challenges;
static const struct tls_challenge two[] = {
    { false, "a.example", "token-a", "token-a.print" },
    { true, "b.example", "token-b", "token-b.print" },
};

static int set_up(void **state)
{
    (void)state;
    challenges = tls_challenges_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_challenges_free(challenges);
    return 0;
}

static void only_what_is_outstanding_is_found(void **state)
{
    (void)state;
    char out[TLS_AUTHORIZATION_ROOM];
    assert_false(tls_challenges_are_any(challenges));
    assert_false(tls_challenges_are_any(NULL));
    assert_false(tls_challenges_find_token(challenges, SLICE("token-a"), out));
    assert_true(tls_challenges_set(challenges, two, 2));
    assert_true(tls_challenges_are_any(challenges));
    assert_true(tls_challenges_find_token(challenges, SLICE("token-a"), out));
    assert_string_equal(out, "token-a.print");
    assert_false(tls_challenges_find_token(challenges, SLICE("token-"), out));
    assert_false(tls_challenges_find_token(challenges, SLICE(""), out));
    /* Each by its own way. */
    assert_false(tls_challenges_find_token(challenges, SLICE("token-b"), out));
    assert_null(tls_challenges_find_name(challenges, SLICE("a.example")));
    assert_true(tls_challenges_set(challenges, NULL, 0));
    assert_false(tls_challenges_are_any(challenges));
    assert_false(tls_challenges_find_token(challenges, SLICE("token-a"), out));
}

static void check_identifier(X509 *x, const char *authorization)
{
    unsigned char expected[34] = { 4, 32 };
    ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
    int at = X509_get_ext_by_OBJ(x, id, -1);
    ASN1_OBJECT_free(id);
    assert_int_not_equal(at, -1);
    X509_EXTENSION *extension = X509_get_ext(x, at);
    assert_int_equal(X509_EXTENSION_get_critical(extension), 1);
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
    SHA256((const unsigned char *)authorization, strlen(authorization), expected + 2);
    assert_int_equal(ASN1_STRING_length(value), sizeof(expected));
    assert_memory_equal(ASN1_STRING_get0_data(value), expected, sizeof(expected));
}

static void the_certificate_is_that_of_the_rfc(void **state)
{
    (void)state;
    assert_true(tls_challenges_set(challenges, two, 2));
    struct tls_store *store = tls_challenges_find_name(challenges, SLICE("B.Example"));
    assert_non_null(store);
    /* It is held on to by who is shown it. */
    assert_true(tls_challenges_set(challenges, NULL, 0));
    const struct tls_choice *choice = tls_store_find(store, SLICE("b.example"));
    assert_non_null(choice);
    const struct tls_certificate *c = choice->by_kind[TLS_KEY_EC];
    assert_int_equal(c->name_count, 1);
    assert_string_equal(c->names, "b.example");
    const unsigned char *der = c->chain;
    X509 *x = d2i_X509(NULL, &der, (long)c->chain_bytes);
    check_identifier(x, "token-b.print");
    assert_int_equal(X509_verify(x, X509_get0_pubkey(x)), 1);
    X509_free(x);
    tls_store_put(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_is_outstanding_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_certificate_is_that_of_the_rfc, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
