/* What a WebSocket's handshake proves in HTTP/1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "http/websocket.h"

static void a_key_is_answered_as_RFC_6455_has_it(void **state)
{
    (void)state;
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    websocket_make_accept("dGhlIHNhbXBsZSBub25jZQ==", accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_true(websocket_is_answer("dGhlIHNhbXBsZSBub25jZQ==", SLICE("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    assert_false(websocket_is_answer("dGhlIHNhbXBsZSBub25jZQ==", SLICE("s3pPLMBiTxaQ9kYGzzhZRbK+xOo")));
    assert_false(websocket_is_answer("eGhlIHNhbXBsZSBub25jZQ==", SLICE("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    assert_false(websocket_is_answer("dGhlIHNhbXBsZSBub25jZQ==", SLICE_NONE));
}

static void keys_differ(void **state)
{
    (void)state;
    struct rng rng;
    char one[WEBSOCKET_KEY_LEN + 1], other[WEBSOCKET_KEY_LEN + 1];
    rng_seed(&rng, 7);
    websocket_make_key(&rng, one);
    websocket_make_key(&rng, other);
    assert_int_equal(strlen(one), WEBSOCKET_KEY_LEN);
    assert_string_equal(one + WEBSOCKET_KEY_LEN - 2, "==");
    assert_string_not_equal(one, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_answered_as_RFC_6455_has_it),
        cmocka_unit_test(keys_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
