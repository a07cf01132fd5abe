#include "conf/tree_walk.h"

#include "conf/arena.h"

const struct conf_field *conf_row_of(const struct conf_type *type, struct slice key)
{
    for (const struct conf_field *f = type ? type->fields : NULL; f && f->name; f++)
        if (slice_equal(slice_of(f->name), key)) return f;
    return NULL;
}

struct conf_node *conf_node_named(const struct conf_node *map, struct slice name)
{
    for (struct conf_node *n = map->first_child; n; n = n->next)
        if (slice_equal(n->key, name)) return n;
    return NULL;
}

/* Of what the change at hand brings. */
static struct conf_place change_place(const struct conf_tree *tree)
{
    return (struct conf_place){ CONF_LINE_OF_CHANGE, tree->change_count };
}

struct conf_node *conf_node_new(struct conf_tree *tree, enum conf_kind kind)
{
    struct conf_node *n = conf_arena_alloc(tree->memory, sizeof(*n));
    if (n) *n = (struct conf_node){ .kind = kind, .place = change_place(tree) };
    return n;
}

struct slice conf_text_copy(struct conf_tree *tree, struct slice s)
{
    return conf_arena_slice(tree->memory, s);
}

void conf_node_append(struct conf_node *parent, struct conf_node *child)
{
    struct conf_node **at = &parent->first_child;
    while (*at) at = &(*at)->next;
    *at = child;
}

bool conf_node_expand(struct conf_tree *tree, struct conf_node *node, const struct conf_type *type)
{
    const char *name = NULL;
    if (type && node->kind == CONF_NODE_SCALAR) name = type->short_form;
    if (type && node->kind == CONF_NODE_LIST) name = type->short_list;
    if (!name) return false;
    struct conf_node *inner = conf_node_new(tree, node->kind);
    if (!inner) return false;
    inner->text = node->text;
    inner->first_child = node->first_child;
    inner->is_quoted = node->is_quoted;
    inner->place = node->place;
    inner->key_place = node->place;
    inner->key = conf_text_copy(tree, slice_of(name));
    node->kind = CONF_NODE_MAP;
    node->text = SLICE_NONE;
    node->first_child = inner;
    return true;
}

bool conf_row_is_container(const struct conf_field *row)
{
    return row->kind == CONF_KIND_MAP || row->kind == CONF_KIND_NAMED || row->kind == CONF_KIND_LIST;
}

bool conf_row_has_keys(const struct conf_field *row)
{
    return conf_row_is_container(row) || row->kind == CONF_KIND_OBJECT || row->kind == CONF_KIND_OPTIONAL ||
           row->kind == CONF_KIND_CHOICE;
}

struct slice conf_node_name(const struct conf_node *n, const struct conf_type *type)
{
    if (n->kind == CONF_NODE_SCALAR) return n->text;
    const struct conf_node *given = conf_node_get(n, "name");
    if (!given && type && type->name_from) given = conf_node_get(n, type->name_from);
    if (!given && type && type->or_name_from) given = conf_node_get(n, type->or_name_from);
    if (given && given->kind == CONF_NODE_LIST) given = given->first_child;
    return given && given->kind == CONF_NODE_SCALAR ? given->text : SLICE_NONE;
}

bool conf_node_is_called(const struct conf_node *n, struct slice name, const struct conf_type *type)
{
    if (slice_equal(n->key, name)) return true;
    struct slice own = conf_node_name(n, type);
    return own.data && slice_equal(own, name);
}

struct conf_node *conf_node_copy(struct conf_tree *tree, const struct conf_node *from)
{
    struct conf_node *n = conf_node_new(tree, from->kind);
    if (!n) return NULL;
    n->is_quoted = from->is_quoted;
    n->text = conf_text_copy(tree, from->text);
    if (from->key.data) n->key = conf_text_copy(tree, from->key);
    if (from->key_place.line) n->key_place = n->place;
    struct conf_node **end = &n->first_child;
    for (const struct conf_node *c = from->first_child; c; c = c->next, end = &(*end)->next)
        if (!(*end = conf_node_copy(tree, c))) return NULL;
    return n;
}
