#include "conf/tree_merge.h"

#include <assert.h>
#include <stdlib.h>

#include "conf/arena.h"
#include "conf/tree.h"

struct merge {
    struct conf_tree *tree;
    struct conf_faults *faults;
};

static void renumber(struct conf_node *node, uint32_t file)
{
    node->place.file = node->key_place.file = file;
    for (struct conf_node *n = node->first_child; n; n = n->next) renumber(n, file);
}

static void drop_arena(void *arena)
{
    conf_arena_free(arena);
}

/* Its number; 0: there is no memory to note it. */
static uint32_t add_file(struct conf_tree *tree, struct conf_tree *other)
{
    struct conf_file *files = conf_arena_alloc(tree->memory, (tree->other_count + 1) * sizeof(*files));
    assert(tree->other_count < CONF_OTHERS_MAX);
    if (!files) return 0;
    if (tree->other_count) memcpy(files, tree->others, tree->other_count * sizeof(*files));
    files[tree->other_count] = (struct conf_file){ other->source_name, other->source };
    tree->others = files;
    return ++tree->other_count;
}

static int compare_keys(const void *left, const void *right)
{
    const struct conf_node *a = *(const struct conf_node *const *)left,
                           *b = *(const struct conf_node *const *)right;
    size_t shorter = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = shorter ? memcmp(a->key.data, b->key.data, shorter) : 0;
    if (order) return order;
    return a->key.len == b->key.len ? 0 : a->key.len < b->key.len ? -1 : 1;
}

/* The children of a node, sorted by their keys; freed by the caller. NULL: there is no memory. */
static const struct conf_node **sort_children(const struct conf_node *parent, size_t *count)
{
    *count = 0;
    for (const struct conf_node *n = parent->first_child; n; n = n->next) (*count)++;
    const struct conf_node **all = calloc(*count + 1, sizeof(*all));
    if (!all) return NULL;
    size_t at = 0;
    for (const struct conf_node *n = parent->first_child; n; n = n->next) all[at++] = n;
    qsort(all, *count, sizeof(*all), compare_keys);
    return all;
}

static void append(struct conf_node *parent, struct conf_node *children)
{
    struct conf_node **end = &parent->first_child;
    while (*end) end = &(*end)->next;
    *end = children;
}

static void refuse_both(const struct merge *m, const struct conf_node *first, const struct conf_node *second,
                        const char *remedy)
{
    char place[CONF_PLACE_TEXT_MAX];
    conf_fault_add(m->faults, second->key_place, remedy, "\"%.*s\" is given twice: here and at %s",
                   SLICE_ARGS(conf_clip(second->key)),
                   conf_place_print(m->tree, first->key_place, second->key_place, place));
}

/* Both maps of names, or both lists, whose elements are found to be the same where they are decoded. */
static void merge_named(const struct merge *m, struct conf_node *into, struct conf_node *from)
{
    char place[CONF_PLACE_TEXT_MAX];
    if (into->kind != from->kind && into->first_child && from->first_child) {
        conf_fault_add(m->faults, from->key_place, "write both in the same way",
                       "\"%.*s\" is a %s here, and a %s at %s", SLICE_ARGS(conf_clip(from->key)),
                       from->kind == CONF_NODE_LIST ? "list" : "map",
                       into->kind == CONF_NODE_LIST ? "list" : "map",
                       conf_place_print(m->tree, into->key_place, from->key_place, place));
        return;
    }
    size_t count;
    const struct conf_node **sorted = sort_children(into, &count);
    if (!sorted) {
        conf_arena_set_short(m->tree->memory);
        return;
    }
    for (const struct conf_node *n = from->first_child; n && into->kind == CONF_NODE_MAP; n = n->next) {
        const struct conf_node *const *same = bsearch(&n, sorted, count, sizeof(n), compare_keys);
        if (same) refuse_both(m, *same, n, "keep one of them, or rename one");
    }
    free(sorted);
    if (!into->first_child) into->kind = from->kind;
    append(into, from->first_child);
}

static bool is_of_names(const struct conf_type *type, struct slice key)
{
    for (const struct conf_field *f = type->fields; f && f->name; f++)
        if (slice_equal(slice_of(f->name), key))
            return f->kind == CONF_KIND_MAP || f->kind == CONF_KIND_NAMED;
    return false;
}

static bool is_container(const struct conf_node *n)
{
    return n->kind == CONF_NODE_MAP || n->kind == CONF_NODE_LIST;
}

static void merge_root(const struct merge *m, struct conf_node *other, const struct conf_type *type)
{
    struct conf_node *root = m->tree->root;
    for (struct conf_node *n = other->first_child, *next; n; n = next) {
        struct conf_node *had = root->first_child;
        next = n->next;
        n->next = NULL;
        while (had && !slice_equal(had->key, n->key)) had = had->next;
        if (!had)
            append(root, n);
        else if (is_of_names(type, n->key) && is_container(had) && is_container(n))
            merge_named(m, had, n);
        else
            refuse_both(m, had, n, "keep all of it in one file");
    }
}

static void give_up(struct conf_tree *tree, struct conf_tree *other, struct conf_faults *faults)
{
    conf_arena_set_short(tree->memory);
    tree->is_decodable = false;
    *other = (struct conf_tree){ 0 };
    conf_fault_no_memory(faults);
}

void conf_tree_merge(struct conf_tree *tree, struct conf_tree *other, const struct conf_type *type,
                     struct conf_faults *faults, const struct conf_faults *of_other)
{
    const struct merge m = { tree, faults };
    bool is_short = conf_arena_is_short(other->memory) || conf_arena_is_short(tree->memory);
    uint32_t file = is_short ? 0 : add_file(tree, other);
    /* What comes into the tree points into it. */
    bool is_owned = other->memory && conf_arena_own(tree->memory, other->memory, drop_arena);
    if (!file || !is_owned) {
        give_up(tree, other, faults);
        return;
    }
    renumber(other->root, file);
    for (uint32_t i = 0; i < of_other->count; i++) {
        struct conf_place place = of_other->items[i].place;
        place.file = file;
        conf_fault_add(faults, place, of_other->items[i].remedy, "%s", of_other->items[i].message);
    }
    faults->dropped += of_other->dropped;
    if (of_other->count && !other->is_decodable) tree->is_decodable = false;
    if (other->root->kind == CONF_NODE_MAP && tree->root->kind == CONF_NODE_MAP)
        merge_root(&m, other->root, type);
    else if (other->root->kind != CONF_NODE_NULL && tree->root->kind == CONF_NODE_MAP)
        conf_fault_add(faults, other->root->place, "write it as the file that includes it",
                       "a file of the configuration is a map");
    *other = (struct conf_tree){ 0 };
    if (conf_arena_is_short(tree->memory)) give_up(tree, other, faults);
}
