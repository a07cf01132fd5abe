#include <stdint.h>

#include "conf/decode.h"

#define WORD_MAX 64
#define DISTANCE_MAX 2

/* But for upper and lower case, which is no distance. */
static bool is_same(char a, char b)
{
    return slice_equal_fold((struct slice){ &a, 1 }, (struct slice){ &b, 1 });
}

/* Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions and swaps of
 * neighbours. Both words have at most WORD_MAX bytes. */
static uint32_t distance(struct slice a, struct slice b)
{
    uint32_t rows[3][WORD_MAX + 1];
    uint32_t *two_up = rows[0], *up = rows[1], *row = rows[2];
    for (uint32_t j = 0; j <= b.len; j++) up[j] = j;
    for (uint32_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (uint32_t j = 1; j <= b.len; j++) {
            uint32_t best = up[j - 1] + !is_same(a.data[i - 1], b.data[j - 1]);
            if (up[j] + 1 < best) best = up[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && is_same(a.data[i - 1], b.data[j - 2]) &&
                is_same(a.data[i - 2], b.data[j - 1]) && two_up[j - 2] + 1 < best)
                best = two_up[j - 2] + 1;
            row[j] = best;
        }
        uint32_t *oldest = two_up;
        two_up = up;
        up = row;
        row = oldest;
    }
    return up[b.len];
}

const char *conf_nearest(struct slice word, const char *const *candidates, size_t count)
{
    const char *nearest = NULL;
    uint32_t least = DISTANCE_MAX + 1;
    if (word.len > WORD_MAX) return NULL;
    for (size_t i = 0; i < count; i++) {
        struct slice candidate = slice_of(candidates[i]);
        if (candidate.len > WORD_MAX) continue;
        size_t longer = candidate.len > word.len ? candidate.len : word.len;
        size_t shorter = candidate.len > word.len ? word.len : candidate.len;
        if (longer - shorter >= least) continue;
        uint32_t d = distance(word, candidate);
        if (d < least && d * 2 < word.len) {
            least = d;
            nearest = candidates[i];
        }
    }
    return nearest;
}
