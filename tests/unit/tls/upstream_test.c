#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls/pki.h"
#include "tls/trust.h"
#include "tls/upstream.h"

static int set_up(void **state)
{
    (void)state;
    pki_make(&(struct pki_wish){ .file = "ca", .days = 30, .is_ca = 1 });
    pki_make(&(struct pki_wish){ .file = "me", .issuer = "ca", .days = 30 });
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pki_remove();
    return 0;
}

static struct tls_upstream *make(const struct tls_upstream_conf *conf)
{
    struct tls_upstream *u;
    const char *key;
    struct err err;
    if (tls_upstream_new(&u, conf, &key, &err) < 0) fail_msg("%s", err.text);
    return u;
}

static uint64_t print_of(const struct tls_upstream_conf *conf)
{
    struct tls_upstream *u = make(conf);
    uint64_t print = tls_upstream_print(u);
    tls_upstream_put(u);
    return print;
}

static void rules_are_told_apart_by_what_is_in_their_files(void **state)
{
    (void)state;
    struct tls_certificate_conf own = { pki_path("me", ".pem"), pki_path("me", ".key") };
    struct tls_upstream_conf first = { .ca = pki_path("ca", ".pem") }, same = first;
    char *text = pki_read("ca", ".pem");
    pki_write("copy", ".pem", text);
    free(text);
    same.ca = pki_path("copy", ".pem");
    assert_true(print_of(&first) == print_of(&same));
    const struct tls_upstream_conf others[] = {
        { .ca = pki_path("me", ".pem") },
        { .ca = first.ca, .name = "a.example" },
        { .ca = first.ca, .profile = TLS_MODERN },
        { .ca = first.ca, .certificate = &own },
        { .ca = first.ca, .verify = TLS_VERIFY_OFF },
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        assert_true(print_of(&others[i]) != print_of(&first));
        for (size_t j = 0; j < i; j++) assert_true(print_of(&others[i]) != print_of(&others[j]));
    }
    uint64_t before = print_of(&first);
    pki_make(&(struct pki_wish){ .file = "ca", .days = 30, .is_ca = 1 });
    assert_true(print_of(&first) != before);
}

static void the_same_cas_are_kept_once(void **state)
{
    (void)state;
    struct tls_upstream_conf conf = { .ca = pki_path("ca", ".pem") };
    struct tls_upstream *one = make(&conf), *two = make(&conf);
    assert_ptr_equal(SSL_CTX_get_cert_store(tls_upstream_context(one)),
                     SSL_CTX_get_cert_store(tls_upstream_context(two)));
    tls_upstream_put(one);
    tls_upstream_put(two);
}

static void a_mistake_is_of_a_row(void **state)
{
    (void)state;
    struct tls_certificate_conf own = { pki_path("me", ".pem"), pki_path("ca", ".key") };
    pki_write("empty", ".pem", "");
    pki_write("torn", ".pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    const struct {
        struct tls_upstream_conf conf;
        const char *key, *says;
    } cases[] = {
        { { .ca = "/nowhere" }, "ca", "cannot open /nowhere" },
        { { .ca = pki_path("empty", ".pem") }, "ca", "has no certificate" },
        { { .ca = pki_path("torn", ".pem") }, "ca", "has a certificate that cannot be read" },
        { { .ca = pki_path("ca", ".pem"), .certificate = &own }, "certificate", "does not belong to" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct tls_upstream *u;
        const char *key = NULL;
        struct err err;
        assert_int_equal(tls_upstream_new(&u, &cases[i].conf, &key, &err), -1);
        assert_string_equal(key, cases[i].key);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s", err.text);
    }
}

static void names_that_can_be_verified(void **state)
{
    (void)state;
    static const char *const good[] = { "a.example", "10.0.0.1", "::1", "A-b_c.d.example" };
    static const char *const bad[] = { "web",  "10.0.0.1:80", "a..b", ".a.b",
                                       "a.b.", "a b.c",       "",     "unix:/tmp/x.y" };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (!tls_name_can_be_verified(good[i])) fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (tls_name_can_be_verified(bad[i])) fail_msg("%s", bad[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(rules_are_told_apart_by_what_is_in_their_files),
        TEST(the_same_cas_are_kept_once),
        TEST(a_mistake_is_of_a_row),
        TEST(names_that_can_be_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
