/* Bytes have one text, and a text that is none is refused. */
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *encode(struct slice bytes)
{
    static char room[256];
    struct text t = text_over(room, sizeof(room));
    base64url_add(&t, bytes);
    return text_cstr(&t);
}

static void it_is_that_of_the_rfcs(void **state)
{
    (void)state;
    /* RFC 4648 10, without padding; RFC 7515 C */
    assert_string_equal(encode(SLICE("")), "");
    assert_string_equal(encode(SLICE("f")), "Zg");
    assert_string_equal(encode(SLICE("fo")), "Zm8");
    assert_string_equal(encode(SLICE("foo")), "Zm9v");
    assert_string_equal(encode(SLICE("foob")), "Zm9vYg");
    assert_string_equal(encode(SLICE("\x03\xec\xff\xe0\xc1")), "A-z_4ME");
}

static void it_is_read_as_it_is_written(void **state)
{
    (void)state;
    char out[64], bytes[40];
    size_t len;
    for (size_t i = 0; i < sizeof(bytes); i++) bytes[i] = (char)(i * 83 + 7);
    for (size_t n = 0; n < sizeof(bytes); n++) {
        struct slice text = slice_of(encode((struct slice){ bytes, n }));
        assert_true(base64url_decode(text, out, sizeof(out), &len));
        assert_int_equal(len, n);
        assert_memory_equal(out, bytes, n);
        assert_true(base64_decode_pasted(text, out, n, &len));
        assert_int_equal(len, n);
        if (n) assert_false(base64url_decode(text, out, n - 1, &len)); /* no room */
    }
}

static void both_alphabets_have_one_text_for_each_run_of_bytes(void **state)
{
    (void)state;
    char out[16];
    size_t len;
    assert_true(base64url_decode(SLICE("-_8"), out, sizeof(out), &len));
    assert_int_equal(len, 2);
    assert_memory_equal(out, "\xfb\xff", 2);
    assert_false(base64url_decode(SLICE("-_9"), out, sizeof(out), &len)); /* bits that mean nothing */
    assert_false(base64url_decode(SLICE("-_8="), out, sizeof(out), &len));
    assert_false(base64url_decode(SLICE("+/8"), out, sizeof(out), &len));
    assert_true(base64_decode(SLICE("+/8="), out, sizeof(out), &len));
    assert_false(base64_decode(SLICE("-_8="), out, sizeof(out), &len));
    assert_false(base64_decode(SLICE("+/8"), out, sizeof(out), &len));
    assert_false(base64_decode(SLICE("A==="), out, sizeof(out), &len));
    assert_true(base64url_decode(SLICE(""), out, sizeof(out), &len));
    assert_int_equal(len, 0);
}

static void what_people_paste_may_have_either(void **state)
{
    (void)state;
    char out[16];
    size_t len;
    assert_true(base64_decode_pasted(SLICE("A+z_4ME="), out, sizeof(out), &len));
    assert_int_equal(len, 5);
    assert_memory_equal(out, "\x03\xec\xff\xe0\xc1", 5);
    assert_false(base64_decode_pasted(SLICE("A"), out, sizeof(out), &len));
    assert_false(base64_decode_pasted(SLICE("Zh"), out, sizeof(out), &len));
    assert_false(base64_decode_pasted(SLICE("Zm 8"), out, sizeof(out), &len));
    assert_false(base64_decode_pasted(SLICE("Zm\0008"), out, sizeof(out), &len));
}

static void tokens_have_no_other_letters(void **state)
{
    (void)state;
    assert_true(base64url_is_token(SLICE("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA")));
    assert_false(base64url_is_token(SLICE("")));
    assert_false(base64url_is_token(SLICE("../../etc/passwd")));
    assert_false(base64url_is_token(SLICE("a=")));
    assert_false(base64url_is_token(SLICE("a+b")));
    assert_false(base64url_is_token(SLICE("a\0b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_that_of_the_rfcs),
        cmocka_unit_test(it_is_read_as_it_is_written),
        cmocka_unit_test(both_alphabets_have_one_text_for_each_run_of_bytes),
        cmocka_unit_test(what_people_paste_may_have_either),
        cmocka_unit_test(tokens_have_no_other_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
