#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tls/memory.h"

#define PLACES 4000

struct held {
    unsigned char *at;
    size_t bytes;
    unsigned char fill;
};

static void check(const struct held *h)
{
    for (size_t i = 0; i < h->bytes; i++)
        if (h->at[i] != h->fill) fail_msg("a place of %zu bytes was written by another", h->bytes);
}

static size_t some_size(struct rng *rng)
{
    switch (rng_below(rng, 10)) {
    case 0: return rng_below(rng, 200000);
    case 1: return rng_below(rng, 40000);
    default: return rng_below(rng, 1500);
    }
}

/* Takes, resizes and gives back at random, and looks after each whether anything else changed. */
static void exercise(struct held *held, uint64_t seed, unsigned steps)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (unsigned i = 0; i < steps; i++) {
        struct held *h = &held[rng_below(&rng, PLACES)];
        size_t bytes = some_size(&rng);
        check(h);
        if (h->at && rng_below(&rng, 3) == 0) {
            size_t same = bytes < h->bytes ? bytes : h->bytes;
            h->at = tls_memory_resize(h->at, bytes);
            h->bytes = same;
            check(h);
        } else {
            tls_memory_put(h->at);
            h->at = tls_memory_get(bytes);
        }
        assert_non_null(h->at);
        assert_int_equal((uintptr_t)h->at % 16, 0);
        h->bytes = bytes;
        h->fill = (unsigned char)i;
        memset(h->at, h->fill, bytes);
    }
}

static void give_all(struct held *held)
{
    for (unsigned i = 0; i < PLACES; i++) {
        check(&held[i]);
        tls_memory_put(held[i].at);
        held[i] = (struct held){ .at = NULL };
    }
}

static void places_never_overlap_and_what_is_given_back_goes_back(void **state)
{
    (void)state;
    struct held *held = calloc(PLACES, sizeof(*held));
    exercise(held, 1, 24000);
    size_t peak = tls_memory_mapped();
    give_all(held);
    tls_memory_trim();
    assert_true(peak > 8 << 20);
    /* One run of each size at most. */
    assert_true(tls_memory_mapped() <= 40 * (256 << 10));
    free(held);
}

static struct held shared[PLACES];

static void *take_them(void *seed)
{
    exercise(shared, *(uint64_t *)seed, 8000);
    return NULL;
}

/* What one thread takes, another gives back; what a thread kept is not lost with it. */
static void places_go_from_thread_to_thread(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, take_them, &seed), 0);
        pthread_join(thread, NULL);
    }
    give_all(shared);
    tls_memory_trim();
    assert_true(tls_memory_mapped() <= 40 * (256 << 10));
}

/* Whether the kernel leaves the mapping of that address out of core files. */
static bool is_left_out(const void *at)
{
    char line[512];
    bool is_inside = false, is_out = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    while (f && fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            is_inside = (uintptr_t)at >= from && (uintptr_t)at < to;
        if (is_inside && strncmp(line, "VmFlags:", 8) == 0) is_out = strstr(line, " dd") != NULL;
    }
    fclose(f);
    return is_out;
}

static void core_files_are_without_it_until_it_is_to_be_shown(void **state)
{
    (void)state;
    void *small = tls_memory_get(100), *large = tls_memory_get(100000);
    assert_true(is_left_out(small));
    assert_true(is_left_out(large));
    tls_memory_show();
    assert_false(is_left_out(small));
    assert_false(is_left_out(large));
    tls_memory_put(small);
    tls_memory_put(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_never_overlap_and_what_is_given_back_goes_back),
        cmocka_unit_test(places_go_from_thread_to_thread),
        cmocka_unit_test(core_files_are_without_it_until_it_is_to_be_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
