#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/quantity.h"
#include "conf/decoding.h"
#include "conf/foreign_word.h"
#include "conf/secret_file.h"
#include "conf/tree.h"

static bool is_number(struct slice text)
{
    size_t at = text.len && (text.data[0] == '-' || text.data[0] == '+');
    size_t digits = 0;
    for (; at < text.len; at++) {
        char c = text.data[at];
        if (c >= '0' && c <= '9')
            digits++;
        else if (c != '.' || !digits)
            return false;
    }
    return digits > 0;
}

static bool is_bool(struct slice text)
{
    return slice_equal(text, SLICE("true")) || slice_equal(text, SLICE("false"));
}

bool conf_decode_is_switch(const struct conf_node *node)
{
    return node->kind == CONF_NODE_SCALAR && !node->is_quoted && is_bool(node->text);
}

const char *conf_decode_found(const struct conf_node *node, char out[CONF_FOUND_MAX])
{
    size_t out_size = CONF_FOUND_MAX;
    struct slice text = conf_clip(node->text);
    if (node->kind == CONF_NODE_LIST)
        snprintf(out, out_size, "a list");
    else if (node->kind == CONF_NODE_MAP)
        snprintf(out, out_size, "a map");
    else if (node->kind == CONF_NODE_NULL)
        snprintf(out, out_size, "nothing");
    else if (conf_decode_is_switch(node))
        snprintf(out, out_size, "%.*s", SLICE_ARGS(text));
    else if (!node->is_quoted && is_number(node->text))
        snprintf(out, out_size, "the number %.*s", SLICE_ARGS(text));
    else
        snprintf(out, out_size, "the text \"%.*s\"", SLICE_ARGS(text));
    return out;
}

struct conf_node conf_decode_shown(const struct conf_node *node, const struct conf_type *type)
{
    struct conf_node shown = *node;
    for (const struct conf_field *f = type ? type->fields : NULL; f && f->name; f++)
        if (f->flags & CONF_SECRET && node->kind == CONF_NODE_SCALAR && !conf_decode_is_switch(node))
            shown.text = SLICE("***");
    return shown;
}

void conf_decode_type_fault(struct conf_decode *d, const struct conf_node *node, const char *key,
                            const char *expected, const char *remedy)
{
    char found[CONF_FOUND_MAX];
    struct slice name = conf_clip(key ? slice_of(key) : node->key);
    conf_decode_found(node, found);
    conf_fault_add(d->faults, node->place, remedy, "\"%.*s\" must be %s, not %s", SLICE_ARGS(name), expected,
                   found);
}

static void decode_bool(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                        bool *at)
{
    static const char *const yes[] = { "yes", "on", "True", "TRUE", "Yes", "YES", "On", "ON" };
    static const char *const no[] = { "no", "off", "False", "FALSE", "No", "NO", "Off", "OFF" };
    const char *remedy = "";
    if ((!node->is_quoted || node->written.data) && is_bool(node->text)) {
        *at = node->text.data[0] == 't';
        return;
    }
    if (node->is_quoted && is_bool(node->text)) remedy = "remove the quotes";
    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
        if (slice_equal(node->text, slice_of(yes[i]))) remedy = "write true";
        if (slice_equal(node->text, slice_of(no[i]))) remedy = "write false";
    }
    conf_decode_type_fault(d, node, f->name, "true or false", remedy);
}

enum whole { WHOLE_OK, WHOLE_NONE, WHOLE_NEGATIVE, WHOLE_LARGE };

/* Digits without a leading zero, which some take for octal. */
static enum whole read_whole(struct slice text, uint64_t *out)
{
    uint64_t value = 0;
    bool is_negative = text.len > 1 && text.data[0] == '-';
    size_t at = is_negative;
    enum whole kind = WHOLE_OK;
    if (!text.len || (text.len - at > 1 && text.data[at] == '0')) return WHOLE_NONE;
    for (; at < text.len; at++) {
        uint64_t digit = (uint64_t)(unsigned char)text.data[at] - '0';
        if (digit > 9) return WHOLE_NONE;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value))
            kind = WHOLE_LARGE;
    }
    *out = value;
    return is_negative && value ? WHOLE_NEGATIVE : kind;
}

static void decode_u32(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                       uint32_t *at)
{
    uint64_t value = 0;
    int64_t max = f->max ? f->max : UINT32_MAX;
    enum whole whole = read_whole(node->text, &value);
    bool is_text = node->is_quoted && !node->written.data; /* JSON has quotes around every variable */
    if (is_text || whole == WHOLE_NONE) {
        conf_decode_type_fault(d, node, f->name, "a whole number",
                               is_text && whole != WHOLE_NONE ? "remove the quotes" : "");
    } else if (whole != WHOLE_OK || value < (uint64_t)f->min || value > (uint64_t)max) {
        conf_fault_add(d->faults, node->place, "", "\"%s\" is %.*s, but must be from %" PRId64 " to %" PRId64,
                       f->name, SLICE_ARGS(conf_clip(node->text)), f->min, max);
    } else {
        *at = (uint32_t)value;
    }
}

/* MSEC and BYTES: numbers with a unit. JSON can write them as strings only, so quotes do not matter. */
static void decode_quantity(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                            uint64_t *at)
{
    bool is_time = f->kind == CONF_KIND_MSEC, may_be_off = f->flags & CONF_MAY_BE_OFF;
    uint64_t value = 0;
    struct err err;
    if (may_be_off && slice_equal(node->text, SLICE("off"))) {
        *at = conf_off(f);
        return;
    }
    struct slice text = node->text;
    if ((is_time ? quantity_parse_ms(text, &value, &err) : quantity_parse_bytes(text, &value, &err)) < 0) {
        conf_fault_add(d->faults, node->place, "", "\"%s\": %s%s", f->name, err.text,
                       may_be_off ? ", or off" : "");
        return;
    }
    uint64_t max = f->max ? (uint64_t)f->max : INT64_MAX;
    if (value < (uint64_t)f->min || value > max) {
        char low[32], high[32];
        (is_time ? quantity_print_ms : quantity_print_bytes)((uint64_t)f->min, low);
        (is_time ? quantity_print_ms : quantity_print_bytes)(max, high);
        conf_fault_add(d->faults, node->place, "", "\"%s\" is %.*s, but must be from %s to %s%s", f->name,
                       SLICE_ARGS(conf_clip(text)), low, high, may_be_off ? ", or off" : "");
        return;
    }
    *at = value;
}

/* Whoever writes ${token} or $TOKEN expects it to be filled in, and would have a secret that everybody can guess. */
static void note_variable(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f)
{
    if (node->written.data) return;
    const char *open = memmem(node->text.data, node->text.len, "${", 2);
    const char *end = node->text.data + node->text.len;
    bool is_name = node->text.len > 1 && node->text.data[0] == '$';
    for (size_t i = 1; is_name && i < node->text.len; i++) {
        char c = node->text.data[i];
        is_name = (c >= 'A' && c <= 'Z') || c == '_' || (i > 1 && c >= '0' && c <= '9');
    }
    if (!is_name && (!open || !memchr(open, '}', (size_t)(end - open)))) return;
    conf_note_add(d->faults, node->place,
                  "a variable of the environment is written in capitals and braces, ${NAME}",
                  "\"%s\" is taken as it is written", f->name);
}

static void refuse_length(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                          size_t len)
{
    if (f->max)
        conf_fault_add(d->faults, node->place, "",
                       "\"%s\" has %zu bytes, but must have from %" PRId64 " to %" PRId64, f->name, len,
                       f->min, f->max);
    else
        conf_fault_add(d->faults, node->place, "", "\"%s\" has %zu bytes, but must have at least %" PRId64,
                       f->name, len, f->min);
}

static bool has_length(const struct conf_field *f, size_t len)
{
    return len >= (uint64_t)f->min && (!f->max || len <= (uint64_t)f->max);
}

/* A name that comes out of the environment as a whole is no name: the secret itself may begin so. */
static bool is_in_file(const struct conf_node *node, const struct conf_field *f)
{
    struct slice text = node->written.data ? node->written : node->text;
    return f->flags & CONF_SECRET && secret_file_is_named(text) && secret_file_is_named(node->text);
}

static void decode_secret_file(struct conf_decode *d, const struct conf_node *node,
                               const struct conf_field *f, const char **at)
{
    struct err err;
    const char *secret = secret_file_read(node->text, d->arena, &err);
    if (!secret)
        conf_fault_add(d->faults, node->place, "", "\"%s\": %s", f->name, err.text);
    else if (!has_length(f, strlen(secret)))
        refuse_length(d, node, f, strlen(secret));
    else
        *at = secret;
}

static void decode_string(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                          const char **at)
{
    size_t len = node->text.len;
    if (!node->is_quoted && !node->written.data && is_bool(node->text)) {
        conf_decode_type_fault(d, node, f->name, "text", "put it in quotes if it is text");
    } else if (is_in_file(node, f)) {
        decode_secret_file(d, node, f, at);
    } else if (!has_length(f, len)) {
        refuse_length(d, node, f, len);
    } else if (f->flags & CONF_SECRET && slice_equal(node->text, SLICE("***"))) {
        /* As answers show it: an edit of such an answer must not make it the secret. */
        conf_fault_add(d->faults, node->place, "write the secret itself",
                       "\"%s\" is ***, which stands for a secret that is not shown", f->name);
    } else if (memchr(node->text.data, 0, len)) {
        conf_fault_add(d->faults, node->place, "remove it", "\"%s\" contains a zero byte", f->name);
    } else {
        if (f->flags & CONF_SECRET) note_variable(d, node, f);
        *at = f->flags & CONF_SECRET ? conf_arena_copy_secret(d->arena, node->text)
                                     : conf_arena_copy(d->arena, node->text);
    }
}

static bool has_digit(struct slice word)
{
    for (size_t i = 0; i < word.len; i++)
        if (word.data[i] >= '0' && word.data[i] <= '9') return true;
    return false;
}

static void decode_enum(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                        uint32_t *at)
{
    char remedy[200];
    uint32_t count = 0;
    /* Whoever writes http2 has not mistyped http1: then all are named. */
    struct slice typed = has_digit(node->text) ? (struct slice){ "", 0 } : node->text;
    for (const char *const *name = f->type->names; *name; name++, count++) {
        if (!slice_equal(node->text, slice_of(*name))) continue;
        *at = count;
        return;
    }
    const char *foreign = conf_foreign_value(f->name, node->text);
    conf_fault_add(d->faults, node->place,
                   foreign ? foreign
                           : conf_decode_suggest(typed, f->type->names, count, remedy, sizeof(remedy)),
                   "\"%.*s\" is not a value of \"%s\"", SLICE_ARGS(conf_clip(node->text)), f->name);
}

static void decode_custom(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                          void *at)
{
    struct err err = { "" };
    if (f->type->parse(node->text, at, &err) < 0)
        conf_fault_add(d->faults, node->place, "", "\"%s\": %s", f->name, err.text);
}

static void decode_reference(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                             const char **at)
{
    const char *name = NULL;
    decode_string(d, node, f, &name);
    if (!name) return;
    *at = name;
    struct conf_reference *r = conf_arena_alloc(d->scratch, sizeof(*r));
    if (!r) return;
    *r = (struct conf_reference){ .place = node->place, .name = name, .map = f->type->name };
    if (d->last_reference)
        d->last_reference->next = r;
    else
        d->references = r;
    d->last_reference = r;
}

static const char *expected_scalar(const struct conf_field *f)
{
    switch (f->kind) {
    case CONF_KIND_BOOL: return "true or false";
    case CONF_KIND_U32: return "a whole number";
    case CONF_KIND_MSEC: return "a duration like 5s";
    case CONF_KIND_BYTES: return "a size like 64KiB";
    case CONF_KIND_ENUM: return "one word";
    case CONF_KIND_REF: return "one name";
    default: return "text";
    }
}

void conf_decode_scalar(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                        void *at)
{
    if (node->kind != CONF_NODE_SCALAR) {
        conf_decode_type_fault(d, node, f->name, expected_scalar(f), "");
        return;
    }
    switch (f->kind) {
    case CONF_KIND_BOOL: decode_bool(d, node, f, at); break;
    case CONF_KIND_U32: decode_u32(d, node, f, at); break;
    case CONF_KIND_MSEC:
    case CONF_KIND_BYTES: decode_quantity(d, node, f, at); break;
    case CONF_KIND_STRING: decode_string(d, node, f, at); break;
    case CONF_KIND_ENUM: decode_enum(d, node, f, at); break;
    case CONF_KIND_CUSTOM: decode_custom(d, node, f, at); break;
    case CONF_KIND_REF: decode_reference(d, node, f, at); break;
    default: abort(); /* a kind without a decoder cannot be shipped: every row is decoded by its tests */
    }
}
