/* conf/tree_change.h: "pools.web.servers[1].weight=0": one change to a tree before it is decoded. Control side only. */
#pragma once

#include "conf/field.h"

/* A path of keys with dots between them, and a value as YAML has it. Elements of lists and maps also by index, name or
 * address in brackets: servers[1], servers[big], pools[a.b]. The last key may be a new one; a scalar that stands for a
 * map (type->short_form) becomes that map when a key below it is set. `type`: the root's. -1 with the sentence, which
 * says what there is at the place where the path goes wrong. */
MUST_CHECK int conf_tree_change(struct conf_tree *tree, const struct conf_type *type, const char *change,
                                struct err *err);
