#include "conf/decode.h"

#include <assert.h>
#include <stdio.h>

#include "conf/decoding.h"
#include "conf/foreign_word.h"
#include "conf/tree.h"

struct conf_place conf_decode_place(const struct conf_node *node)
{
    return node->key_place.line ? node->key_place : node->place;
}

uint32_t conf_decode_fault_count(const struct conf_decode *d)
{
    return d->faults->count + d->faults->dropped;
}

bool conf_decode_is_short(const struct conf_decode *d)
{
    return conf_arena_is_short(d->arena) || conf_arena_is_short(d->scratch);
}

void conf_decode_set_short(struct conf_decode *d)
{
    conf_arena_set_short(d->arena);
}

void conf_decode_fault(struct conf_decode *d, const struct conf_node *node, const char *key,
                       const char *remedy, const char *format, ...)
{
    char message[sizeof(d->faults->items[0].message)];
    const struct conf_node *child = key ? conf_node_get(node, key) : NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    conf_fault_add(d->faults, child ? child->key_place : node->place, remedy, "%s", message);
}

void conf_decode_note(struct conf_decode *d, const struct conf_node *node, const char *key,
                      const char *remedy, const char *format, ...)
{
    char message[sizeof(d->faults->items[0].message)];
    const struct conf_node *child = key ? conf_node_get(node, key) : NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    conf_note_add(d->faults, conf_decode_place(child ? child : node), remedy, "%s", message);
}

const char *conf_decode_suggest(struct slice word, const char *const *candidates, uint32_t count, char *out,
                                size_t out_size)
{
    struct text t = text_over(out, out_size);
    const char *nearest = conf_nearest(word, candidates, count);
    if (nearest) {
        text_printf(&t, "did you mean \"%s\"?", nearest);
        return text_cstr(&t);
    }
    TEXT_LITERAL(&t, "known here: ");
    for (uint32_t i = 0; i < count; i++) {
        if (t.len + strlen(candidates[i]) + 8 > out_size) {
            TEXT_LITERAL(&t, ", ...");
            break;
        }
        text_printf(&t, "%s%s", i ? ", " : "", candidates[i]);
    }
    return count ? text_cstr(&t) : "";
}

static const struct conf_field *row_of(const struct conf_type *type, struct slice name)
{
    for (const struct conf_field *f = type->fields; f && f->name; f++)
        if (slice_equal(slice_of(f->name), name)) return f;
    return NULL;
}

/* What people who know other balancers look for and is still to come: "did you mean" would lead them astray. A line goes
 * when its row comes. */
static const struct {
    const char *key, *remedy;
} not_yet[] = {
    { "cache", "let the servers or what is in front of weir keep answers" },
};

static bool refuse_not_yet(struct conf_decode *d, const struct conf_node *child, const struct conf_type *type)
{
    for (size_t i = 0; i < sizeof(not_yet) / sizeof(*not_yet); i++) {
        if (!slice_equal_fold(child->key, slice_of(not_yet[i].key))) continue;
        conf_fault_add(d->faults, child->key_place, not_yet[i].remedy, "there is no \"%s\" in %s yet",
                       not_yet[i].key, type->name);
        return true;
    }
    return false;
}

static const char *suggest_key(const struct conf_type *type, struct slice word, char *out, size_t out_size)
{
    const char *names[CONF_ROWS_MAX];
    uint32_t count = 0;
    for (const struct conf_field *f = type->fields; f && f->name && count < CONF_ROWS_MAX; f++)
        if (!(f->flags & CONF_STATUS)) names[count++] = f->name;
    return conf_decode_suggest(word, names, count, out, out_size);
}

static void refuse_unknown(struct conf_decode *d, const struct conf_node *child, const struct conf_type *type)
{
    char remedy[200];
    if (refuse_not_yet(d, child, type)) return;
    const char *foreign = conf_foreign_key(type->name, child->key);
    conf_fault_add(d->faults, child->key_place,
                   foreign ? foreign : suggest_key(type, child->key, remedy, sizeof(remedy)),
                   "unknown key \"%.*s\" in %s", SLICE_ARGS(conf_clip(child->key)), type->name);
}

/* Decodes the keys that are there; bit i of the result is row i. */
static uint64_t decode_keys(struct conf_decode *d, const struct conf_node *node, const struct conf_target *t)
{
    uint64_t seen = 0;
    for (const struct conf_node *child = node->first_child; child; child = child->next) {
        if (t->skip && slice_equal(child->key, slice_of(t->skip))) continue;
        const struct conf_field *f = row_of(t->type, child->key);
        if (!f) {
            refuse_unknown(d, child, t->type);
        } else if (f->flags & CONF_STATUS) {
            conf_fault_add(d->faults, child->key_place, "remove it", "\"%s\" is only shown, it cannot be set",
                           f->name);
        } else if (t->set && !(f->flags & CONF_LIVE)) {
            conf_fault_add(d->faults, child->key_place, "change it in the configuration and reload",
                           "\"%s\" cannot be changed while running", f->name);
        } else {
            seen |= UINT64_C(1) << (f - t->type->fields);
            conf_decode_field(d, child, f, t->object, t->set != NULL);
        }
    }
    return seen;
}

/* What was not given: presets, or faults for what must be. */
static void decode_absent(struct conf_decode *d, const struct conf_node *node, const struct conf_target *t,
                          uint64_t seen)
{
    char remedy[128];
    for (const struct conf_field *f = t->type->fields; f && f->name; f++) {
        assert(f - t->type->fields < CONF_ROWS_MAX);
        bool is_skipped = t->skip && strcmp(f->name, t->skip) == 0;
        if (is_skipped || f->flags & CONF_STATUS || seen >> (f - t->type->fields) & 1) continue;
        if (f->flags & CONF_REQUIRED) {
            snprintf(remedy, sizeof(remedy), "add \"%s\"", f->name);
            conf_fault_add(d->faults, conf_decode_place(node), remedy, "%s lacks \"%s\"", t->type->name,
                           f->name);
        } else {
            conf_decode_preset(d, node->place, f, t->object);
        }
    }
}

/* The field that what stands in an object's place fills; NULL: that cannot be. A patch names its fields. */
static const struct conf_field *short_field(const struct conf_node *node, const struct conf_target *t)
{
    const char *name = NULL;
    if (node->kind == CONF_NODE_SCALAR) name = t->type->short_form;
    if (node->kind == CONF_NODE_LIST) name = t->type->short_list;
    return name && !t->set ? row_of(t->type, slice_of(name)) : NULL;
}

static bool is_quantity(const struct conf_field *field)
{
    return field->kind == CONF_KIND_U32 || field->kind == CONF_KIND_MSEC || field->kind == CONF_KIND_BYTES;
}

/* What to write in place of true; NULL: not known, since the map must say something. */
static const char *switch_remedy(const struct conf_node *node, const struct conf_type *type)
{
    if (!slice_equal(node->text, SLICE("true"))) return NULL;
    for (const struct conf_field *f = type->fields; f && f->name; f++)
        if (f->flags & CONF_REQUIRED) return NULL;
    return "write {} to have it with its presets";
}

/* What is neither a map nor, where there is a short form, a scalar or a list. */
static void refuse_kind(struct conf_decode *d, const struct conf_node *node, const struct conf_target *t)
{
    const char *expected = t->type->short_form && !t->set ? "text or a map" : "a map";
    if (t->type->short_list && !t->set) expected = "text, a list or a map";
    char found[CONF_FOUND_MAX], known[200];
    const char *remedy = suggest_key(t->type, (struct slice){ "", 0 }, known, sizeof(known));
    const struct conf_node shown = conf_decode_shown(node, t->type);
    const char *written = conf_decode_is_switch(node) && !t->set ? switch_remedy(node, t->type) : NULL;
    if (written) remedy = written;
    if (node->key_place.line)
        conf_decode_type_fault(d, &shown, NULL, expected, remedy);
    else
        conf_fault_add(d->faults, node->place, remedy, "this %s must be %s, not %s", t->type->name, expected,
                       conf_decode_found(&shown, found));
}

void conf_decode_object(struct conf_decode *d, const struct conf_node *node, const struct conf_target *t)
{
    uint32_t before = conf_decode_fault_count(d);
    uint64_t seen = 0;
    const struct conf_field *f = short_field(node, t);
    if (f && conf_decode_is_switch(node) && is_quantity(f)) {
        refuse_kind(d, node, t);
        return;
    }
    if (f) {
        seen = UINT64_C(1) << (f - t->type->fields);
        conf_decode_field(d, node, f, t->object, false);
    } else if (node->kind == CONF_NODE_MAP) {
        seen = decode_keys(d, node, t);
    } else {
        refuse_kind(d, node, t);
        return;
    }
    if (t->set)
        *t->set = seen;
    else
        decode_absent(d, node, t, seen);
    if (conf_decode_is_short(d)) return;
    /* A condition on several fields makes sense only where each of them is right. */
    if (t->type->check && (t->type->checks_partly || conf_decode_fault_count(d) == before))
        t->type->check(d, node, t->object);
}

/* "[a, b]", of plain words: a reader of YAML for each route of ten thousand takes longer than all the rest of them. */
static void preset_list(struct conf_decode *d, struct conf_node *list, const char *preset)
{
    struct conf_node **end = &list->first_child;
    list->kind = CONF_NODE_LIST;
    for (const char *at = preset + 1; *at && *at != ']'; at++) {
        if (*at == ',' || *at == ' ') continue;
        struct conf_node *word = conf_arena_alloc(d->scratch, sizeof(*word));
        if (!word) return;
        *word = (struct conf_node){ .kind = CONF_NODE_SCALAR, .place = list->place, .text = { at, 1 } };
        for (; at[1] && at[1] != ',' && at[1] != ']'; at++) word->text.len++;
        *end = word;
        end = &word->next;
    }
}

/* Presets are written as in a file. */
void conf_decode_preset(struct conf_decode *d, struct conf_place place, const struct conf_field *f,
                        void *object)
{
    struct conf_node node = { .kind = CONF_NODE_MAP, .place = place };
    if (!f->preset && f->kind != CONF_KIND_OBJECT) return;
    if (f->preset && f->preset[0] == '{') {
        struct conf_tree tree;
        if (conf_read_yaml(&tree, f->name, slice_of(f->preset), d->faults) == 0)
            conf_decode_field(d, tree.root, f, object, false);
        conf_tree_free(&tree);
        return;
    }
    if (f->preset && f->preset[0] == '[') {
        preset_list(d, &node, f->preset);
    } else if (f->preset) {
        node.kind = CONF_NODE_SCALAR;
        node.text = slice_of(f->preset);
    }
    conf_decode_field(d, &node, f, object, false);
}

static void decode_optional(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                            void **at, bool is_patch)
{
    uint64_t set;
    void *object = conf_arena_alloc(d->arena, f->type->size);
    if (!object) return;
    bool is_partial = is_patch && *at; /* what is new is decoded whole */
    if (is_partial) memcpy(object, *at, f->type->size);
    struct conf_target target = { .type = f->type, .object = object, .set = is_partial ? &set : NULL };
    conf_decode_object(d, node, &target);
    *at = object;
}

void conf_decode_field(struct conf_decode *d, const struct conf_node *node, const struct conf_field *f,
                       void *object, bool is_patch)
{
    void *at = (char *)object + f->offset;
    if (conf_decode_is_short(d)) return;
    if (node->kind == CONF_NODE_NULL) {
        bool has_key = node->key_place.line;
        conf_fault_add(d->faults, conf_decode_place(node),
                       has_key ? "give it one, or remove the key" : "remove it", "%s\"%s\" has no value",
                       has_key ? "" : "an element of ", f->name);
        return;
    }
    switch (f->kind) {
    case CONF_KIND_OBJECT: {
        uint64_t set;
        struct conf_target target = { .type = f->type, .object = at, .set = is_patch ? &set : NULL };
        conf_decode_object(d, node, &target);
        break;
    }
    case CONF_KIND_OPTIONAL: decode_optional(d, node, f, at, is_patch); break;
    case CONF_KIND_LIST:
    case CONF_KIND_MAP:
    case CONF_KIND_NAMED:
    case CONF_KIND_STRINGS: conf_decode_items(d, node, f, at); break;
    case CONF_KIND_CHOICE: conf_decode_choice(d, node, f, at); break;
    default: conf_decode_scalar(d, node, f, at);
    }
}

static int result(const struct conf_decode *d, uint32_t before)
{
    bool is_short = conf_decode_is_short(d);
    conf_arena_free(d->scratch);
    if (is_short) {
        conf_fault_no_memory(d->faults);
        return -1;
    }
    return conf_decode_fault_count(d) == before ? 0 : -1;
}

int conf_decode(const struct conf_tree *tree, const struct conf_type *type, void *object,
                struct conf_arena *arena, struct conf_faults *faults)
{
    struct conf_decode d = { .tree = tree, .arena = arena, .scratch = conf_arena_new(), .faults = faults };
    struct conf_target target = { .type = type, .object = object };
    uint32_t before = conf_decode_fault_count(&d);
    if (!object) return result(&d, before);
    memset(object, 0, type->size);
    conf_decode_object(&d, tree->root, &target);
    conf_decode_references(&d, type, object);
    return result(&d, before);
}

int conf_decode_patch(const struct conf_tree *tree, const struct conf_type *type, void *object,
                      struct conf_arena *arena, uint64_t *set, struct conf_faults *faults)
{
    struct conf_decode d = { .tree = tree, .arena = arena, .scratch = conf_arena_new(), .faults = faults };
    void *copy = conf_arena_alloc(d.scratch, type->size);
    struct conf_target target = { .type = type, .object = copy, .set = set };
    uint32_t before = conf_decode_fault_count(&d);
    *set = 0;
    if (!copy) return result(&d, before);
    memcpy(copy, object, type->size);
    conf_decode_object(&d, tree->root, &target);
    if (conf_decode_fault_count(&d) == before && !conf_decode_is_short(&d))
        memcpy(object, copy, type->size);
    else
        *set = 0;
    return result(&d, before);
}
