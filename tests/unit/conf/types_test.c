#include "conf/sample_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void values_of_the_common_types_are_read_and_printed(void **state)
{
    (void)state;
    static const struct {
        const struct conf_type *type;
        const char *text, *printed; /* NULL: refused */
    } cases[] = {
        { &conf_address_type, "10.0.0.1:80", "10.0.0.1:80" },
        { &conf_address_type, ":80", NULL },
        { &conf_bind_address_type, ":80", "[::]:80" },
        { &conf_bind_address_type, "x", NULL },
        { &conf_cidr_type, "10.0.0.0/8", "10.0.0.0/8" },
        { &conf_cidr_type, "192.0.2.7", "192.0.2.7/32" },
        { &conf_cidr_type, "2001:db8::/32", "2001:db8::/32" },
        { &conf_cidr_type, "10.0.0.1/8", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        union {
            struct address address;
            struct cidr cidr;
        } value;
        char data[200];
        struct err err;
        struct text text = text_over(data, sizeof(data));
        assert_true(cases[i].type->size <= sizeof(value));
        int result = cases[i].type->parse(slice_of(cases[i].text), &value, &err);
        assert_int_equal(result, cases[i].printed ? 0 : -1);
        if (result < 0) continue;
        cases[i].type->print(&value, &text);
        assert_string_equal(text_cstr(&text), cases[i].printed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_the_common_types_are_read_and_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
