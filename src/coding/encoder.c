#include "coding/encoder.h"

#include <stdlib.h>

/* Before each piece of memory: its size. As wide as malloc() aligns. */
union size_before {
    size_t size;
    max_align_t alignment;
};

void *encoder_alloc(void *encoder, size_t size)
{
    struct encoder *e = encoder;
    union size_before *memory = malloc(sizeof(*memory) + size);
    if (!memory) return NULL;
    memory->size = size;
    e->taken += size;
    if (e->taken > e->taken_max) e->taken_max = e->taken;
    return memory + 1;
}

void encoder_dealloc(void *encoder, void *memory)
{
    struct encoder *e = encoder;
    union size_before *before = memory;
    if (!memory) return;
    e->taken -= before[-1].size;
    free(before - 1);
}

const struct encoder_kind *encoder_kind_of(enum coding c)
{
    static const struct encoder_kind *const kinds[] = {
        [CODING_GZIP] = &encoder_gzip, [CODING_BR] = &encoder_br, [CODING_ZSTD] = &encoder_zstd
    };
    return kinds[c];
}
