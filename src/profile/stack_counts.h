/* profile/stack_counts.h: how often a stack was seen: raw addresses, before anybody gives them names. Bounded: what finds no
 * room is counted as lost. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define STACK_COUNTS_MAX 65536u
#define STACK_COUNTS_WORDS_MAX (4u << 20)

/* What tells stacks of equal addresses apart. */
struct stack_labels {
    uint32_t thread;                        /* the thread's id */
    uint32_t space;                         /* whose addresses: see space_history.h */
    uint32_t worker, listener, pool, phase; /* see base/activity.h */
};

struct stack_count {
    uint32_t at, kernel,
        depth; /* in words: `depth` addresses, of which the first `kernel` are the kernel's */
    struct stack_labels labels;
    uint64_t count, value;
};

struct stack_counts {
    struct stack_count *items;
    uint64_t *words;
    uint32_t *slots; /* open hash: place + 1 */
    uint32_t count, word_count;
    uint64_t lost;
};

/* False: out of memory. */
bool stack_counts_init(struct stack_counts *c);
void stack_counts_fini(struct stack_counts *c);
/* The leaf first. */
void stack_counts_add(struct stack_counts *c, const uint64_t *pcs, uint32_t depth, uint32_t kernel,
                      const struct stack_labels *labels, uint64_t count, uint64_t value);
