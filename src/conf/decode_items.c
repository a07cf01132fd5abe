/* Lists and maps of elements, the names that elements have, choices between types, and references to
 * names. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/decoding.h"
#include "conf/foreign_word.h"
#include "conf/tree.h"

#define NAME_BYTES_MAX 64

static const struct conf_field *row_named(const struct conf_type *type, const char *name)
{
    for (const struct conf_field *f = type->fields; f && f->name; f++)
        if (strcmp(f->name, name) == 0) return f;
    return NULL;
}

static bool has_control(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f) return true;
    return false;
}

/* Names end up in logs, metrics and paths of the API. A wrong one is reported and used all the same, so that
 * references to it are not reported too. */
static const char *decode_name(struct conf_decode *d, const struct conf_type *type, struct slice name,
                               struct conf_place place, const char *remedy)
{
    const struct conf_field *row = row_named(type, "name");
    uint64_t max = row && row->max ? (uint64_t)row->max : NAME_BYTES_MAX;
    if (has_control(name))
        conf_fault_add(d->faults, place, "", "the name of a %s contains a control character", type->name);
    else if (!name.len || name.len > max)
        conf_fault_add(d->faults, place, remedy,
                       "the name of a %s has %zu bytes, but must have from 1 to %" PRIu64, type->name,
                       name.len, max);
    return conf_arena_copy(d->arena, name);
}

/* An element of a list, with the name it was given or the text it is named after. */
static const char *name_in_list(struct conf_decode *d, const struct conf_node *node,
                                const struct conf_type *type)
{
    const struct conf_node *given = conf_node_get(node, "name");
    if (given && given->kind != CONF_NODE_SCALAR) {
        conf_decode_type_fault(d, given, "name", "text", "");
        return NULL;
    }
    if (!given && type->name_from) {
        bool is_short = node->kind == CONF_NODE_SCALAR && type->short_form &&
                        strcmp(type->short_form, type->name_from) == 0;
        given = is_short ? node : conf_node_get(node, type->name_from);
    }
    if (!given && type->or_name_from) given = conf_node_get(node, type->or_name_from);
    if (!given || given->kind != CONF_NODE_SCALAR) return NULL;
    bool is_derived = !slice_equal(given->key, SLICE("name"));
    return decode_name(d, type, given->text, given->place, is_derived ? "give it a \"name\"" : "");
}

/* An element of a map has its key for a name; saying it again is fine, saying another is not. */
static const char *name_in_map(struct conf_decode *d, const struct conf_node *node,
                               const struct conf_type *type)
{
    const struct conf_node *given = conf_node_get(node, "name");
    if (given && (given->kind != CONF_NODE_SCALAR || !slice_equal(given->text, node->key)))
        conf_fault_add(d->faults, given->key_place, "remove it, or rename the key",
                       "the name of this %s is its key, \"%.*s\"", type->name,
                       SLICE_ARGS(conf_clip(node->key)));
    return decode_name(d, type, node->key, node->key_place, "");
}

static void decode_named(struct conf_decode *d, const struct conf_node *node, const struct conf_type *type,
                         bool is_in_map, void *object)
{
    uint32_t before = conf_decode_fault_count(d);
    struct conf_target target = { .type = type, .object = object, .skip = "name" };
    if (node->kind == CONF_NODE_NULL) {
        conf_fault_add(d->faults, conf_decode_place(node), "give it one, or remove it",
                       "this %s has no value", type->name);
        return;
    }
    /* Known even if the rest is wrong: others may refer to it. */
    const char *name = is_in_map ? name_in_map(d, node, type) : name_in_list(d, node, type);
    *(const char **)object = name;
    conf_decode_object(d, node, &target);
    if (!name && conf_decode_fault_count(d) == before)
        conf_fault_add(d->faults, node->place, "add \"name\"", "this %s has no name", type->name);
}

size_t conf_element_size(const struct conf_field *f)
{
    if (f->kind == CONF_KIND_STRINGS) return sizeof(const char *);
    if (f->type->options) return sizeof(struct conf_choice);
    return f->type->names ? sizeof(uint32_t) : f->type->size;
}

static void decode_element(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                           void *at)
{
    struct conf_field element = {
        .name = f->name, .type = f->type, .kind = CONF_KIND_CUSTOM, .flags = f->flags & CONF_SECRET
    };
    if (f->kind == CONF_KIND_STRINGS) {
        element.kind = CONF_KIND_STRING;
        element.min = 1;
    } else if (f->type->fields) {
        element.kind = CONF_KIND_OBJECT;
    } else if (f->type->names) {
        element.kind = CONF_KIND_ENUM;
    } else if (f->type->options) {
        element.kind = CONF_KIND_CHOICE;
    }
    conf_decode_field(d, node, &element, at, false);
}

struct named {
    const char *name;
    const struct conf_node *node;
};

static int compare_named(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    if (order) return order;
    struct conf_place p = a->node->place, q = b->node->place;
    if (p.file != q.file) return p.file < q.file ? -1 : 1;
    if (p.line != q.line) return p.line < q.line ? -1 : 1;
    return p.column < q.column ? -1 : p.column > q.column;
}

static void refuse_same_names(struct conf_decode *d, const struct conf_node *list,
                              const struct conf_type *type, const struct conf_items *items)
{
    struct named *all = calloc(items->count, sizeof(*all));
    uint32_t count = 0, at = 0;
    char place[CONF_PLACE_TEXT_MAX];
    if (!all) {
        conf_decode_set_short(d);
        return;
    }
    for (const struct conf_node *n = list->first_child; n && at < items->count; n = n->next, at++) {
        const char *name = *(const char *const *)((char *)items->data + at * type->size);
        if (name) all[count++] = (struct named){ name, n };
    }
    if (count > 1) qsort(all, count, sizeof(*all), compare_named);
    for (uint32_t i = 1; i < count; i++) {
        if (strcmp(all[i - 1].name, all[i].name) != 0) continue;
        bool is_given = conf_node_get(all[i].node, "name") != NULL;
        conf_fault_add(d->faults, all[i].node->place,
                       is_given ? "rename one of them" : "give one of them a \"name\"",
                       "another %s is named \"%.*s\" too, at %s", type->name,
                       SLICE_ARGS(conf_clip(slice_of(all[i].name))),
                       conf_place_print(d->tree, all[i - 1].node->place, all[i].node->place, place));
    }
    free(all);
}

static bool takes(const struct conf_field *f, const struct conf_node *node)
{
    if (node->kind == CONF_NODE_MAP) return f->kind == CONF_KIND_MAP || f->kind == CONF_KIND_NAMED;
    return node->kind == CONF_NODE_LIST && f->kind != CONF_KIND_MAP;
}

/* "a" for ["a"]. */
static void decode_one(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                       struct conf_items *items)
{
    struct conf_node only = *node;
    only.next = NULL;
    only.key = SLICE_NONE;
    only.key_place = (struct conf_place){ 0 };
    const struct conf_node list = { .kind = CONF_NODE_LIST,
                                    .place = node->place,
                                    .first_child = &only,
                                    .key = node->key,
                                    .key_place = node->key_place };
    conf_decode_items(d, &list, f, items);
}

static void refuse_items(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f)
{
    char remedy[128] = "";
    const struct conf_node shown = conf_decode_shown(node, f->type);
    struct slice text = conf_clip(shown.text);
    if (node->kind == CONF_NODE_SCALAR && f->kind != CONF_KIND_MAP)
        snprintf(remedy, sizeof(remedy), "write [\"%.*s\"] for a list of one", SLICE_ARGS(text));
    conf_decode_type_fault(d, &shown, f->name,
                           f->kind == CONF_KIND_MAP     ? "a map with a name for each element"
                           : f->kind == CONF_KIND_NAMED ? "a list, or a map with a name for each element"
                                                        : "a list",
                           remedy);
}

void conf_decode_items(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                       struct conf_items *items)
{
    uint64_t count = 0;
    size_t size = conf_element_size(f);
    bool is_named = f->kind == CONF_KIND_MAP || f->kind == CONF_KIND_NAMED,
         is_map = node->kind == CONF_NODE_MAP;
    if (f->flags & CONF_OR_ONE && node->kind == CONF_NODE_SCALAR) {
        decode_one(d, node, f, items);
        return;
    }
    if (!takes(f, node)) {
        refuse_items(d, node, f);
        return;
    }
    for (const struct conf_node *n = node->first_child; n; n = n->next) count++;
    if (count < (uint64_t)f->min || (f->max && count > (uint64_t)f->max)) {
        if (f->max)
            conf_fault_add(d->faults, node->place, "",
                           "\"%s\" has %" PRIu64 " elements, but must have from %" PRId64 " to %" PRId64,
                           f->name, count, f->min, f->max);
        else
            conf_fault_add(d->faults, node->place, "",
                           "\"%s\" has %" PRIu64 " elements, but must have at least %" PRId64, f->name, count,
                           f->min);
    }
    *items = (struct conf_items){ .data = conf_arena_alloc(d->arena, count * size),
                                  .count = (uint32_t)count };
    if (!items->data) {
        items->count = 0;
        return;
    }
    char *at = items->data;
    for (const struct conf_node *n = node->first_child; n; n = n->next, at += size) {
        if (is_named)
            decode_named(d, n, f->type, is_map, at);
        else
            decode_element(d, n, f, at);
    }
    if (is_named && !is_map) refuse_same_names(d, node, f->type, items);
}

static uint32_t option_names(const struct conf_type *type, const char **names)
{
    uint32_t count = 0;
    for (const struct conf_option *const *o = type->options; *o && count < CONF_ROWS_MAX; o++)
        names[count++] = (*o)->name;
    return count;
}

static const struct conf_option *find_option(struct conf_decode *d, const struct conf_node *node,
                                             const struct conf_field *f)
{
    const char *names[CONF_ROWS_MAX];
    char remedy[200];
    for (const struct conf_option *const *o = f->type->options; *o; o++)
        if (slice_equal(node->text, slice_of((*o)->name))) return *o;
    uint32_t count = option_names(f->type, names);
    const char *foreign = conf_foreign_value(f->name, node->text);
    conf_fault_add(d->faults, node->place,
                   foreign ? foreign : conf_decode_suggest(node->text, names, count, remedy, sizeof(remedy)),
                   "\"%.*s\" is not a value of \"%s\"", SLICE_ARGS(conf_clip(node->text)), f->name);
    return NULL;
}

/* The node that names the option: the scalar itself, or the map's chosen_by. */
static const struct conf_node *naming_node(struct conf_decode *d, const struct conf_node *node,
                                           const struct conf_field *f)
{
    char text[128];
    const char *key = f->type->chosen_by;
    if (node->kind == CONF_NODE_SCALAR) return node;
    if (node->kind != CONF_NODE_MAP) {
        snprintf(text, sizeof(text), "one word, or a map with \"%s\"", key);
        conf_decode_type_fault(d, node, f->name, text, "");
        return NULL;
    }
    const struct conf_node *chosen = conf_node_get(node, key);
    if (!chosen) {
        snprintf(text, sizeof(text), "add \"%s\"", key);
        conf_fault_add(d->faults, conf_decode_place(node), text, "\"%s\" lacks \"%s\"", f->name, key);
    } else if (chosen->kind != CONF_NODE_SCALAR) {
        conf_decode_type_fault(d, chosen, key, "one word", "");
        return NULL;
    }
    return chosen;
}

void conf_decode_choice(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                        struct conf_choice *choice)
{
    const struct conf_node *naming = naming_node(d, node, f);
    const struct conf_option *option = naming ? find_option(d, naming, f) : NULL;
    if (!option) return;
    /* An option without fields refuses keys like a type without rows; one in its short form has no keys. */
    const struct conf_type none = { .name = option->name };
    struct conf_node empty = { .kind = CONF_NODE_MAP, .place = node->place };
    struct conf_target target = { .type = option->type ? option->type : &none, .skip = f->type->chosen_by };
    if (option->type && !(target.object = conf_arena_alloc(d->arena, option->type->size))) return;
    conf_decode_object(d, node->kind == CONF_NODE_MAP ? node : &empty, &target);
    *choice = (struct conf_choice){ .option = option, .conf = target.object };
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The names in the top-level map `map`, sorted. False if there is no such map to look in, or what is in it
 * could not be read, so that nothing can be said about references to it. */
static bool names_in(struct conf_decode *d, const struct conf_type *root, const void *object, const char *map,
                     struct conf_items *names)
{
    const struct conf_field *f = row_named(root, map);
    if (!f || (f->kind != CONF_KIND_MAP && f->kind != CONF_KIND_NAMED)) return false;
    const struct conf_items *items = (const struct conf_items *)(const void *)((const char *)object +
                                                                               f->offset);
    const char **all = conf_arena_alloc(d->scratch, (items->count + 1) * sizeof(*all));
    if (!all) return false;
    *names = (struct conf_items){ .data = all };
    for (uint32_t i = 0; i < items->count; i++) {
        const char *name = *(const char *const *)((const char *)items->data + i * f->type->size);
        if (!name) return false;
        all[names->count++] = name;
    }
    if (!items->count && conf_decode_fault_count(d)) return false;
    if (names->count) qsort(all, names->count, sizeof(*all), compare_names);
    return true;
}

static void check_reference(struct conf_decode *d, const struct conf_reference *r,
                            const struct conf_items *names)
{
    char remedy[200] = "";
    const uint32_t room = sizeof(d->faults->items) / sizeof(*d->faults->items);
    if (names->count && bsearch(&r->name, names->data, names->count, sizeof(const char *), compare_names))
        return;
    if (!names->count)
        snprintf(remedy, sizeof(remedy), "there are none yet: add \"%s\"", r->map);
    else if (d->faults->count < room) /* looking through all names for a fault that is not shown takes time */
        conf_decode_suggest(slice_of(r->name), names->data, names->count, remedy, sizeof(remedy));
    conf_fault_add(d->faults, r->place, remedy, "there is no \"%.*s\" under \"%s\"",
                   SLICE_ARGS(conf_clip(slice_of(r->name))), r->map);
}

/* Map by map, so that the names of each are sorted once. */
void conf_decode_references(struct conf_decode *d, const struct conf_type *root, const void *object)
{
    for (struct conf_reference *first = d->references; first; first = first->next) {
        struct conf_items names;
        if (first->is_checked) continue;
        bool is_known = names_in(d, root, object, first->map, &names);
        for (struct conf_reference *r = first; r; r = r->next) {
            if (r->is_checked || strcmp(r->map, first->map) != 0) continue;
            r->is_checked = true;
            if (is_known) check_reference(d, r, &names);
        }
    }
}
