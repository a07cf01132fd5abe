/* admin/target.h: a request target of the API, taken apart and decoded. Pure. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define TARGET_SEGMENTS_MAX 16u
#define TARGET_PAIRS_MAX 32u

struct target_pair {
    struct slice name, value;
};

/* "/pools/a%2Fb?limit=5" is the segments "pools", "a/b" and the pair "limit", "5". Of "/" there are none;
 * an empty segment is kept, and matches nothing. All slices are terminated. */
struct target {
    struct slice segments[TARGET_SEGMENTS_MAX];
    struct target_pair pairs[TARGET_PAIRS_MAX];
    uint32_t segment_count, pair_count;
};

/* Strict: what is not of RFC 3986, or decodes to a control byte or to something that is not UTF-8, is an
 * error. `memory`: text.len + 1 bytes, which hold the slices. */
MUST_CHECK int target_read(struct target *out, struct slice text, char *memory, struct err *err);
