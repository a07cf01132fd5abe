#include "health/text_search.h"

/* How many bytes of the text stand at the end of the `matched` first ones and `c`. */
static uint8_t step(const struct text_search *t, uint8_t matched, char c)
{
    while (matched && t->wanted.data[matched] != c) matched = t->falls_to[matched - 1];
    return t->wanted.data[matched] == c ? (uint8_t)(matched + 1) : 0;
}

void text_search_init(struct text_search *t, struct slice wanted)
{
    t->wanted = wanted;
    t->matched = 0;
    t->falls_to[0] = 0;
    for (size_t i = 1; i < wanted.len; i++) t->falls_to[i] = step(t, t->falls_to[i - 1], wanted.data[i]);
}

bool text_search_feed(struct text_search *t, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len && t->matched < t->wanted.len; i++)
        t->matched = step(t, t->matched, bytes.data[i]);
    return t->matched == t->wanted.len;
}
