/* base/text.h: building text into the caller's memory. What does not fit is cut and remembered,
 * never written past the end; the text is not terminated unless text_cstr() is asked for. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct text {
    char *data; /* borrowed */
    size_t len, cap;
    bool is_cut; /* something did not fit */
};

static inline struct text text_over(char *data, size_t cap)
{
    return (struct text){ .data = data, .cap = cap };
}

static inline void text_add(struct text *t, const void *data, size_t len)
{
    if (len > t->cap - t->len) {
        len = t->cap - t->len;
        t->is_cut = true;
    }
    if (len) memcpy(t->data + t->len, data, len);
    t->len += len;
}

static inline void text_add_slice(struct text *t, struct slice s)
{
    text_add(t, s.data, s.len);
}

/* Adds `s` and returns where it stands now. */
static inline struct slice text_put(struct text *t, struct slice s)
{
    size_t at = t->len;
    text_add_slice(t, s);
    return (struct slice){ t->data + at, t->len - at };
}

static inline void text_add_char(struct text *t, char c)
{
    text_add(t, &c, 1);
}

#define TEXT_LITERAL(t, literal) text_add((t), "" literal, sizeof(literal) - 1)

void text_add_u64(struct text *t, uint64_t value);
void text_add_hex(struct text *t, uint64_t value, unsigned digits);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Terminates within the capacity (cutting one byte if it must) and returns the text. cap > 0. */
const char *text_cstr(struct text *t);

static inline struct slice text_slice(const struct text *t)
{
    return (struct slice){ t->data, t->len };
}
