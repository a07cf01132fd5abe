/* base/json.h: writes JSON (RFC 8259) into memory that grows up to a bound. Commas and escapes are its
 * business; bytes that are not UTF-8 become U+FFFD. Control side only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct json {
    char *data; /* owned; taken by json_take() */
    size_t len, cap, max;
    bool is_failed; /* out of memory or over `max`: everything after is ignored */
    bool is_full;   /* it was the latter */
    bool needs_comma, is_after_key;
    bool is_indented; /* two spaces a level: for people */
    uint32_t depth;
};

/* max: bytes at the most. */
void json_init(struct json *j, size_t max, bool is_indented);
void json_fini(struct json *j);
/* The text, terminated, for the caller to free; NULL if it failed or nothing was written. `len` may be
 * NULL. */
char *json_take(struct json *j, size_t *len);

void json_object(struct json *j);
void json_object_end(struct json *j);
void json_array(struct json *j);
void json_array_end(struct json *j);
void json_key(struct json *j, const char *key);
void json_key_slice(struct json *j, struct slice key);
void json_string(struct json *j, const char *value); /* NULL writes null */
void json_slice(struct json *j, struct slice value);
void json_printf(struct json *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
void json_u64(struct json *j, uint64_t value);
void json_i64(struct json *j, int64_t value);
void json_double(struct json *j, double value); /* not finite: null */
void json_bool(struct json *j, bool value);
void json_null(struct json *j);
/* Value that is JSON already. */
void json_raw(struct json *j, struct slice value);
