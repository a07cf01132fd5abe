/* conf/tree_walk.h: what all share that change a tree before it is decoded: finding one's way in it by the rows, and new nodes.
 * Control side only. */
#pragma once

#include "conf/field.h"

/* NULL: the type (which may be NULL) has no such row. */
const struct conf_field *conf_row_of(const struct conf_type *type, struct slice key);
bool conf_row_is_container(const struct conf_field *row);
/* Something with keys or elements may stand there. */
bool conf_row_has_keys(const struct conf_field *row);
/* Of what the change at hand brings, in the tree's memory. */
struct conf_node *conf_node_new(struct conf_tree *tree, enum conf_kind kind);
struct conf_node *conf_node_copy(struct conf_tree *tree, const struct conf_node *from);
struct slice conf_text_copy(struct conf_tree *tree, struct slice s);
void conf_node_append(struct conf_node *parent, struct conf_node *child);
/* A child of a map; NULL: there is none. */
struct conf_node *conf_node_named(const struct conf_node *map, struct slice name);
/* An element's name, given or made of another key (of a list its first); without data: it has none. `type`: the element's; may be
 * NULL. */
struct slice conf_node_name(const struct conf_node *n, const struct conf_type *type);
/* By its key, or by that. */
bool conf_node_is_called(const struct conf_node *n, struct slice name, const struct conf_type *type);
/* "10.0.0.1:80" becomes {address: "10.0.0.1:80"}; [a, b] likewise, where a list may stand for a map. `type`: the node's, NULL for
 * a container of several or what is not known. False: it is nothing like that. */
bool conf_node_expand(struct conf_tree *tree, struct conf_node *node, const struct conf_type *type);
