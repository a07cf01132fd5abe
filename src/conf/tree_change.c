#include "conf/tree_change.h"

#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "conf/decode.h"
#include "conf/tree_walk.h"

struct walk {
    struct conf_tree *tree;
    struct conf_node *node;
    const struct conf_type *type; /* of the node, or of its elements; NULL: it has no keys that are known */
    bool is_container;            /* a map or list of objects of that type */
    const char *path;             /* as given, for messages */
    size_t path_len;
    struct err *err;
};

/* "has: a, b, c" */
static int no_such(struct walk *w, struct slice what)
{
    char memory[256];
    struct text t = text_over(memory, sizeof(memory));
    uint32_t index = 0;
    for (const struct conf_node *n = w->node->first_child; n; n = n->next, index++) {
        if (index) TEXT_LITERAL(&t, ", ");
        if (n->key.len)
            text_add_slice(&t, n->key);
        else
            text_printf(&t, "[%u]", index);
    }
    return err_set(w->err, "%.*s: there is no \"%.*s\" here; there is %s", (int)w->path_len, w->path,
                   SLICE_ARGS(what), t.len ? text_cstr(&t) : "nothing");
}

static int enter_key(struct walk *w, struct slice key, bool is_last)
{
    const struct conf_field *row = w->is_container ? NULL : conf_row_of(w->type, key);
    if (w->node->kind != CONF_NODE_MAP &&
        !conf_node_expand(w->tree, w->node, w->is_container ? NULL : w->type))
        return err_set(w->err, "%.*s is no map: it has no \"%.*s\"", (int)w->path_len, w->path,
                       SLICE_ARGS(key));
    struct conf_node *child = conf_node_named(w->node, key);
    if (!child) {
        if (!is_last && !(row && conf_row_has_keys(row))) {
            if (!row) return no_such(w, key);
            return err_set(w->err, "%.*s is no map", (int)(w->path_len + key.len), w->path);
        }
        child = conf_node_new(w->tree, is_last ? CONF_NODE_NULL : CONF_NODE_MAP);
        if (!child) return -1;
        child->key = conf_text_copy(w->tree, key);
        child->key_place = child->place;
        conf_node_append(w->node, child);
    }
    if (w->is_container) {
        w->is_container = false; /* an element: of the type that is known already */
    } else {
        w->type = row && conf_row_has_keys(row) ? row->type : NULL;
        w->is_container = row && conf_row_is_container(row);
    }
    w->node = child;
    return 0;
}

/* By what it would be called without one: the address of a server that has a name. */
static bool is_known_as(const struct conf_node *n, struct slice name, const struct conf_type *type)
{
    const struct conf_node *other = type && type->name_from ? conf_node_get(n, type->name_from) : NULL;
    return other && slice_equal(other->text, name);
}

static struct conf_node *find_element(const struct walk *w, struct slice name)
{
    uint64_t index = 0, wanted = UINT64_MAX;
    if (!number_u64(name, &wanted)) wanted = UINT64_MAX;
    for (struct conf_node *n = w->node->first_child; n; n = n->next, index++)
        if (index == wanted || conf_node_is_called(n, name, w->type)) return n;
    for (struct conf_node *n = w->node->first_child; n; n = n->next)
        if (is_known_as(n, name, w->type)) return n;
    return NULL;
}

static int enter_element(struct walk *w, struct slice name)
{
    struct conf_node *found = find_element(w, name);
    if (!found) return no_such(w, name);
    w->node = found;
    w->is_container = false;
    return 0;
}

/* What the path says up to its "=". */
static int follow(struct walk *w, const char *end)
{
    const char *p = w->path;
    while (p < end) {
        w->path_len = (size_t)(p - w->path);
        if (*p == '[') {
            const char *close = memchr(p, ']', (size_t)(end - p));
            if (!close) return err_set(w->err, "%s: a bracket is not closed", w->path);
            if (enter_element(w, (struct slice){ p + 1, (size_t)(close - p) - 1 }) < 0) return -1;
            p = close + 1;
        } else {
            if (*p == '.') p++;
            size_t len = 0;
            while (p + len < end && p[len] != '.' && p[len] != '[') len++;
            if (!len) return err_set(w->err, "%s: a key is missing before or after a dot", w->path);
            if (enter_key(w, (struct slice){ p, len }, p + len == end) < 0) return -1;
            p += len;
        }
    }
    return 0;
}

static int set_value(struct walk *w, const char *text)
{
    struct conf_tree value;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) {
        conf_arena_set_short(w->tree->memory);
        return -1;
    }
    int result = conf_read_yaml(&value, "value", slice_of(text), faults);
    struct conf_node *n = result == 0 ? conf_node_copy(w->tree, value.root) : NULL;
    if (n) {
        w->node->kind = n->kind;
        w->node->text = n->text;
        w->node->is_quoted = n->is_quoted;
        w->node->first_child = n->first_child;
        w->node->place = n->place;
        if (w->node->key_place.line) w->node->key_place = w->node->place;
    } else if (result < 0) {
        err_set(w->err, "%s: the value is no YAML: %s", w->path, faults->items[0].message);
    }
    conf_tree_free(&value);
    free(faults);
    return n ? 0 : -1;
}

int conf_tree_change(struct conf_tree *tree, const struct conf_type *type, const char *change,
                     struct err *err)
{
    struct walk w = { .tree = tree, .node = tree->root, .type = type, .path = change, .err = err };
    const char *equals = NULL;
    unsigned brackets = 0;
    for (const char *p = change; *p && !equals; p++) {
        brackets += *p == '[';
        brackets -= *p == ']' && brackets;
        if (*p == '=' && !brackets) equals = p;
    }
    if (!equals || equals == change)
        return err_set(err, "\"%s\" is no change; write one like pools.web.servers[1].weight=0", change);
    if (tree->change_count == CONF_CHANGES_MAX)
        return err_set(err, "\"%s\" is one change too many: there may be %u", change, CONF_CHANGES_MAX);
    tree->changes[tree->change_count++] = conf_arena_copy(tree->memory, slice_of(change));
    int result = follow(&w, equals) < 0 ? -1 : set_value(&w, equals + 1);
    if (!conf_arena_is_short(tree->memory)) return result;
    return err_set(err, "There is no memory for the change \"%s\"; try again.", change);
}
