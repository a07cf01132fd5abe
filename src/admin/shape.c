#include "admin/shape.h"

#include "conf/decode.h"

static void print_list(const struct shape_list *list, const struct shape *of, struct json *out)
{
    json_array(out);
    for (uint32_t i = 0; i < list->count; i++) {
        if (of)
            shape_print(of, (const char *)list->data + i * of->size, out);
        else
            json_string(out, ((const char *const *)list->data)[i]);
    }
    json_array_end(out);
}

static void print_numbers(const struct shape_list *list, struct json *out)
{
    json_array(out);
    for (uint32_t i = 0; i < list->count; i++) json_double(out, ((const double *)list->data)[i]);
    json_array_end(out);
}

static void print_counts(const struct shape_list *list, struct json *out)
{
    const struct shape_count *counts = list->data;
    json_object(out);
    for (uint32_t i = 0; i < list->count; i++) {
        json_key(out, counts[i].name);
        json_u64(out, counts[i].count);
    }
    json_object_end(out);
}

static void print_count(uint64_t count, struct json *out)
{
    if (count == SHAPE_NULL)
        json_null(out);
    else
        json_u64(out, count);
}

static void print_conf(const struct conf_type *type, const void *object, struct json *out)
{
    if (object)
        conf_encode(type, object, out);
    else
        json_null(out);
}

void shape_print(const struct shape *shape, const void *object, struct json *out)
{
    json_object(out);
    for (const struct shape_field *f = shape->fields; f->name; f++) {
        const void *at = (const char *)object + f->offset;
        json_key(out, f->name);
        switch (f->kind) {
        case SHAPE_STRING: json_string(out, *(const char *const *)at); break;
        case SHAPE_BOOL: json_bool(out, *(const bool *)at); break;
        case SHAPE_COUNT: print_count(*(const uint64_t *)at, out); break;
        case SHAPE_NUMBER: json_double(out, *(const double *)at); break;
        case SHAPE_OBJECT: shape_print(f->of, at, out); break;
        case SHAPE_LIST: print_list(at, f->of, out); break;
        case SHAPE_NUMBERS: print_numbers(at, out); break;
        case SHAPE_COUNTS: print_counts(at, out); break;
        case SHAPE_TEXTS: break;
        case SHAPE_CONF: print_conf(f->conf, *(const void *const *)at, out); break;
        }
    }
    json_object_end(out);
}

static void say_type(const char *type, bool may_be_null, struct json *out)
{
    json_key(out, "type");
    if (may_be_null) {
        json_array(out);
        json_string(out, type);
        json_string(out, "null");
        json_array_end(out);
    } else {
        json_string(out, type);
    }
}

static void field_schema(const struct shape_field *f, struct json *out)
{
    static const char *const types[] = {
        [SHAPE_STRING] = "string", [SHAPE_BOOL] = "boolean",  [SHAPE_COUNT] = "integer",
        [SHAPE_NUMBER] = "number", [SHAPE_OBJECT] = "object", [SHAPE_LIST] = "array",
        [SHAPE_COUNTS] = "object", [SHAPE_CONF] = "object",   [SHAPE_NUMBERS] = "array",
        [SHAPE_TEXTS] = "object",
    };
    if (f->kind == SHAPE_OBJECT) {
        shape_schema(f->of, out);
        return;
    }
    json_object(out);
    say_type(types[f->kind], f->may_be_null, out);
    if (f->kind == SHAPE_LIST) {
        json_key(out, "items");
        if (f->of) {
            shape_schema(f->of, out);
        } else {
            json_object(out);
            say_type("string", false, out);
            json_object_end(out);
        }
    }
    if (f->kind == SHAPE_NUMBERS) {
        json_key(out, "items");
        json_object(out);
        say_type("number", true, out);
        json_object_end(out);
    }
    if (f->kind == SHAPE_COUNTS || f->kind == SHAPE_TEXTS) {
        json_key(out, "additionalProperties");
        json_object(out);
        say_type(f->kind == SHAPE_COUNTS ? "integer" : "string", false, out);
        json_object_end(out);
    }
    if (f->help) {
        json_key(out, "description");
        json_string(out, f->help);
    }
    json_object_end(out);
}

void shape_schema(const struct shape *shape, struct json *out)
{
    json_object(out);
    say_type("object", false, out);
    json_key(out, "required");
    json_array(out);
    for (const struct shape_field *f = shape->fields; f->name; f++)
        if (!f->is_optional) json_string(out, f->name);
    json_array_end(out);
    json_key(out, "properties");
    json_object(out);
    for (const struct shape_field *f = shape->fields; f->name; f++) {
        json_key(out, f->name);
        field_schema(f, out);
    }
    json_object_end(out);
    json_object_end(out);
}
