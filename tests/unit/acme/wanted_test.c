#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "acme/wanted.h"

static const char *const names[] = { "a.example", "b.example", "c.example" };
static const char *const turned[] = { "a.example", "c.example", "b.example" };
static const struct conf_items list = { .data = (void *)(uintptr_t)names, .count = 3 };

static void the_order_of_names_is_no_matter(void **state)
{
    (void)state;
    const struct acme_conf conf = { .directory = "https://ca.example/dir" };
    const struct conf_items other = { .data = (void *)(uintptr_t)turned, .count = 3 };
    assert_true(acme_wanted(&conf, &list) == acme_wanted(&conf, &other));
}

static void whatever_else_changes_is_another_order(void **state)
{
    (void)state;
    struct acme_binding_conf binding = { .kid = "kid-1" }, other_binding = { .kid = "kid-2" };
    const struct acme_conf confs[] = {
        { .directory = "https://ca.example/dir" },
        { .directory = "https://staging.ca.example/dir" },
        { .directory = "https://ca.example/dir", .challenge = ACME_TLS_ALPN_01 },
        { .directory = "https://ca.example/dir", .binding = &binding },
        { .directory = "https://ca.example/dir", .binding = &other_binding },
    };
    const struct conf_items fewer = { .data = (void *)(uintptr_t)names, .count = 2 };
    uint64_t all[6];
    for (unsigned i = 0; i < 5; i++) all[i] = acme_wanted(&confs[i], &list);
    all[5] = acme_wanted(&confs[0], &fewer);
    for (unsigned i = 0; i < 6; i++)
        for (unsigned n = 0; n < i; n++) assert_true(all[i] != all[n]);
}

static void what_is_not_told_in_an_order_is_no_matter(void **state)
{
    (void)state;
    const struct acme_conf conf = { .directory = "https://ca.example/dir" };
    const struct acme_conf same = {
        .directory = "https://ca.example/dir", .email = "me@a.example", .retry_ms = 5, .ca = "/ca.pem"
    };
    assert_true(acme_wanted(&conf, &list) == acme_wanted(&same, &list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_names_is_no_matter),
        cmocka_unit_test(whatever_else_changes_is_another_order),
        cmocka_unit_test(what_is_not_told_in_an_order_is_no_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
