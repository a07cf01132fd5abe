/* record/access_ring.h: a worker's lines on their way to the access log's thread. Part of access_log.c. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "record/access_clock.h"

struct access_log;

/* A ring's memory is mapped twice, one after the other, so that every line is in one piece. The producer owns
 * the first part, both share the second. Positions only grow. */
struct access_log_writer {
    struct access_log *log;
    char *base;
    uint64_t size; /* a power of two */
    uint64_t own_head, known_tail;
    struct access_clock clock;
    _Atomic uint64_t dropped; /* written by the producer */

    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
};

/* `size` is a power of two and of whole pages; NULL with errno. munmap() of twice the size ends it. */
char *access_ring_map(uint64_t size);

static inline uint64_t access_ring_head(const struct access_log_writer *w)
{
    return atomic_load_explicit(&w->head, memory_order_acquire);
}

/* The log's thread, which alone changes it. */
static inline uint64_t access_ring_tail(const struct access_log_writer *w)
{
    return atomic_load_explicit(&w->tail, memory_order_relaxed);
}

static inline const char *access_ring_at(const struct access_log_writer *w, uint64_t position)
{
    return w->base + (position & (w->size - 1));
}
