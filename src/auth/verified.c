#include "auth/verified.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

/* A reader that meets a writer sees halves of two MACs, which is none that anybody could make. */
struct place {
    _Atomic uint64_t low, high, until_ms;
};

struct verified {
    uint64_t key[2];
    uint32_t mask;
    struct place places[];
};

/* SipHash */

struct sip {
    uint64_t v[4];
    uint64_t word;
    uint64_t len;
};

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void rounds(struct sip *s, unsigned count)
{
    uint64_t *v = s->v;
    while (count--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static void take_word(struct sip *s, uint64_t word)
{
    s->v[3] ^= word;
    rounds(s, 2);
    s->v[0] ^= word;
}

static struct sip begin(const uint64_t key[2])
{
    struct sip s = { .v = { key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                            key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573) } };
    s.v[1] ^= 0xee; /* of the result with 128 bits */
    return s;
}

static void add(struct sip *s, const unsigned char *data, size_t len)
{
    size_t i = 0;
    while (i < len && s->len % 8) {
        s->word |= (uint64_t)data[i++] << (s->len % 8 * 8);
        if (++s->len % 8) continue;
        take_word(s, s->word);
        s->word = 0;
    }
    for (; len - i >= 8; i += 8) {
        uint64_t word = 0;
        for (unsigned k = 0; k < 8; k++) word |= (uint64_t)data[i + k] << (k * 8);
        take_word(s, word);
        s->len += 8;
    }
    for (; i < len; i++) {
        s->word |= (uint64_t)data[i] << (s->len % 8 * 8);
        s->len++;
    }
}

static uint64_t fold(const struct sip *s)
{
    return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

static struct verified_mac end(struct sip *s)
{
    struct verified_mac mac;
    take_word(s, s->word | s->len << 56);
    s->v[2] ^= 0xee;
    rounds(s, 4);
    mac.low = fold(s);
    s->v[1] ^= 0xdd;
    rounds(s, 4);
    mac.high = fold(s);
    return mac;
}

struct verified_mac siphash_128(const uint64_t key[2], const unsigned char *data, size_t len)
{
    struct sip s = begin(key);
    add(&s, data, len);
    return end(&s);
}

struct verified_mac verified_mac(const struct verified *v, const struct slice *parts, uint32_t count)
{
    struct sip s = begin(v->key);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t len = parts[i].len;
        add(&s, (const unsigned char *)&len, sizeof(len));
        add(&s, (const unsigned char *)parts[i].data, parts[i].len);
    }
    return end(&s);
}

/* the table */

struct verified *verified_new(uint32_t count)
{
    struct verified *v = calloc(1, sizeof(*v) + count * sizeof(struct place));
    if (!v) return NULL;
    v->mask = count - 1;
    if (getrandom(v->key, sizeof(v->key), 0) != (ssize_t)sizeof(v->key)) abort();
    return v;
}

void verified_free(struct verified *v)
{
    if (!v) return;
    explicit_bzero(v->key, sizeof(v->key));
    free(v);
}

void verified_add(struct verified *v, struct verified_mac mac, uint64_t until_ms)
{
    struct place *p = &v->places[mac.low & v->mask];
    atomic_store_explicit(&p->until_ms, 0, memory_order_release);
    atomic_store_explicit(&p->low, mac.low, memory_order_release);
    atomic_store_explicit(&p->high, mac.high, memory_order_release);
    atomic_store_explicit(&p->until_ms, until_ms, memory_order_release);
}

bool verified_has(const struct verified *v, struct verified_mac mac, uint64_t now_ms)
{
    struct place *p = (struct place *)&v->places[mac.low & v->mask];
    uint64_t until_ms = atomic_load_explicit(&p->until_ms, memory_order_acquire);
    uint64_t low = atomic_load_explicit(&p->low, memory_order_acquire);
    uint64_t high = atomic_load_explicit(&p->high, memory_order_acquire);
    return ((low ^ mac.low) | (high ^ mac.high)) == 0 && now_ms < until_ms;
}
