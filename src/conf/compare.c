#include "conf/compare.h"

#include <string.h>

#include "conf/decoding.h"

#define CUSTOM_TEXT_MAX 4096

static bool is_same_value(const struct conf_field *f, const void *a, const void *b);

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_zero(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i]) return false;
    return true;
}

/* By what is printed of them: there may be pointers in them. A value that nobody set is all zero bytes. */
static bool is_same_custom(const struct conf_type *type, const void *a, const void *b)
{
    char texts[2][CUSTOM_TEXT_MAX];
    if (memcmp(a, b, type->size) == 0) return true;
    if (is_zero(a, type->size) || is_zero(b, type->size)) return false;
    struct text one = text_over(texts[0], CUSTOM_TEXT_MAX), other = text_over(texts[1], CUSTOM_TEXT_MAX);
    type->print(a, &one);
    type->print(b, &other);
    return !one.is_cut && !other.is_cut && slice_equal(text_slice(&one), text_slice(&other));
}

static bool is_same_choice(const struct conf_choice *a, const struct conf_choice *b)
{
    if (a->option != b->option) return false;
    if (!a->option || !a->option->type || a->conf == b->conf) return true;
    return a->conf && b->conf && !conf_differing(a->option->type, a->conf, b->conf);
}

static bool is_same_optional(const struct conf_type *type, const void *a, const void *b)
{
    return a && b ? !conf_differing(type, a, b) : a == b;
}

static bool is_same_element(const struct conf_field *f, const void *a, const void *b)
{
    struct conf_field element = { .name = f->name, .type = f->type, .kind = CONF_KIND_CUSTOM };
    if (f->kind == CONF_KIND_STRINGS)
        element.kind = CONF_KIND_STRING;
    else if (f->type->options)
        element.kind = CONF_KIND_CHOICE;
    else if (f->type->names)
        element.kind = CONF_KIND_ENUM;
    else if (f->type->fields)
        element.kind = CONF_KIND_OBJECT;
    bool has_name = f->kind == CONF_KIND_MAP || f->kind == CONF_KIND_NAMED;
    if (has_name && !is_same_text(*(const char *const *)a, *(const char *const *)b)) return false;
    return is_same_value(&element, a, b);
}

/* Where the two have the same order, as a rule, the element of a map is found at once. */
static const void *same_place(const struct conf_field *f, const struct conf_items *in, uint32_t n,
                              const char *name)
{
    const char *data = in->data;
    size_t size = conf_element_size(f);
    if (f->kind != CONF_KIND_MAP) return data + n * size;
    for (uint32_t i = 0; i < in->count; i++) {
        const char *at = data + (n + i) % in->count * size;
        if (is_same_text(*(const char *const *)at, name)) return at;
    }
    return NULL;
}

static bool is_same_items(const struct conf_field *f, const struct conf_items *a, const struct conf_items *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const void *one = (const char *)a->data + i * conf_element_size(f);
        const char *name = f->kind == CONF_KIND_MAP ? *(const char *const *)one : NULL;
        const void *other = same_place(f, b, i, name);
        if (!other || !is_same_element(f, one, other)) return false;
    }
    return true;
}

static bool is_same_value(const struct conf_field *f, const void *a, const void *b)
{
    switch (f->kind) {
    case CONF_KIND_BOOL: return *(const bool *)a == *(const bool *)b;
    case CONF_KIND_U32:
    case CONF_KIND_ENUM: return *(const uint32_t *)a == *(const uint32_t *)b;
    case CONF_KIND_MSEC:
    case CONF_KIND_BYTES: return *(const uint64_t *)a == *(const uint64_t *)b;
    case CONF_KIND_STRING:
    case CONF_KIND_REF: return is_same_text(*(const char *const *)a, *(const char *const *)b);
    case CONF_KIND_CUSTOM: return is_same_custom(f->type, a, b);
    case CONF_KIND_OBJECT: return !conf_differing(f->type, a, b);
    case CONF_KIND_OPTIONAL:
        return is_same_optional(f->type, *(const void *const *)a, *(const void *const *)b);
    case CONF_KIND_LIST:
    case CONF_KIND_MAP:
    case CONF_KIND_NAMED:
    case CONF_KIND_STRINGS: return is_same_items(f, a, b);
    case CONF_KIND_CHOICE: return is_same_choice(a, b);
    }
    return false;
}

uint64_t conf_differing(const struct conf_type *type, const void *a, const void *b)
{
    uint64_t differing = 0;
    for (uint32_t i = 0; type->fields && type->fields[i].name; i++) {
        const struct conf_field *f = &type->fields[i];
        if (!is_same_value(f, (const char *)a + f->offset, (const char *)b + f->offset))
            differing |= UINT64_C(1) << i;
    }
    return differing;
}
