/* conf/decode.h: trees to objects and back, by the rows of conf/field.h. Control side only. */
#pragma once

#include "conf/arena.h"
#include "conf/field.h"

/* Decodes the tree's root as `type` into `object` (zeroed by the call, presets filled in). Every fault is
 * added, not just the first; without memory that is the only one (also where `object`, being of the arena, is NULL). 0 or -1. `object` holds pointers into `arena` only, none into the tree.
 * References are checked where `type` itself has the row that they look in. */
MUST_CHECK int conf_decode(const struct conf_tree *tree, const struct conf_type *type, void *object,
                           struct conf_arena *arena, struct conf_faults *faults);
/* A PATCH: only rows with CONF_LIVE may be named, only what is named is written, presets are not;
 * bit i of *set is row i. `object` is untouched on a fault. References are not checked. */
MUST_CHECK int conf_decode_patch(const struct conf_tree *tree, const struct conf_type *type, void *object,
                                 struct conf_arena *arena, uint64_t *set, struct conf_faults *faults);

/* For type->check: adds a fault at the key `key` of `node` (at the node itself if NULL or absent). */
void conf_decode_fault(struct conf_decode *d, const struct conf_node *node, const char *key,
                       const char *remedy, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Likewise, of what is only suspicious; without `key` at the node's own key. */
void conf_decode_note(struct conf_decode *d, const struct conf_node *node, const char *key,
                      const char *remedy, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The object as JSON, by its rows; secrets as "***", absent optionals left out. */
struct json;
void conf_encode(const struct conf_type *type, const void *object, struct json *out);
/* What the path leads to, likewise: keys, and below a map or a list names of elements, as conf/tree_edit.h has them; an element
 * begins with its name if it has one. False: there is no such thing, and nothing is written. */
MUST_CHECK bool conf_encode_part(const struct conf_type *type, const void *object, const struct slice *path,
                                 uint32_t count, struct json *out);

/* JSON Schema (2020-12) of `type` for editors; the reference manual in Markdown. */
void conf_schema(const struct conf_type *type, struct json *out);
void conf_manual(const struct conf_type *type, struct text *out);

/* The candidate nearest to `word` (Damerau-Levenshtein ≤ 2, and less than half its length), or NULL. */
const char *conf_nearest(struct slice word, const char *const *candidates, size_t count);
