#include "record/access_outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static void init(struct access_outbox *o, uint32_t size)
{
    struct err err;
    if (access_outbox_init(o, size, &err) < 0) fail_msg("%s", err.text);
}

static bool put(struct access_outbox *o, char c, uint32_t len)
{
    struct text room = access_outbox_room(o, len);
    if (!room.data) return false;
    assert_true(room.cap >= len);
    memset(room.data, c, len);
    access_outbox_add(o, len);
    return true;
}

static void what_is_put_in_comes_out_in_order(void **state)
{
    (void)state;
    struct access_outbox o;
    init(&o, 100);
    assert_true(put(&o, 'a', 40));
    assert_true(put(&o, 'b', 50));
    assert_false(put(&o, 'c', 11));
    assert_int_equal(access_outbox_len(&o, 0), 40);
    assert_int_equal(access_outbox_len(&o, 1), 50);
    assert_int_equal(access_outbox_len(&o, 2), 0);
    access_outbox_remove(&o, 1);
    assert_true(put(&o, 'c', 50)); /* by moving */
    struct slice all = access_outbox_all(&o);
    assert_int_equal(all.len, 100);
    assert_int_equal(all.data[0], 'b');
    assert_int_equal(all.data[50], 'c');
    access_outbox_remove(&o, 2);
    assert_int_equal(access_outbox_all(&o).len, 0);
    access_outbox_fini(&o);
}

static void messages_are_bounded_too(void **state)
{
    (void)state;
    struct access_outbox o;
    init(&o, 2 * ACCESS_OUTBOX_MESSAGES);
    for (uint32_t i = 0; i < ACCESS_OUTBOX_MESSAGES; i++) assert_true(put(&o, 'a', 1));
    assert_false(put(&o, 'b', 1));
    access_outbox_remove(&o, 1);
    assert_true(put(&o, 'b', 1));
    assert_false(put(&o, 'c', 1));
    access_outbox_fini(&o);
}

/* Beside a list of lengths and letters. */
static void it_is_as_a_list_would_be(void **state)
{
    (void)state;
    enum { STEPS = 20000, SIZE = 777 };
    static uint32_t lens[STEPS];
    uint32_t first = 0, count = 0, bytes = 0;
    struct access_outbox o;
    struct rng rng;
    rng_seed(&rng, 5);
    init(&o, SIZE);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t len = 1 + (uint32_t)(rng_next(&rng) % 120);
        if (rng_next(&rng) % 2) {
            assert_int_equal(put(&o, (char)('a' + (first + count) % 26), len), SIZE - bytes >= len);
            if (SIZE - bytes >= len) {
                lens[first + count++] = len;
                bytes += len;
            }
        } else if (count) {
            uint32_t n = 1 + (uint32_t)(rng_next(&rng) % count);
            access_outbox_remove(&o, n);
            for (; n; n--, count--) bytes -= lens[first++];
        }
        struct slice all = access_outbox_all(&o);
        assert_int_equal(all.len, bytes);
        for (uint32_t k = 0, at = 0; k < count; at += lens[first + k++]) {
            assert_int_equal(access_outbox_len(&o, k), lens[first + k]);
            assert_int_equal(all.data[at], 'a' + (first + k) % 26);
            assert_int_equal(all.data[at + lens[first + k] - 1], 'a' + (first + k) % 26);
        }
    }
    access_outbox_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_in_comes_out_in_order),
        cmocka_unit_test(messages_are_bounded_too),
        cmocka_unit_test(it_is_as_a_list_would_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
