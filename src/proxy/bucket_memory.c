#include "proxy/bucket_memory.h"

#include <sys/mman.h>

#include "base/rng.h"

bool bucket_memory_init(struct bucket_memory *m, uint32_t keys, uint32_t mean, size_t bucket_bytes)
{
    struct rng rng;
    size_t buckets = 1;
    while (buckets * mean < keys) buckets *= 2;
    rng_seed_random(&rng);
    m->seed = rng_next(&rng);
    m->mask = buckets - 1;
    m->bytes = buckets * bucket_bytes;
    m->buckets = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return m->buckets != MAP_FAILED;
}

void bucket_memory_fini(struct bucket_memory *m)
{
    munmap(m->buckets, m->bytes);
}
