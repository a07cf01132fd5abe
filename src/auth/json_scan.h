/* auth/json_scan.h: JSON of strangers (RFC 8259) where it stands, for whoever looks for a few members of an object: no memory,
 * no recursion, nothing is changed. What is passed over is checked as strictly as what is looked at; strings are UTF-8 and
 * have no half surrogates. Deeper than JSON_SCAN_DEPTH_MAX is refused. */
#pragma once

#include "base/slice.h"
#include "base/text.h"

#define JSON_SCAN_DEPTH_MAX 16u

enum json_scan_kind {
    JSON_SCAN_STRING,
    JSON_SCAN_NUMBER,
    JSON_SCAN_WORD, /* true, false, null */
    JSON_SCAN_ARRAY,
    JSON_SCAN_OBJECT
};

/* `text` as it was written; of a string what is between the quotes. */
struct json_scan_value {
    enum json_scan_kind kind;
    struct slice text;
};

struct json_scan {
    struct slice text;
    size_t at;
    bool is_object, is_first;
    bool is_broken; /* once a step was false: it is no JSON; else that was the end */
};

/* Of a whole text that is to be one object, or of an array among its values. */
void json_scan_object(struct json_scan *s, struct slice text);
void json_scan_array(struct json_scan *s, struct slice text);
/* The next member, or the next element (key is nothing then). False: there is none, or the text is broken. */
bool json_scan_next(struct json_scan *s, struct slice *key, struct json_scan_value *value);

/* Of a string as it was written: whether that is what it says; what it says. */
bool json_scan_is(struct slice written, struct slice plain);
void json_scan_put(struct slice written, struct text *out);
