/* auth/verified.h: what was verified and need not be for a while: passwords, which take a hash that is made to be slow, and
 * tokens' signatures. Kept is not what was shown but a MAC of it (SipHash-2-4 with 128 bits, by a key that the process draws),
 * so that nobody finds a password here, or can choose what falls together. Fixed in size, shared by all workers, made of
 * atomics: what one has learned the next one knows. Where two fall into one place the later stays. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

struct verified;

/* At most 8 parts: their lengths count, so that no two lists look alike. */
struct verified_mac {
    uint64_t low, high;
};

/* For `count` at a time, a power of two. NULL: out of memory. */
struct verified *verified_new(uint32_t count);
void verified_free(struct verified *v); /* NULL is fine */
struct verified_mac verified_mac(const struct verified *v, const struct slice *parts, uint32_t count);
/* Any thread. `until_ms`, `now_ms`: of one clock. */
void verified_add(struct verified *v, struct verified_mac mac, uint64_t until_ms);
bool verified_has(const struct verified *v, struct verified_mac mac, uint64_t now_ms);

/* SipHash-2-4 with 128 bits of result (Aumasson and Bernstein, 2012): for the test of its vectors. */
struct verified_mac siphash_128(const uint64_t key[2], const unsigned char *data, size_t len);
