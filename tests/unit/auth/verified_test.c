#include "auth/verified.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* SipHash-2-4-128 of the bytes 0, 1, 2, … by the key 0, 1, 2, …, 15, from the authors' list of vectors. */
static void siphash_gives_what_its_authors_say(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        unsigned char mac[16];
    } vectors[] = {
        { 0,
          { 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
            0x93 } },
        { 1,
          { 0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
            0x45 } },
        { 2,
          { 0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a, 0xff,
            0xe4 } },
    };
    const uint64_t key[2] = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };
    const unsigned char data[] = { 0, 1, 2 };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
        struct verified_mac mac = siphash_128(key, data, vectors[i].len);
        unsigned char bytes[16];
        for (unsigned k = 0; k < 8; k++) {
            bytes[k] = (unsigned char)(mac.low >> (8 * k));
            bytes[k + 8] = (unsigned char)(mac.high >> (8 * k));
        }
        assert_memory_equal(bytes, vectors[i].mac, 16);
    }
}

static struct verified_mac mac_of(const struct verified *v, const char *a, const char *b)
{
    struct slice parts[] = { slice_of(a), slice_of(b) };
    return verified_mac(v, parts, 2);
}

static void what_was_added_is_there_until_its_time(void **state)
{
    (void)state;
    struct verified *v = verified_new(64);
    struct verified_mac mac = mac_of(v, "hash", "secret");
    assert_false(verified_has(v, mac, 0));
    verified_add(v, mac, 1000);
    assert_true(verified_has(v, mac, 999));
    assert_false(verified_has(v, mac, 1000));
    assert_false(verified_has(v, mac_of(v, "hash", "Secret"), 0));
    verified_free(v);
    verified_free(NULL);
}

static void where_parts_begin_and_end_counts(void **state)
{
    (void)state;
    struct verified *v = verified_new(64);
    struct verified_mac one = mac_of(v, "ab", "c"), other = mac_of(v, "a", "bc"),
                        again = mac_of(v, "ab", "c");
    assert_false(one.low == other.low && one.high == other.high);
    assert_true(one.low == again.low && one.high == again.high);
    verified_free(v);
}

static void each_process_has_a_key_of_its_own(void **state)
{
    (void)state;
    struct verified *v = verified_new(64), *w = verified_new(64);
    struct verified_mac one = mac_of(v, "a", "b"), other = mac_of(w, "a", "b");
    assert_false(one.low == other.low && one.high == other.high);
    verified_free(v);
    verified_free(w);
}

static void the_latest_stays_where_there_is_no_room_for_all(void **state)
{
    (void)state;
    struct verified *v = verified_new(1);
    struct verified_mac one = mac_of(v, "a", ""), other = mac_of(v, "b", "");
    verified_add(v, one, 10);
    verified_add(v, other, 10);
    assert_false(verified_has(v, one, 1));
    assert_true(verified_has(v, other, 1));
    verified_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_what_its_authors_say),
        cmocka_unit_test(what_was_added_is_there_until_its_time),
        cmocka_unit_test(where_parts_begin_and_end_counts),
        cmocka_unit_test(each_process_has_a_key_of_its_own),
        cmocka_unit_test(the_latest_stays_where_there_is_no_room_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
