/* base/rng.h: xoshiro256++ (Blackman and Vigna, 2019): fast and seedable, not for secrets.
 * One per worker; seeded from getrandom at start, from a number in tests. */
#pragma once

#include <stdint.h>

struct rng {
    uint64_t state[4];
};

/* From one number, through splitmix64. */
void rng_seed(struct rng *rng, uint64_t seed);
/* From getrandom(2); aborts if the kernel has none. */
void rng_seed_random(struct rng *rng);

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t sum = s[0] + s[3];
    uint64_t result = ((sum << 23) | (sum >> 41)) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/* Uniform in [0, bound), bound > 0, without the bias of `%`: Lemire, "Fast random integer generation
 * in an interval", 2019. */
static inline uint32_t rng_below(struct rng *rng, uint32_t bound)
{
    uint64_t product = (rng_next(rng) >> 32) * bound;
    uint32_t low = (uint32_t)product;
    if (low < bound) {
        uint32_t threshold = -bound % bound;
        while (low < threshold) {
            product = (rng_next(rng) >> 32) * bound;
            low = (uint32_t)product;
        }
    }
    return (uint32_t)(product >> 32);
}
