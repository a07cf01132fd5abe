#include "base/json.h"
#include "base/quantity.h"
#include "conf/decoding.h"
#include "conf/tree_walk.h"

#define CUSTOM_TEXT_MAX 512

static void encode_fields(const struct conf_type *type, const void *object, const char *skip,
                          struct json *out);

static bool is_zero(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i]) return false;
    return true;
}

/* Whether there is nothing to show for the row. A CUSTOM value that nobody set is all zero bytes. */
static bool is_absent(const struct conf_field *f, const void *at)
{
    switch (f->kind) {
    case CONF_KIND_STRING:
    case CONF_KIND_REF:
    case CONF_KIND_OPTIONAL: return *(const void *const *)at == NULL;
    case CONF_KIND_CHOICE: return ((const struct conf_choice *)at)->option == NULL;
    case CONF_KIND_CUSTOM: return !(f->flags & CONF_REQUIRED) && is_zero(at, f->type->size);
    case CONF_KIND_LIST:
    case CONF_KIND_MAP:
    case CONF_KIND_NAMED:
    case CONF_KIND_STRINGS: return f->min > 0 && ((const struct conf_items *)at)->count == 0;
    case CONF_KIND_MSEC:
    case CONF_KIND_BYTES:
        /* Not set and without a preset: 0 would be out of its own range. */
        return f->min > 0 && !(f->flags & CONF_MAY_BE_OFF) && *(const uint64_t *)at == 0;
    case CONF_KIND_U32: return f->min > 0 && *(const uint32_t *)at == 0;
    default: return false;
    }
}

static void encode_quantity(const struct conf_field *f, uint64_t value, struct json *out)
{
    char text[32];
    (f->kind == CONF_KIND_MSEC ? quantity_print_ms : quantity_print_bytes)(value, text);
    json_string(out, f->flags & CONF_MAY_BE_OFF && value == conf_off(f) ? "off" : text);
}

static void encode_custom(const struct conf_type *type, const void *at, struct json *out)
{
    char data[CUSTOM_TEXT_MAX];
    struct text text = text_over(data, sizeof(data));
    type->print(at, &text);
    json_slice(out, text_slice(&text));
}

static void encode_object(const struct conf_type *type, const void *object, struct json *out)
{
    json_object(out);
    encode_fields(type, object, NULL, out);
    json_object_end(out);
}

static void encode_choice(const struct conf_type *type, const struct conf_choice *choice, struct json *out)
{
    if (!choice->option->type) {
        json_string(out, choice->option->name);
        return;
    }
    json_object(out);
    json_key(out, type->chosen_by);
    json_string(out, choice->option->name);
    encode_fields(choice->option->type, choice->conf, type->chosen_by, out);
    json_object_end(out);
}

/* The name is the key in a map, and comes first in a list. */
static void encode_element(const struct conf_field *f, const void *at, struct json *out)
{
    if (f->kind == CONF_KIND_STRINGS) {
        json_string(out, *(const char *const *)at);
        return;
    }
    if (f->type->options) {
        encode_choice(f->type, at, out);
        return;
    }
    if (!f->type->fields) {
        if (f->type->names)
            json_string(out, f->type->names[*(const uint32_t *)at]);
        else
            encode_custom(f->type, at, out);
        return;
    }
    if (f->kind == CONF_KIND_MAP) json_key(out, *(const char *const *)at);
    json_object(out);
    if (f->kind == CONF_KIND_NAMED) {
        json_key(out, "name");
        json_string(out, *(const char *const *)at);
    }
    encode_fields(f->type, at, f->kind == CONF_KIND_LIST ? NULL : "name", out);
    json_object_end(out);
}

static void encode_items(const struct conf_field *f, const struct conf_items *items, struct json *out)
{
    size_t size = conf_element_size(f);
    bool is_map = f->kind == CONF_KIND_MAP;
    is_map ? json_object(out) : json_array(out);
    for (uint32_t i = 0; i < items->count; i++) encode_element(f, (const char *)items->data + i * size, out);
    is_map ? json_object_end(out) : json_array_end(out);
}

static void encode_value(const struct conf_field *f, const void *at, struct json *out)
{
    if (f->flags & CONF_SECRET) {
        json_string(out, "***");
        return;
    }
    switch (f->kind) {
    case CONF_KIND_BOOL: json_bool(out, *(const bool *)at); break;
    case CONF_KIND_U32: json_u64(out, *(const uint32_t *)at); break;
    case CONF_KIND_MSEC:
    case CONF_KIND_BYTES: encode_quantity(f, *(const uint64_t *)at, out); break;
    case CONF_KIND_STRING:
    case CONF_KIND_REF: json_string(out, *(const char *const *)at); break;
    case CONF_KIND_ENUM: json_string(out, f->type->names[*(const uint32_t *)at]); break;
    case CONF_KIND_CUSTOM: encode_custom(f->type, at, out); break;
    case CONF_KIND_OBJECT: encode_object(f->type, at, out); break;
    case CONF_KIND_OPTIONAL: encode_object(f->type, *(const void *const *)at, out); break;
    case CONF_KIND_LIST:
    case CONF_KIND_MAP:
    case CONF_KIND_NAMED:
    case CONF_KIND_STRINGS: encode_items(f, at, out); break;
    case CONF_KIND_CHOICE: encode_choice(f->type, at, out); break;
    }
}

static void encode_fields(const struct conf_type *type, const void *object, const char *skip,
                          struct json *out)
{
    for (const struct conf_field *f = type->fields; f && f->name; f++) {
        const void *at = (const char *)object + f->offset;
        if ((skip && strcmp(f->name, skip) == 0) || is_absent(f, at)) continue;
        json_key(out, f->name);
        encode_value(f, at, out);
    }
}

void conf_encode(const struct conf_type *type, const void *object, struct json *out)
{
    encode_object(type, object, out);
}

/* a part of it */

static bool is_text(const void *at, struct slice name)
{
    const char *text = *(const char *const *)at;
    return text && slice_equal(slice_of(text), name);
}

static bool is_row_called(const struct conf_type *type, const char *row_name, const void *element,
                          struct slice name, bool *has_one)
{
    const struct conf_field *f = row_name ? conf_row_of(type, slice_of(row_name)) : NULL;
    const char *at = f ? (const char *)element + f->offset : NULL;
    if (!f || is_absent(f, at)) return false;
    *has_one = true;
    if (f->kind == CONF_KIND_STRINGS) return is_text(((const struct conf_items *)at)->data, name);
    return f->kind == CONF_KIND_STRING && is_text(at, name);
}

/* As conf_node_is_called() has it of the text. */
static bool is_element_called(const struct conf_field *row, const void *element, struct slice name)
{
    const struct conf_type *type = row->type;
    const char *const ways[] = { "name", type->name_from, type->or_name_from };
    bool has_one = false;
    char data[CUSTOM_TEXT_MAX];
    struct text text = text_over(data, sizeof(data));
    if (row->kind != CONF_KIND_LIST) return is_text(element, name);
    if (type->fields) {
        for (size_t i = 0; i < sizeof(ways) / sizeof(*ways) && !has_one; i++)
            if (is_row_called(type, ways[i], element, name, &has_one)) return true;
        return false;
    }
    if (!type->print) return false;
    type->print(element, &text);
    return slice_equal(text_slice(&text), name);
}

static const void *element_called(const struct conf_field *row, const struct conf_items *items,
                                  struct slice name)
{
    size_t size = conf_element_size(row);
    for (uint32_t i = 0; i < items->count; i++) {
        const char *at = (const char *)items->data + i * size;
        if (is_element_called(row, at, name)) return at;
    }
    return NULL;
}

/* Of a map too it stands for itself, with its name. */
static void encode_alone(const struct conf_field *row, const void *element, struct json *out)
{
    struct conf_field alone = *row;
    if (alone.kind == CONF_KIND_MAP) alone.kind = CONF_KIND_NAMED;
    encode_element(&alone, element, out);
}

bool conf_encode_part(const struct conf_type *type, const void *object, const struct slice *path,
                      uint32_t count, struct json *out)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct conf_field *row = conf_row_of(type, path[i]);
        const char *at = row ? (const char *)object + row->offset : NULL;
        if (!row || is_absent(row, at)) return false;
        if (i + 1 == count) {
            encode_value(row, at, out);
            return true;
        }
        type = row->type;
        object = row->kind == CONF_KIND_OPTIONAL ? *(const void *const *)at : at;
        if (row->flags & CONF_SECRET || !conf_row_has_keys(row) || row->kind == CONF_KIND_CHOICE)
            return false;
        if (!conf_row_is_container(row)) continue;
        object = element_called(row, (const struct conf_items *)at, path[++i]);
        if (!object) return false;
        if (i + 1 == count) {
            encode_alone(row, object, out);
            return true;
        }
        if (!type->fields) return false;
    }
    return false;
}
