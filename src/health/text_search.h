/* health/text_search.h: whether a short text is in bytes that come piece by piece, none of which is kept: Knuth, Morris and
 * Pratt, 1977. Linear in the bytes, whatever they are. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define TEXT_SEARCH_MAX 255

struct text_search {
    struct slice wanted;               /* borrowed; 1 to TEXT_SEARCH_MAX bytes */
    uint8_t falls_to[TEXT_SEARCH_MAX]; /* after so many bytes matched and the next did not */
    uint8_t matched;
};

void text_search_init(struct text_search *t, struct slice wanted);
/* True: it is in what has come so far; no more need be shown. */
bool text_search_feed(struct text_search *t, struct slice bytes);
