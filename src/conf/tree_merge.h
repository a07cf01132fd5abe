/* conf/tree_merge.h: a tree that becomes part of another: `include:`. Control side only. */
#pragma once

#include "conf/field.h"

/* At most so many files beside the first. */
#define CONF_OTHERS_MAX 256u

/* Puts what `other`'s root has under `tree`'s root, and its faults among the tree's, each with its own file's name and line.
 * `type` is the root's: the elements of its maps of names come together by name, and one that is defined twice is a fault
 * that names both places, as is any other key that both have. `other` is emptied: its memory is the tree's. */
void conf_tree_merge(struct conf_tree *tree, struct conf_tree *other, const struct conf_type *type,
                     struct conf_faults *faults, const struct conf_faults *of_other);
