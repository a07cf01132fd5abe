/* conf/tree_pointer.h: which key of a tree a place is that of, as a JSON Pointer (RFC 6901): for faults of what was sent as a part.
 * Pure. */
#pragma once

#include "base/text.h"
#include "conf/node.h"

/* "/servers/1": the next part, with ~ and / escaped: the key of a child of a map, the index of one of a list. */
void conf_pointer_add(struct text *t, const struct conf_node *child, uint32_t index);
/* The pointer of the node or key at exactly that place. False: there is none, or it does not fit; then *out is "". */
bool conf_pointer_find(const struct conf_node *root, struct conf_place place, char *out, size_t size);
