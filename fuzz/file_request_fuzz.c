/* What a request for a file says: its path, and the fields that name a part or a condition, a line each. A name leads nowhere but below
 * the root, a part lies within the file. */
#include <stdlib.h>
#include <string.h>

#include "files/file_condition.h"
#include "files/file_name.h"
#include "files/file_range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(struct slice path, bool takes_hidden)
{
    char name[FILE_NAME_MAX + 1];
    struct text t = text_over(name, sizeof(name));
    if (file_name_put(path, takes_hidden, &t)) return;
    const char *terminated = text_cstr(&t);
    if (strlen(terminated) != t.len || t.len >= FILE_NAME_MAX || *terminated == '/') abort();
    if (t.len && terminated[t.len - 1] == '/') name[t.len - 1] = 0;
    if (*terminated && !file_name_is_plain(terminated)) abort();
    if (!takes_hidden &&
        (strstr(terminated, "/.") || (*terminated == '.' && strncmp(terminated, ".well-known", 11) != 0)))
        abort();
}

static void check_range(struct slice value)
{
    static const uint64_t sizes[] = { 0, 1, 1000, UINT64_MAX };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint64_t begin, end;
        if (file_range_read(value, sizes[i], &begin, &end) != FILE_RANGE_PART) continue;
        if (begin >= end || end > sizes[i]) abort();
    }
}

static void check_condition(struct slice value)
{
    static const char *const names[] = { "If-Match", "If-None-Match", "If-Modified-Since",
                                         "If-Unmodified-Since", "If-Range" };
    struct http_field fields[5];
    struct http_head head = { .method = HTTP_GET, .fields = fields };
    const struct file_state state = { SLICE("\"abc\""), 784111777, true };
    for (uint32_t i = 0; i < 5; i++) {
        fields[i] = (struct http_field){ .name = names[i],
                                         .name_len = (uint16_t)strlen(names[i]),
                                         .value = value.data,
                                         .value_len = (uint32_t)value.len };
        head.field_count = i + 1;
        (void)file_condition(&head, &state);
    }
    (void)file_condition_takes_range(&head, &state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 8192) return 0;
    char *copy = malloc(size ? size : 1); /* so that a byte too many is seen */
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    for (size_t at = 0; at < size;) {
        const char *end = memchr(copy + at, '\n', size - at);
        struct slice line = { copy + at, end ? (size_t)(end - copy) - at : size - at };
        check_name(line, false);
        check_name(line, true);
        check_range(line);
        check_condition(line);
        at += line.len + 1;
    }
    free(copy);
    return 0;
}
