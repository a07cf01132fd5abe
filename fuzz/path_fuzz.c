/* The first byte says which rules, the rest is a target: what is made of it fits its room, stays as it is the second
 * time, and is read by who decodes and resolves as the target was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/unit/http/path_reader.h"

static struct http_path_rules rules_of(uint8_t bits)
{
    return (struct http_path_rules){ .encoded_slash = bits & 3 ? (bits & 3) - 1u : 0,
                                     .keeps_backslash = bits & 4,
                                     .keeps_nul = bits & 8,
                                     .keeps_empty = bits & 16,
                                     .stays_at_root = bits & 32,
                                     .refuses_dots = bits & 64,
                                     .refuses_parameters = bits & 128 };
}

static struct slice path_of(struct slice target)
{
    const char *mark = memchr(target.data, '?', target.len);
    return (struct slice){ target.data, mark ? (size_t)(mark - target.data) : target.len };
}

/* What is put of it, in memory of just the size that was asked for. */
static enum http_path_fault put(const struct http_path_rules *rules, struct slice target, struct slice *out)
{
    size_t room = http_path_room(target);
    struct text t = text_over(malloc(room + 1), room);
    enum http_path_fault fault = http_path_put(rules, target, &t, out);
    if (t.is_cut || (fault != HTTP_PATH_OK && !slice_equal(*out, target))) abort();
    return fault;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reader before, after;
    struct slice once, twice, target = { (const char *)data + 1, size - 1 };
    if (!size || size > READER_MAX / 3 || size < 2) return 0;
    struct http_path_rules rules = rules_of(data[0]);
    if (put(&rules, target, &once) == HTTP_PATH_OK) {
        if (put(&rules, once, &twice) != HTTP_PATH_OK || !slice_equal(once, twice)) abort();
        struct slice path = path_of(once);
        bool is_path = target.data[0] == '/';
        for (size_t i = 0; is_path && i < path.len; i++)
            if (!http_path_may_hold(path.data[i])) abort();
        /* Kept slashes are slashes to this reader, and empty segments are none. */
        bool is_read_alike = is_path && !rules.keeps_empty && rules.encoded_slash != HTTP_PATH_SLASH_KEEP;
        if (is_read_alike && !slice_equal(reader_read(&before, path_of(target)), reader_read(&after, path)))
            abort();
        free((void *)(uintptr_t)twice.data);
    }
    free((void *)(uintptr_t)once.data);
    return 0;
}
