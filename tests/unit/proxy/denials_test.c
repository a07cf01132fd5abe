#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "proxy/denials.h"

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_true(ip_parse(slice_of(text), &ip));
    return ip;
}

static struct denial denial(const char *text, uint8_t bits, uint64_t until_ms)
{
    return (struct denial){ .ip = ip_of(text), .bits = bits, .until_ms = until_ms, .count = 1 };
}

static bool has(const struct denials *d, const char *text)
{
    struct ip ip = ip_of(text);
    return denials_have(d, &ip);
}

static void what_was_added_is_denied_and_nobody_else(void **state)
{
    (void)state;
    struct denials *d = denials_new(1);
    struct denial one = denial("192.0.2.1", 128, 100), block = denial("198.51.100.0", 120, 100),
                  six = denial("2001:db8:1:2::", 64, 100), single = denial("2001:db8::7", 128, 100);
    assert_int_equal(denials_add(d, &one), 1);
    assert_int_equal(denials_add(d, &block), 2);
    assert_int_equal(denials_add(d, &six), 3);
    assert_int_equal(denials_add(d, &single), 4);
    assert_true(has(d, "192.0.2.1"));
    assert_false(has(d, "192.0.2.2"));
    assert_true(has(d, "198.51.100.0"));
    assert_true(has(d, "198.51.100.255"));
    assert_false(has(d, "198.51.101.1"));
    assert_true(has(d, "2001:db8:1:2:3:4:5:6"));
    assert_false(has(d, "2001:db8:1:3::1"));
    assert_true(has(d, "2001:db8::7"));
    assert_false(has(d, "2001:db8::8"));
    denials_free(d);
}

static void it_ends_when_its_time_is_over_or_it_is_revoked(void **state)
{
    (void)state;
    struct denials *d = denials_new(1);
    struct denial a = denial("192.0.2.1", 128, 100), b = denial("192.0.2.2", 128, 200);
    denials_add(d, &a);
    uint64_t id = denials_add(d, &b);
    assert_int_equal(denials_sweep(d, 99), 0);
    assert_int_equal(denials_sweep(d, 100), 1);
    assert_false(has(d, "192.0.2.1"));
    assert_true(has(d, "192.0.2.2"));
    assert_true(denials_remove(d, id));
    assert_false(denials_remove(d, id));
    assert_false(has(d, "192.0.2.2"));
    denials_free(d);
}

static void the_later_end_counts(void **state)
{
    (void)state;
    struct denials *d = denials_new(1);
    struct denial a = denial("192.0.2.1", 128, 100), b = denial("192.0.2.1", 128, 300),
                  c = denial("192.0.2.1", 128, 50);
    uint64_t id = denials_add(d, &a);
    assert_int_equal(denials_add(d, &b), id);
    assert_int_equal(denials_add(d, &c), id);
    assert_int_equal(d->items[0].count, 3);
    assert_int_equal(denials_sweep(d, 299), 0);
    assert_int_equal(denials_sweep(d, 300), 1);
    denials_free(d);
}

static void there_is_a_bound(void **state)
{
    (void)state;
    struct denials *d = denials_new(7);
    uint32_t added = 0;
    char text[32];
    for (unsigned i = 0; i < DENIALS_MAX + 2000; i++) {
        snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, (i >> 8) & 255, i & 255);
        struct denial one = denial(text, 128, 100);
        if (denials_add(d, &one)) added++;
    }
    assert_true(added <= DENIALS_MAX);
    assert_true(added > DENIALS_MAX * 9 / 10);
    assert_int_equal(d->refused, DENIALS_MAX + 2000 - added);
    assert_int_equal(denials_sweep(d, 100), added);
    assert_int_equal(atomic_load(&d->count), 0);
    denials_free(d);
}

/* Ends in all orders, and back again: what is left is found, in its order, and can be renewed and taken out. */
static void what_has_not_ended_stays_in_its_order_and_is_found(void **state)
{
    (void)state;
    enum { COUNT = 16000 };
    struct denials *d = denials_new(11);
    assert_non_null(d);
    uint32_t added = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct denial one = { .bits = 128, .until_ms = 100 + i * 7919 % 10, .count = 1 };
        memcpy(one.ip.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
        memcpy(one.ip.bytes + 12, &i, 4);
        if (denials_add(d, &one)) added++;
    }
    uint32_t left = added;
    for (uint64_t now = 99; now <= 109; now++) {
        left -= denials_sweep(d, now);
        assert_int_equal(d->count, left);
        uint64_t last = 0;
        for (uint32_t i = 0; i < left; i++) {
            struct denial again = d->items[i];
            assert_true(again.until_ms > now && again.id > last);
            last = again.id;
            assert_true(denials_have(d, &again.ip));
            if (i % 97) continue;
            uint64_t count = again.count;
            assert_true(denials_add(d, &again) == last);
            assert_true(d->items[i].count == count * 2);
        }
        if (!left) break;
        struct denial out = d->items[left / 2];
        assert_true(denials_remove(d, out.id));
        assert_false(denials_have(d, &out.ip));
        left--;
    }
    assert_int_equal(left, 0);
    for (uint32_t i = 0; i < DENIALS_SETS * DENIALS_WAYS; i++) assert_true(d->table[i] == 0);
    denials_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_not_ended_stays_in_its_order_and_is_found),
        cmocka_unit_test(what_was_added_is_denied_and_nobody_else),
        cmocka_unit_test(it_ends_when_its_time_is_over_or_it_is_revoked),
        cmocka_unit_test(the_later_end_counts),
        cmocka_unit_test(there_is_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
