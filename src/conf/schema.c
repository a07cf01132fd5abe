/* JSON Schema, draft 2020-12. It accepts all that the decoder accepts, as far as a schema can say it: a
 * file that the schema refuses is wrong, one that it lets pass may still be. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/number.h"
#include "conf/decode.h"
#include "conf/type_list.h"

#define DURATION "0|([0-9]+(\\.[0-9]+)?(d|h|m|s|ms))+"
#define SIZE "[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?"

struct schema {
    struct json *out;
    struct conf_type_list list;
};

static void put_member(struct schema *s, const char *key, const char *value)
{
    json_key(s->out, key);
    json_string(s->out, value);
}

static void put_types(struct schema *s, const char *first, const char *second)
{
    json_key(s->out, "type");
    json_array(s->out);
    json_string(s->out, first);
    json_string(s->out, second);
    json_array_end(s->out);
}

static void put_bound(struct schema *s, const char *key, int64_t value)
{
    json_key(s->out, key);
    json_i64(s->out, value);
}

static void put_reference(struct schema *s, const struct conf_type *type)
{
    char name[64];
    json_key(s->out, "$ref");
    json_printf(s->out, "#/$defs/%s", conf_type_list_name(&s->list, type, name));
}

/* A tree that was read from a preset, as JSON. */
static void put_node(struct schema *s, const struct conf_node *node)
{
    bool is_map = node->kind == CONF_NODE_MAP;
    if (node->kind == CONF_NODE_SCALAR) {
        uint64_t number;
        bool is_raw = !node->is_quoted && number_u64(node->text, &number);
        is_raw ? json_raw(s->out, node->text) : json_slice(s->out, node->text);
        return;
    }
    is_map ? json_object(s->out) : json_array(s->out);
    for (const struct conf_node *n = node->first_child; n; n = n->next) {
        if (is_map) json_key_slice(s->out, n->key);
        put_node(s, n);
    }
    is_map ? json_object_end(s->out) : json_array_end(s->out);
}

static void put_default(struct schema *s, const struct conf_field *f)
{
    if (!f->preset) return;
    json_key(s->out, "default");
    if (f->preset[0] == '[' || f->preset[0] == '{') {
        struct conf_faults *faults = calloc(1, sizeof(*faults));
        struct conf_tree tree;
        if (!faults) abort();
        if (conf_read_yaml(&tree, f->name, slice_of(f->preset), faults) == 0)
            put_node(s, tree.root);
        else
            json_null(s->out);
        conf_tree_free(&tree);
        free(faults);
    } else if (f->kind == CONF_KIND_U32 || f->kind == CONF_KIND_BOOL) {
        json_raw(s->out, slice_of(f->preset));
    } else {
        json_string(s->out, f->preset);
    }
}

static void put_names(struct schema *s, const char *const *names)
{
    json_key(s->out, "enum");
    json_array(s->out);
    for (; *names; names++) json_string(s->out, *names);
    json_array_end(s->out);
}

static void put_quantity(struct schema *s, const struct conf_field *f)
{
    bool is_time = f->kind == CONF_KIND_MSEC;
    put_types(s, "string", "integer");
    json_key(s->out, "pattern");
    json_printf(s->out, "^(%s%s)$", is_time ? DURATION : SIZE, f->flags & CONF_MAY_BE_OFF ? "|off" : "");
    /* Bare numbers are bytes; of durations only 0 needs no unit. */
    put_bound(s, "minimum", f->min);
    if (is_time)
        put_bound(s, "maximum", 0);
    else if (f->max)
        put_bound(s, "maximum", f->max);
}

static void put_string_bounds(struct schema *s, const struct conf_field *f)
{
    /* The schema counts characters, the rows count bytes: one character is at least one byte. */
    if (f->min > 0) put_bound(s, "minLength", 1);
    if (f->max) put_bound(s, "maxLength", f->max);
}

static void put_custom(struct schema *s, const struct conf_type *type)
{
    put_types(s, "string", "number");
    if (!type->pattern_help) return;
    json_key(s->out, "examples");
    json_array(s->out);
    json_string(s->out, type->pattern_help);
    json_array_end(s->out);
}

static void put_element(struct schema *s, const struct conf_field *f)
{
    json_object(s->out);
    if (f->kind == CONF_KIND_STRINGS) {
        put_types(s, "string", "number");
        put_bound(s, "minLength", 1);
    } else if (f->type->fields || f->type->options) {
        put_reference(s, f->type);
    } else if (f->type->names) {
        put_names(s, f->type->names);
    } else {
        put_custom(s, f->type);
    }
    json_object_end(s->out);
}

static void put_list(struct schema *s, const struct conf_field *f)
{
    put_member(s, "type", "array");
    json_key(s->out, "items");
    put_element(s, f);
    if (f->min) put_bound(s, "minItems", f->min);
    if (f->max) put_bound(s, "maxItems", f->max);
}

static void put_map(struct schema *s, const struct conf_field *f)
{
    put_member(s, "type", "object");
    json_key(s->out, "propertyNames");
    json_object(s->out);
    put_bound(s, "minLength", 1);
    json_object_end(s->out);
    json_key(s->out, "additionalProperties");
    put_element(s, f);
    if (f->min) put_bound(s, "minProperties", f->min);
    if (f->max) put_bound(s, "maxProperties", f->max);
}

static void put_list_or_map(struct schema *s, const struct conf_field *f)
{
    json_key(s->out, "anyOf");
    json_array(s->out);
    json_object(s->out);
    put_list(s, f);
    json_object_end(s->out);
    json_object(s->out);
    put_map(s, f);
    json_object_end(s->out);
    json_array_end(s->out);
}

static void put_texts(struct schema *s, const struct conf_field *f)
{
    if (!(f->flags & CONF_OR_ONE)) {
        put_list(s, f);
        return;
    }
    json_key(s->out, "anyOf");
    json_array(s->out);
    put_element(s, f);
    json_object(s->out);
    put_list(s, f);
    json_object_end(s->out);
    json_array_end(s->out);
}

/* The keys that say what values the row takes; within the row's own object. */
static void put_kind(struct schema *s, const struct conf_field *f)
{
    switch (f->kind) {
    case CONF_KIND_BOOL: put_member(s, "type", "boolean"); break;
    case CONF_KIND_U32:
        put_member(s, "type", "integer");
        put_bound(s, "minimum", f->min);
        put_bound(s, "maximum", f->max ? f->max : UINT32_MAX);
        break;
    case CONF_KIND_MSEC:
    case CONF_KIND_BYTES: put_quantity(s, f); break;
    case CONF_KIND_STRING:
    case CONF_KIND_REF:
        put_types(s, "string", "number");
        put_string_bounds(s, f);
        break;
    case CONF_KIND_ENUM: put_names(s, f->type->names); break;
    case CONF_KIND_CUSTOM: put_custom(s, f->type); break;
    case CONF_KIND_OBJECT:
    case CONF_KIND_OPTIONAL:
    case CONF_KIND_CHOICE: put_reference(s, f->type); break;
    case CONF_KIND_LIST: put_list(s, f); break;
    case CONF_KIND_STRINGS: put_texts(s, f); break;
    case CONF_KIND_MAP: put_map(s, f); break;
    case CONF_KIND_NAMED: put_list_or_map(s, f); break;
    }
}

static void put_row(struct schema *s, const struct conf_field *f)
{
    json_key(s->out, f->name);
    json_object(s->out);
    put_kind(s, f);
    if (f->help) put_member(s, "description", f->help);
    put_default(s, f);
    json_object_end(s->out);
}

/* type, properties, required: `chosen` is the option that the key chosen_by must name. */
static void put_rows(struct schema *s, const struct conf_type *type, const char *chosen_by,
                     const struct conf_option *chosen)
{
    put_member(s, "type", "object");
    json_key(s->out, "properties");
    json_object(s->out);
    if (chosen) {
        json_key(s->out, chosen_by);
        json_object(s->out);
        put_member(s, "const", chosen->name);
        if (chosen->help) put_member(s, "description", chosen->help);
        json_object_end(s->out);
    }
    for (const struct conf_field *f = type ? type->fields : NULL; f && f->name; f++)
        if (!(f->flags & CONF_STATUS)) put_row(s, f);
    json_object_end(s->out);
    json_key(s->out, "required");
    json_array(s->out);
    if (chosen) json_string(s->out, chosen_by);
    for (const struct conf_field *f = type ? type->fields : NULL; f && f->name; f++)
        if (f->flags & CONF_REQUIRED) json_string(s->out, f->name);
    json_array_end(s->out);
    json_key(s->out, "additionalProperties");
    json_bool(s->out, false);
}

/* What fills the field `name` may stand in the object's place. */
static void put_short_form(struct schema *s, const struct conf_type *type, const char *name)
{
    for (const struct conf_field *f = type->fields; name && f->name; f++) {
        if (strcmp(f->name, name) != 0) continue;
        json_object(s->out);
        put_kind(s, f);
        if (f->help) put_member(s, "description", f->help);
        json_object_end(s->out);
    }
}

static bool needs_fields(const struct conf_type *type)
{
    for (const struct conf_field *f = type ? type->fields : NULL; f && f->name; f++)
        if (f->flags & CONF_REQUIRED) return true;
    return false;
}

static void put_options(struct schema *s, const struct conf_type *type)
{
    for (const struct conf_option *const *o = type->options; *o; o++) {
        if (!needs_fields((*o)->type)) {
            json_object(s->out);
            put_member(s, "const", (*o)->name);
            if ((*o)->help) put_member(s, "description", (*o)->help);
            json_object_end(s->out);
        }
        json_object(s->out);
        put_rows(s, (*o)->type, type->chosen_by, *o);
        json_object_end(s->out);
    }
}

static void put_definition(struct schema *s, const struct conf_type *type)
{
    char name[64];
    json_key(s->out, conf_type_list_name(&s->list, type, name));
    json_object(s->out);
    if (type->options || type->short_form) {
        json_key(s->out, "anyOf");
        json_array(s->out);
        if (type->options) {
            put_options(s, type);
        } else {
            put_short_form(s, type, type->short_form);
            put_short_form(s, type, type->short_list);
            json_object(s->out);
            put_rows(s, type, NULL, NULL);
            json_object_end(s->out);
        }
        json_array_end(s->out);
    } else {
        put_rows(s, type, NULL, NULL);
    }
    json_object_end(s->out);
}

void conf_schema(const struct conf_type *type, struct json *out)
{
    struct schema *s = calloc(1, sizeof(*s));
    if (!s) abort();
    s->out = out;
    conf_type_list_fill(&s->list, type);
    json_object(out);
    put_member(s, "$schema", "https://json-schema.org/draft/2020-12/schema");
    put_member(s, "title", type->name);
    put_rows(s, type, NULL, NULL);
    json_key(out, "$defs");
    json_object(out);
    for (uint32_t i = 1; i < s->list.count; i++) put_definition(s, s->list.uses[i].type);
    json_object_end(out);
    json_object_end(out);
    free(s);
}
