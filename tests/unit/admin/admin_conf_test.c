#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "admin/admin_conf.h"
#include "conf/decode.h"

/* What was decoded last is in it. */
static struct conf_arena *latest;

/* "" if it is right, else the first fault. */
static const char *decode(const char *text, struct admin_conf *out)
{
    static char fault[512];
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    struct conf_arena *arena = conf_arena_new();
    assert_non_null(faults);
    fault[0] = 0;
    int result = conf_read_json(&tree, "body", slice_of(text), faults);
    if (result == 0) result = conf_decode(&tree, &admin_conf_type, out, arena, faults);
    assert_int_equal(result<0, faults->count> 0);
    if (result < 0) {
        char *lines = conf_faults_print(faults, &tree, true);
        strncat(fault, lines, strcspn(lines, "\n"));
        free(lines);
    }
    conf_tree_free(&tree);
    conf_arena_free(latest);
    latest = arena;
    free(faults);
    return fault;
}

static void loopback_and_unix_need_no_token(void **state)
{
    (void)state;
    struct admin_conf c;
    char text[ADDRESS_TEXT_MAX];
    assert_string_equal(decode("{}", &c), "");
    assert_string_equal(address_print(&c.bind, text), "127.0.0.1:9091");
    assert_null(c.token);
    assert_string_equal(decode("\"127.0.0.9:1\"", &c), "");
    assert_string_equal(decode("\"[::1]:1\"", &c), "");
    assert_string_equal(decode("\"localhost:1\"", &c), "");
    assert_string_equal(decode("\"unix:/run/weir.sock\"", &c), "");
    assert_string_equal(decode("{\"bind\": \":9091\", \"token\": \"secret\"}", &c), "");
}

static void a_public_address_needs_one(void **state)
{
    (void)state;
    struct admin_conf c;
    assert_string_equal(
        decode("{\"bind\": \"0.0.0.0:9091\"}", &c),
        "body:1:2: the admin API at 0.0.0.0:9091 would be open to everybody who can reach that "
        "address; set a token, or bind to 127.0.0.1, [::1] or a unix socket");
    assert_string_not_equal(decode("{\"bind\": \":9091\"}", &c), "");
    assert_string_not_equal(decode("\"192.0.2.1:9091\"", &c), "");
    assert_string_not_equal(decode("{\"bind\": \":9091\", \"token\": \"\"}", &c), "");
}

static void a_token_must_fit_a_header_field(void **state)
{
    (void)state;
    struct admin_conf c;
    assert_string_not_equal(decode("{\"token\": \"a b\"}", &c), "");
    assert_string_not_equal(decode("{\"token\": \"a\\n\"}", &c), "");
    assert_string_not_equal(decode("{\"token\": \"\xc3\xa4\"}", &c), "");
}

#define GRAFANA "{\"name\": \"grafana\", \"role\": \"view\", \"token\": \"0123456789abcdef\"}"
#define OPS "{\"name\": \"ops\", \"role\": \"operate\", \"token\": \"fedcba9876543210\"}"

static void tokens_have_names_and_roles(void **state)
{
    (void)state;
    struct admin_conf c;
    struct admin_token t;
    assert_string_equal(decode("{\"token\": \"single\", \"tokens\": [" GRAFANA ", " OPS "]}", &c), "");
    assert_int_equal(c.tokens.count, 2);
    assert_true(admin_conf_find_token(&c, "token", &t));
    assert_int_equal(t.role, ROLE_ADMIN);
    assert_true(admin_conf_find_token(&c, "grafana", &t));
    assert_int_equal(t.role, ROLE_VIEW);
    assert_true(admin_conf_find_token(&c, "ops", &t));
    assert_int_equal(t.role, ROLE_OPERATE);
    assert_false(admin_conf_find_token(&c, "nobody", &t));
    assert_false(admin_conf_token(&c, 3, &t));
    assert_string_equal(decode("{\"bind\": \":9091\", \"tokens\": [" OPS "]}", &c), "");
}

static void who_has_no_token_may_what_is_said_and_on_this_machine_alone(void **state)
{
    (void)state;
    struct admin_conf c;
    assert_string_equal(decode("{}", &c), "");
    assert_int_equal(admin_conf_anonymous(&c), ROLE_ADMIN);
    assert_string_equal(decode("{\"tokens\": [" OPS "]}", &c), "");
    assert_int_equal(admin_conf_anonymous(&c), ROLE_NONE);
    assert_string_equal(decode("{\"anonymous\": \"view\", \"tokens\": [" OPS "]}", &c), "");
    assert_int_equal(admin_conf_anonymous(&c), ROLE_VIEW);
    assert_string_equal(decode("{\"anonymous\": \"view\"}", &c), "");
    assert_int_equal(admin_conf_anonymous(&c), ROLE_VIEW);
    assert_non_null(strstr(decode("{\"anonymous\": \"none\"}", &c), "nobody could use"));
    assert_non_null(
        strstr(decode("{\"bind\": \":9091\", \"anonymous\": \"view\", \"tokens\": [" OPS "]}", &c),
               "everybody who can reach"));
}

static void tokens_that_could_not_be_told_apart_are_refused(void **state)
{
    (void)state;
    struct admin_conf c;
    static const struct {
        const char *tokens, *part;
    } cases[] = {
        { GRAFANA ", {\"name\": \"x\", \"role\": \"view\", \"token\": \"0123456789abcdef\"}",
          "the same token" },
        { "{\"name\": \"token\", \"role\": \"view\", \"token\": \"0123456789abcdef\"}", "another name" },
        { GRAFANA ", " GRAFANA, "grafana" },
        { "{\"name\": \"x\", \"role\": \"view\", \"token\": \"too-short\"}", "16" },
        { "{\"name\": \"x\", \"role\": \"root\", \"token\": \"0123456789abcdef\"}", "root" },
        { "{\"name\": \"x\", \"token\": \"0123456789abcdef\"}", "role" },
        { "{\"name\": \"x\", \"role\": \"view\"}", "token" },
        { "{\"name\": \"a b\", \"role\": \"view\", \"token\": \"0123456789abcdef\"}", "letters, digits" },
        { "{\"name\": \"x\", \"role\": \"view\", \"token\": \"0123456789 abcdef\"}", "header field" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[512];
        snprintf(text, sizeof(text), "{\"token\": \"single\", \"tokens\": [%s]}", cases[i].tokens);
        const char *fault = decode(text, &c);
        if (!strstr(fault, cases[i].part)) fail_msg("%s: %s", cases[i].tokens, fault);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_and_unix_need_no_token),
        cmocka_unit_test(a_public_address_needs_one),
        cmocka_unit_test(a_token_must_fit_a_header_field),
        cmocka_unit_test(tokens_have_names_and_roles),
        cmocka_unit_test(who_has_no_token_may_what_is_said_and_on_this_machine_alone),
        cmocka_unit_test(tokens_that_could_not_be_told_apart_are_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    conf_arena_free(latest);
    return failed;
}
