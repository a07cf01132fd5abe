#include "files/file_range.h"

/* Digits off the front; what is too large is larger than any file. */
static bool take_number(struct slice *rest, uint64_t *value)
{
    size_t at = 0;
    *value = 0;
    for (; at < rest->len && rest->data[at] >= '0' && rest->data[at] <= '9'; at++) {
        uint64_t d = (uint64_t)(rest->data[at] - '0');
        *value = *value > (UINT64_MAX - d) / 10 ? UINT64_MAX : *value * 10 + d;
    }
    *rest = (struct slice){ rest->data + at, rest->len - at };
    return at > 0;
}

static bool take_dash(struct slice *rest)
{
    if (!rest->len || *rest->data != '-') return false;
    *rest = (struct slice){ rest->data + 1, rest->len - 1 };
    return true;
}

/* "-500": so many of the last ones. */
static enum file_range read_suffix(struct slice rest, uint64_t size, uint64_t *begin, uint64_t *end)
{
    uint64_t count;
    if (!take_dash(&rest) || !take_number(&rest, &count) || rest.len) return FILE_RANGE_ALL;
    if (!count) return FILE_RANGE_OUTSIDE;
    *begin = count < size ? size - count : 0;
    *end = size;
    return size ? FILE_RANGE_PART : FILE_RANGE_ALL; /* no Content-Range can be written of nothing */
}

enum file_range file_range_read(struct slice value, uint64_t size, uint64_t *begin, uint64_t *end)
{
    struct slice unit = SLICE("bytes="), rest = slice_trim(value), one;
    if (rest.len <= unit.len || !slice_is_same_fold(rest.data, unit.data, unit.len)) return FILE_RANGE_ALL;
    rest = (struct slice){ rest.data + unit.len, rest.len - unit.len };
    if (!slice_next_element(&rest, &one)) return FILE_RANGE_ALL;
    struct slice another;
    if (slice_next_element(&rest, &another)) return FILE_RANGE_ALL;
    if (*one.data == '-') return read_suffix(one, size, begin, end);
    uint64_t first, last = UINT64_MAX;
    if (!take_number(&one, &first) || !take_dash(&one)) return FILE_RANGE_ALL;
    if (one.len && (!take_number(&one, &last) || one.len || last < first)) return FILE_RANGE_ALL;
    if (first >= size) return FILE_RANGE_OUTSIDE;
    *begin = first;
    *end = last < size ? last + 1 : size;
    return FILE_RANGE_PART;
}
