#include "conf/tree_edit.h"

#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/tree_pointer.h"
#include "conf/tree_walk.h"

enum verb { VERB_CREATE, VERB_PUT, VERB_MERGE, VERB_REMOVE, VERB_COUNT };
static const char *const verb_names[] = { "create", "put", "merge", "remove" };

struct edit {
    struct conf_tree *tree;
    struct conf_node *node;        /* so far */
    const struct conf_type *type;  /* of the node, or of its elements; NULL: it is not known */
    const struct conf_field *row;  /* of the node, if it holds elements; else NULL */
    const struct conf_node *value; /* in the edit's own tree; NULL: there is none */
    struct text pointer;           /* of the node */
    struct conf_edit_result *result;
    struct err *err;
    enum verb verb;
};

static int refuse(struct edit *e, uint32_t fate)
{
    e->result->fate = fate;
    return -1;
}

static int absent(struct edit *e, struct slice what)
{
    if (e->pointer.len)
        err_set(e->err, "There is no \"%.*s\" at %s in the configuration.", SLICE_ARGS(what),
                text_cstr(&e->pointer));
    else
        err_set(e->err, "There is no \"%.*s\" in the configuration.", SLICE_ARGS(what));
    return refuse(e, CONF_EDIT_ABSENT);
}

/* the way */

static void step_into(struct edit *e, struct conf_node *child)
{
    uint32_t index = 0;
    for (const struct conf_node *n = e->node->first_child; n != child; n = n->next) index++;
    conf_pointer_add(&e->pointer, child, index);
    e->node = child;
}

/* A key of an object; what can hold more is made if it is not there, for who adds the first. */
static int enter_key(struct edit *e, struct slice key)
{
    const struct conf_field *row = conf_row_of(e->type, key);
    bool is_container = row && conf_row_is_container(row), may_be_made = row && conf_row_has_keys(row);
    conf_node_expand(e->tree, e->node, e->type);
    if (e->node->kind == CONF_NODE_NULL && may_be_made) e->node->kind = CONF_NODE_MAP;
    struct conf_node *child = e->node->kind == CONF_NODE_MAP ? conf_node_named(e->node, key) : NULL;
    if (!child && (!may_be_made || e->node->kind != CONF_NODE_MAP)) return absent(e, key);
    if (!child) {
        child = conf_node_new(e->tree, CONF_NODE_NULL);
        if (!child) return -1;
        child->key = conf_text_copy(e->tree, key);
        child->key_place = child->place;
        conf_node_append(e->node, child);
    }
    step_into(e, child);
    e->type = row && conf_row_has_keys(row) ? row->type : NULL;
    e->row = is_container ? row : NULL;
    return 0;
}

static struct conf_node **find_element(const struct edit *e, struct slice name)
{
    struct conf_node **at = &e->node->first_child;
    while (*at && !(e->node->kind == CONF_NODE_MAP ? slice_equal((*at)->key, name)
                                                   : conf_node_is_called(*at, name, e->type)))
        at = &(*at)->next;
    return at;
}

static int enter_element(struct edit *e, struct slice name)
{
    struct conf_node *found = *find_element(e, name);
    if (!found) return absent(e, name);
    step_into(e, found);
    e->row = NULL;
    return 0;
}

/* names */

static int another_name(struct edit *e, struct slice given, struct slice name)
{
    err_set(
        e->err,
        "The body's name is \"%.*s\", but the path says \"%.*s\": leave it out, or let both say the same.",
        SLICE_ARGS(given), SLICE_ARGS(name));
    return refuse(e, CONF_EDIT_UNFIT);
}

/* What is called by a key that says more than a name, like the path of a file. */
static int other_than_named(struct edit *e, const struct conf_node *element, struct slice name)
{
    const struct conf_type *type = e->type;
    struct slice own = conf_node_name(element, type);
    const char *by = type && type->name_from ? type->name_from : "name";
    if (own.data)
        err_set(e->err,
                "The path says \"%.*s\", but what would be there is \"%.*s\" by its `%s`: add the one and "
                "take the other out.",
                SLICE_ARGS(name), SLICE_ARGS(own), by);
    else
        err_set(e->err, "A %s needs its `%s`, by which the path goes.", type ? type->name : "part", by);
    return refuse(e, CONF_EDIT_UNFIT);
}

static void remove_child(struct conf_node *map, struct slice key)
{
    struct conf_node **at = &map->first_child;
    while (*at && !slice_equal((*at)->key, key)) at = &(*at)->next;
    if (*at) *at = (*at)->next;
}

/* An element is called as the path says: by its key, or by what is in it. */
static int set_name(struct edit *e, struct conf_node *element, struct slice name, bool is_in_map)
{
    const struct conf_node *given = element->kind == CONF_NODE_MAP ? conf_node_get(element, "name") : NULL;
    if (given && !slice_equal(given->text, name)) return another_name(e, given->text, name);
    if (is_in_map) {
        if (given) remove_child(element, SLICE("name"));
        return 0;
    }
    if (conf_node_is_called(element, name, e->type)) return 0;
    conf_node_expand(e->tree, element, e->type);
    if (element->kind != CONF_NODE_MAP) return 0; /* which the decoder refuses */
    if (e->row->kind == CONF_KIND_LIST && !conf_row_of(e->type, SLICE("name")))
        return other_than_named(e, element, name);
    struct conf_node *n = conf_node_new(e->tree, CONF_NODE_SCALAR);
    if (!n) return -1;
    n->text = conf_text_copy(e->tree, name);
    n->is_quoted = true;
    n->key = conf_text_copy(e->tree, SLICE("name"));
    n->key_place = n->place;
    n->next = element->first_child;
    element->first_child = n;
    return 0;
}

/* values; where there is no memory, nothing happens, and that is looked at in the end */

static void replace(struct conf_node *node, const struct conf_node *by)
{
    if (!by) return;
    struct conf_node *next = node->next;
    struct slice key = node->key;
    struct conf_place key_place = node->key_place;
    *node = *by;
    node->next = next;
    node->key = key;
    node->key_place = key_place;
}

/* RFC 7396. As deep as a tree may be. `type`: the node's, for its short forms; NULL: unknown. */
static void merge(struct edit *e, struct conf_node *node, const struct conf_type *type,
                  const struct conf_node *patch)
{
    if (patch->kind != CONF_NODE_MAP) {
        replace(node, conf_node_copy(e->tree, patch));
        return;
    }
    conf_node_expand(e->tree, node, type);
    if (node->kind != CONF_NODE_MAP) replace(node, conf_node_new(e->tree, CONF_NODE_MAP));
    for (const struct conf_node *p = patch->first_child; p; p = p->next) {
        const struct conf_field *row = conf_row_of(type, p->key);
        struct conf_node *had = conf_node_named(node, p->key);
        if (p->kind == CONF_NODE_NULL) {
            remove_child(node, p->key);
            continue;
        }
        if (!had) {
            had = conf_node_new(e->tree, CONF_NODE_NULL);
            if (!had) return;
            had->key = conf_text_copy(e->tree, p->key);
            had->key_place = had->place;
            conf_node_append(node, had);
        }
        bool is_object = row && conf_row_has_keys(row) && !conf_row_is_container(row);
        merge(e, had, is_object ? row->type : NULL, p);
    }
}

static int create(struct edit *e, struct slice name)
{
    if (e->node->kind == CONF_NODE_NULL)
        e->node->kind = e->row->kind == CONF_KIND_MAP ? CONF_NODE_MAP : CONF_NODE_LIST;
    bool is_in_map = e->node->kind == CONF_NODE_MAP;
    struct conf_node *n = conf_node_copy(e->tree, e->value);
    if (!n) return -1;
    n->key = is_in_map ? conf_text_copy(e->tree, name) : SLICE_NONE;
    n->key_place = is_in_map ? n->place : (struct conf_place){ 0 };
    conf_node_append(e->node, n);
    if (set_name(e, n, name, is_in_map) < 0) return -1;
    step_into(e, n);
    e->result->fate = CONF_EDIT_CREATED;
    return 0;
}

static int write_over(struct edit *e, struct slice name, struct conf_node *found)
{
    bool is_in_map = e->node->kind == CONF_NODE_MAP;
    if (e->verb == VERB_MERGE && e->value->kind != CONF_NODE_MAP) {
        err_set(e->err, "A merge patch (RFC 7396) is a map here; to replace all of it use PUT.");
        return refuse(e, CONF_EDIT_UNFIT);
    }
    if (e->verb == VERB_MERGE)
        merge(e, found, e->type, e->value);
    else
        replace(found, conf_node_copy(e->tree, e->value));
    if (set_name(e, found, name, is_in_map) < 0) return -1;
    step_into(e, found);
    e->result->fate = CONF_EDIT_CHANGED;
    return 0;
}

static int write(struct edit *e, struct slice name)
{
    struct conf_node **at = find_element(e, name), *found = *at;
    if (found && e->verb == VERB_CREATE) {
        err_set(e->err, "There is a \"%.*s\" at %s already; PUT replaces it, PATCH changes it.",
                SLICE_ARGS(name), text_cstr(&e->pointer));
        return refuse(e, CONF_EDIT_TAKEN);
    }
    if (!found && (e->verb == VERB_MERGE || e->verb == VERB_REMOVE)) return absent(e, name);
    if (!found) return create(e, name);
    if (e->verb != VERB_REMOVE) return write_over(e, name, found);
    step_into(e, found);
    *at = found->next;
    e->result->fate = CONF_EDIT_CHANGED;
    return 0;
}

/* An object that has no name but its key: there is one, or none. */
static int write_key(struct edit *e, struct slice key)
{
    bool had = e->node->kind == CONF_NODE_MAP && conf_node_named(e->node, key);
    struct conf_node *parent = e->node;
    if (!had && (e->verb == VERB_MERGE || e->verb == VERB_REMOVE)) return absent(e, key);
    if (enter_key(e, key) < 0) return -1;
    if (e->verb == VERB_REMOVE)
        remove_child(parent, e->node->key);
    else if (e->verb == VERB_MERGE)
        merge(e, e->node, e->type, e->value);
    else
        replace(e->node, conf_node_copy(e->tree, e->value));
    e->result->fate = had ? CONF_EDIT_CHANGED : CONF_EDIT_CREATED;
    return 0;
}

static int unfit(struct edit *e)
{
    err_set(e->err, "An edit has a verb, a path that ends with a name, and a value.");
    return refuse(e, CONF_EDIT_UNFIT);
}

static int follow(struct edit *e, const struct conf_node *path)
{
    const struct conf_node *step = path ? path->first_child : NULL;
    for (; step && step->next; step = step->next)
        if ((e->row ? enter_element(e, step->text) : enter_key(e, step->text)) < 0) return -1;
    if (!step || !step->text.len) return unfit(e);
    if (!e->row) return e->verb == VERB_CREATE ? unfit(e) : write_key(e, step->text);
    if (e->node->kind == CONF_NODE_SCALAR) return unfit(e); /* which the decoder would have refused */
    return write(e, step->text);
}

static int read_verb(struct edit *e, const struct conf_node *root)
{
    const struct conf_node *verb = conf_node_get(root, "verb");
    e->value = conf_node_get(root, "value");
    for (e->verb = VERB_CREATE; verb && e->verb < VERB_COUNT; e->verb++)
        if (slice_equal(verb->text, slice_of(verb_names[e->verb]))) break;
    bool has_value = e->value && e->value->kind != CONF_NODE_NULL;
    if (!verb || e->verb == VERB_COUNT || has_value != (e->verb != VERB_REMOVE)) return unfit(e);
    return 0;
}

bool conf_is_edit(const char *change)
{
    return *change == '{';
}

int conf_tree_edit(struct conf_tree *tree, const struct conf_type *type, const char *edit,
                   struct conf_edit_result *result, struct err *err)
{
    struct conf_tree own;
    *result = (struct conf_edit_result){ .fate = CONF_EDIT_UNFIT };
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) {
        conf_arena_set_short(tree->memory);
        result->fate = CONF_EDIT_SHORT;
        return -1;
    }
    struct edit e = { .tree = tree, .node = tree->root, .type = type, .result = result, .err = err };
    e.pointer = text_over(result->pointer, sizeof(result->pointer));
    int read = conf_read_json(&own, "edit", slice_of(edit), faults);
    if (read < 0 && faults->is_short) conf_arena_set_short(tree->memory);
    if (read < 0 && !faults->is_short) err_set(err, "The edit is no JSON: %s.", faults->items[0].message);
    if (read == 0) read = read_verb(&e, own.root);
    if (read == 0) read = follow(&e, conf_node_get(own.root, "path"));
    text_cstr(&e.pointer);
    if (conf_arena_is_short(tree->memory)) {
        result->fate = CONF_EDIT_SHORT;
        *err->text = 0;
        read = -1;
    }
    conf_tree_free(&own);
    free(faults);
    return read;
}
