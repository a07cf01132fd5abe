/* base/slice.h: a borrowed run of bytes, not terminated. Whoever hands one out says how long it lives. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *data;
    size_t len;
};

/* Of a literal or an array, without the zero at its end. A pointer, whose size says nothing, does not compile. */
#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - SLICE_ONE_IF_ARRAY(literal) })
#define SLICE_ONE_IF_ARRAY(a) \
    sizeof(char[1 - 2 * __builtin_types_compatible_p(__typeof__(a), __typeof__(&(a)[0]))])
#define SLICE_NONE ((struct slice){ NULL, 0 })
/* For printf's "%.*s". */
#define SLICE_ARGS(s) (int)(s).len, (s).data

static inline struct slice slice_of(const char *text)
{
    return (struct slice){ text, text ? strlen(text) : 0 };
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Both have `len` bytes. Unlike strncasecmp() it looks behind a zero byte, too. */
bool slice_is_same_fold(const char *a, const char *b, size_t len);
/* ASCII case folded: header names, host names, tokens. */
static inline bool slice_equal_fold(struct slice a, struct slice b)
{
    return a.len == b.len && slice_is_same_fold(a.data, b.data, a.len);
}

static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

/* `s` without spaces and tabs at either end (OWS of RFC 9110 5.6.3). */
static inline struct slice slice_trim(struct slice s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) s.data++, s.len--;
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t')) s.len--;
    return s;
}

/* Takes the next element of a comma separated list (RFC 9110 5.6.1) off `rest`, trimmed; empty ones
 * are passed over. False when none is left. Commas within quoted strings do not separate. */
bool slice_next_element(struct slice *rest, struct slice *element);
