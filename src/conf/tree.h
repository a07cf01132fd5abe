/* conf/tree.h: what the two readers share: places in the source, and building a tree within its bounds. */
#pragma once

#include "conf/arena.h"
#include "conf/node.h"

/* Walks forward over the source and knows line and column of where it is. Lines end with LF, CR LF or CR, as
 * editors see them (libyaml has more line breaks, so its own counts are not used). */
struct conf_cursor {
    struct slice source;
    size_t offset;     /* in bytes */
    size_t characters; /* passed so far */
    struct conf_place place;
};

struct conf_cursor conf_cursor_start(struct slice source);
/* To a byte or to a character; from the start again if that lies behind. */
struct conf_place conf_cursor_to_offset(struct conf_cursor *cursor, size_t offset);
struct conf_place conf_cursor_to_character(struct conf_cursor *cursor, size_t characters);

struct conf_level {
    struct conf_node *node, *last_child;
    struct slice key; /* of the child to come */
    struct conf_place key_place;
    bool has_key;
    uint32_t child_count;
};

struct conf_builder {
    struct conf_tree *tree;
    struct conf_faults *faults;
    uint32_t faults_before, node_count, depth;
    uint32_t harmless; /* faults that leave the tree what its writer meant, as far as it goes */
    struct conf_level levels[CONF_DEPTH_MAX];
};

/* Sets the tree up with a copy of the source; -1 if that is too large. */
MUST_CHECK int conf_builder_start(struct conf_builder *b, struct conf_tree *tree, const char *source_name,
                                  struct slice bytes, struct conf_faults *faults);
/* 0 if no fault was added since the start. */
MUST_CHECK int conf_builder_result(const struct conf_builder *b);
/* A key is due next, not a value. */
bool conf_builder_wants_key(const struct conf_builder *b);
/* Keys and texts are copied. Values: NULL with a fault added if a bound is passed, or without memory, which the result says. */
void conf_builder_key(struct conf_builder *b, struct conf_place place, struct slice key);
MUST_CHECK struct conf_node *conf_builder_scalar(struct conf_builder *b, struct conf_place place,
                                                 struct slice text, bool is_quoted);
MUST_CHECK struct conf_node *conf_builder_null(struct conf_builder *b, struct conf_place place);
MUST_CHECK struct conf_node *conf_builder_open(struct conf_builder *b, struct conf_place place,
                                               enum conf_kind kind);
/* Ends the innermost list or map; faults for keys that occur twice. */
void conf_builder_close(struct conf_builder *b);

/* At most 64 bytes of it, for messages. */
struct slice conf_clip(struct slice text);
