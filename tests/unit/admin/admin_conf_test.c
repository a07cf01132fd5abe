#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdlib.h>
#include <cmocka.h>

#include "admin/admin_conf.h"
#include "conf/decode.h"

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
    conf_arena_free(arena);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_and_unix_need_no_token),
        cmocka_unit_test(a_public_address_needs_one),
        cmocka_unit_test(a_token_must_fit_a_header_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
