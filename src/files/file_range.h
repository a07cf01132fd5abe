/* files/file_range.h: which bytes of a file a request wants (RFC 9110 14). Pure, any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum file_range {
    FILE_RANGE_ALL, /* nothing is said of it, nothing that can be read, or more than one range: the whole is an answer to each */
    FILE_RANGE_PART,
    FILE_RANGE_OUTSIDE /* the file has none of them */
};

/* Of Range's value and a file of `size` bytes. PART: *begin and *end (behind the last) are set, and begin < end <= size. */
enum file_range file_range_read(struct slice value, uint64_t size, uint64_t *begin, uint64_t *end);
