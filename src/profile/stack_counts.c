#define XXH_INLINE_ALL
#include <xxhash.h>

#include "profile/stack_counts.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS (2 * STACK_COUNTS_MAX)

bool stack_counts_init(struct stack_counts *c)
{
    *c = (struct stack_counts){ 0 };
    c->items = malloc(STACK_COUNTS_MAX * sizeof(*c->items)); /* pages that are not written cost nothing */
    c->words = malloc(STACK_COUNTS_WORDS_MAX * sizeof(*c->words));
    c->slots = calloc(SLOTS, sizeof(*c->slots));
    if (c->items && c->words && c->slots) return true;
    stack_counts_fini(c);
    return false;
}

void stack_counts_fini(struct stack_counts *c)
{
    free(c->items);
    free(c->words);
    free(c->slots);
    *c = (struct stack_counts){ 0 };
}

void stack_counts_add(struct stack_counts *c, const uint64_t *pcs, uint32_t depth, uint32_t kernel,
                      const struct stack_labels *labels, uint64_t count, uint64_t value)
{
    uint64_t hash = XXH3_64bits_withSeed(pcs, depth * sizeof(*pcs), XXH3_64bits(labels, sizeof(*labels)));
    uint32_t at = (uint32_t)hash & (SLOTS - 1);
    for (; c->slots[at]; at = (at + 1) & (SLOTS - 1)) {
        struct stack_count *s = &c->items[c->slots[at] - 1];
        if (s->depth != depth || s->kernel != kernel || memcmp(&s->labels, labels, sizeof(*labels)) != 0 ||
            memcmp(c->words + s->at, pcs, depth * sizeof(*pcs)) != 0)
            continue;
        s->count += count;
        s->value += value;
        return;
    }
    if (c->count == STACK_COUNTS_MAX || depth > STACK_COUNTS_WORDS_MAX - c->word_count) {
        c->lost += count;
        return;
    }
    memcpy(c->words + c->word_count, pcs, depth * sizeof(*pcs));
    c->items[c->count] = (struct stack_count){ c->word_count, kernel, depth, *labels, count, value };
    c->word_count += depth;
    c->slots[at] = ++c->count;
}
