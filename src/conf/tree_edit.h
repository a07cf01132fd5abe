/* conf/tree_edit.h: an object of a tree that is created, replaced, merged with another (RFC 7396) or removed, before the tree is
 * decoded. An edit is a text, so that it can be kept and made again like a change (conf/tree_change.h):
 *
 *     {"verb": "put", "path": ["pools", "web", "servers", "one"], "value": {"address": "10.0.0.1:80"}}
 *
 * The path has keys and, below a map of names or a list, names of elements; it ends with a
 * name, or with the key of an object of which there is but one (not to be created, but put). Control side only. */
#pragma once

#include "conf/field.h"

#define CONF_EDIT_POINTER_MAX 1024u

enum conf_edit_fate {
    CONF_EDIT_SHORT,   /* there was no memory for it: err says nothing */
    CONF_EDIT_UNFIT,   /* it is no such edit, or what it says cannot stand there */
    CONF_EDIT_ABSENT,  /* what it is about is not there */
    CONF_EDIT_TAKEN,   /* "create": there is one of that name */
    CONF_EDIT_CREATED, /* done; there was none of that name */
    CONF_EDIT_CHANGED, /* done */
};

struct conf_edit_result {
    uint32_t fate; /* enum conf_edit_fate */
    char pointer
        [CONF_EDIT_POINTER_MAX]; /* of what was written (RFC 6901), "/pools/web"; of what was removed: where it was */
};

/* A change begins with a key. */
bool conf_is_edit(const char *change);
/* Verbs: create, put, merge, remove; `value` of all but the last. An element keeps its name: a value that says another is an error.
 * In a list it keeps its place, and a new one comes last. `type`: the root's. -1 with the sentence: the tree is then to be freed. */
MUST_CHECK int conf_tree_edit(struct conf_tree *tree, const struct conf_type *type, const char *edit,
                              struct conf_edit_result *result, struct err *err);
