/* What a server makes of a path that decodes it first and resolves it then, as most do: the reading that the canonical
 * form must not differ from. For the unit tests and the fuzzer. */
#pragma once

#include <stdlib.h>

#include "http/path.h"

#define READER_MAX 4096u

struct reader {
    char decoded[READER_MAX], resolved[READER_MAX + 1];
    struct slice names[READER_MAX];
};

static inline size_t reader_decode(struct slice path, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.data[i];
        if (c == '%' && path.len - i > 2) {
            const char digits[] = { path.data[i + 1], path.data[i + 2], 0 };
            c = (char)strtoul(digits, NULL, 16);
            i += 2;
        }
        out[len++] = c;
    }
    return len;
}

/* Begins with a slash, at most READER_MAX bytes. At the root ".." leads nowhere. */
static inline struct slice reader_read(struct reader *r, struct slice path)
{
    size_t len = reader_decode(path, r->decoded), count = 0;
    struct text out = text_over(r->resolved, sizeof(r->resolved));
    bool is_name = false;
    for (size_t at = 1, end; at <= len; at = end + 1) {
        for (end = at; end < len && r->decoded[end] != '/';) end++;
        struct slice name = { r->decoded + at, end - at };
        bool is_up = slice_equal(name, SLICE(".."));
        is_name = name.len && !is_up && !slice_equal(name, SLICE("."));
        if (is_up && count) count--;
        if (is_name) r->names[count++] = name;
    }
    for (size_t i = 0; i < count; i++) {
        text_add_char(&out, '/');
        text_add_slice(&out, r->names[i]);
    }
    if (!is_name) text_add_char(&out, '/');
    return text_slice(&out);
}
