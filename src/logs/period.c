#include "logs/period.h"

#include <stdlib.h>
#include <string.h>

static const char *const dimension_names[] = {
#define X(id, name) name,
    PERIOD_DIMENSIONS(X)
#undef X
};

const char *period_dimension_name(enum period_dimension d)
{
    return dimension_names[d];
}

enum period_dimension period_dimension_by_name(struct slice name)
{
    unsigned d = 0;
    while (d < PERIOD_DIMENSION_COUNT && !slice_equal(slice_of(dimension_names[d]), name)) d++;
    return (enum period_dimension)d;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

size_t period_bytes(const struct period_size *size)
{
    size_t bytes = round_up(sizeof(struct period)) + round_up(distinct_size(size->distinct_bits));
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++)
        bytes += top_bytes(size->tops[d].capacity, size->tops[d].key_max);
    return bytes;
}

struct period *period_place(void *start, const struct period_size *size)
{
    struct period *p = start;
    char *memory = (char *)start + round_up(sizeof(*p));
    p->clients = (struct distinct *)(void *)memory;
    p->clients->bits = (uint8_t)size->distinct_bits;
    memory += round_up(distinct_size(size->distinct_bits));
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++) {
        p->tops[d] = top_place(memory, size->tops[d].capacity, size->tops[d].key_max);
        memory += top_bytes(size->tops[d].capacity, size->tops[d].key_max);
    }
    return p;
}

/* In one piece, which is a mapping of its own if it is large: only what is used of it is there. */
struct period *period_new(const struct period_size *size)
{
    void *memory = calloc(1, period_bytes(size));
    return memory ? period_place(memory, size) : NULL;
}

void period_free(struct period *p)
{
    free(p);
}

void period_clear(struct period *p)
{
    memset(p, 0, offsetof(struct period, clients));
    distinct_clear(p->clients);
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++) top_clear(p->tops[d]);
}

void period_add(struct period *p, const struct period_facts *f)
{
    p->records++;
    p->bytes += f->bytes;
    p->binary += f->is_binary;
    p->statuses[f->status < PERIOD_STATUSES ? f->status : 0]++;
    p->methods[f->method < PERIOD_METHODS ? f->method : PERIOD_METHODS - 1]++;
    p->sizes[histogram_index(f->bytes)]++;
    if (f->request_us != UINT64_MAX) p->latency[histogram_index(f->request_us)]++;
    if (f->upstream_us != UINT64_MAX) p->upstream[histogram_index(f->upstream_us)]++;
    if (f->client_hash) distinct_add(p->clients, f->client_hash);
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++)
        if (f->keys[d].hash) top_add(p->tops[d], f->keys[d].hash, f->keys[d].key, 1);
}

void period_merge(struct period *into, const struct period *from)
{
    into->records += from->records;
    into->bytes += from->bytes;
    into->binary += from->binary;
    for (unsigned i = 0; i < PERIOD_STATUSES; i++) into->statuses[i] += from->statuses[i];
    for (unsigned i = 0; i < PERIOD_METHODS; i++) into->methods[i] += from->methods[i];
    histogram_merge(into->latency, from->latency);
    histogram_merge(into->upstream, from->upstream);
    histogram_merge(into->sizes, from->sizes);
    distinct_merge(into->clients, from->clients);
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++) {
        top_merge(into->tops[d], from->tops[d]);
        into->missing[d] += period_missing(from, (enum period_dimension)d);
    }
}

uint64_t period_missing(const struct period *p, enum period_dimension d)
{
    return top_floor(p->tops[d]) + p->missing[d];
}
