/* conf/node.h: the tree that both readers, YAML and JSON, fill. Control side only.
 * A tree is freed as a whole; every text in it is owned by it and terminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum conf_kind { CONF_NODE_NULL, CONF_NODE_SCALAR, CONF_NODE_LIST, CONF_NODE_MAP };

struct conf_place {
    uint32_t line, column; /* from 1; in characters as an editor counts them */
    uint32_t file;         /* of the tree: 0 is the one that it was read from, n others[n - 1] */
};

/* A place in no file: `column` says by which of the tree's changes (conf/tree_change.h), from 1, it came about. */
#define CONF_LINE_OF_CHANGE UINT32_MAX
#define CONF_CHANGES_MAX 64u

struct conf_node {
    enum conf_kind kind;
    bool is_quoted;    /* a scalar written in quotes: always a string ("80" is no number) */
    struct slice text; /* scalar */
    struct slice
        written; /* as it stood before variables were filled in (conf/variables.h); data NULL: it has none */
    struct conf_place place; /* of the value's first character */
    struct conf_node *first_child, *next;
    struct slice key; /* set on the children of a map */
    struct conf_place key_place;
};

/* What became part of a tree that was read from another (conf/tree_merge.h). */
struct conf_file {
    const char *name;
    struct slice source;
};

struct conf_tree {
    const char *source_name; /* "weir.yaml", "request body": what a fault is said to be in */
    struct slice source; /* a copy of the bytes, for showing the offending line; without a byte order mark */
    struct conf_node *root;    /* NULL: there was no memory, which is a fault */
    struct conf_arena *memory; /* owned */
    /* It has no faults, or only such (keys that occur twice, anchors, tags) that it can be decoded for the sake of finding
     * further ones. */
    bool is_decodable;
    const struct conf_file *others; /* in `memory` */
    uint32_t other_count;
    const char *changes[CONF_CHANGES_MAX]; /* their texts */
    uint32_t change_count;
};

/* A fault at a place. `remedy` may be empty. */
struct conf_fault {
    struct conf_place place;
    char message[384];
    char remedy[256];
};

/* All the faults of one read, in order of place; bounded: more than the room there is are counted. */
struct conf_faults {
    struct conf_fault items[64];
    uint32_t count; /* in items */
    uint32_t dropped;
    /* Where what is only suspicious goes, which makes nothing fail: borrowed; NULL: nobody asks for it. */
    struct conf_faults *notes;
    const char *kind; /* said before each: "warning" of notes; NULL: nothing */
    bool is_short;    /* conf_fault_no_memory() */
};

/* In its order; when there is no room the last ones are dropped. */
void conf_fault_add(struct conf_faults *faults, struct conf_place place, const char *remedy,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Likewise, of what is correct and yet hardly meant. */
void conf_note_add(struct conf_faults *faults, struct conf_place place, const char *remedy,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Whatever was found so far may be due to that: it is the only fault there is from now on. */
void conf_fault_no_memory(struct conf_faults *faults);
/* "weir.yaml:12:7: unknown key \"wieght\" in server; did you mean \"weight\"?" then the line, then a
 * caret, for each fault; allocated, freed by the caller. `is_brief`: the first sentences only, one a line. NULL: there is no
 * memory for it. */
char *conf_faults_print(const struct conf_faults *faults, const struct conf_tree *tree, bool is_brief);

#define CONF_SOURCE_MAX (4u << 20)
#define CONF_DEPTH_MAX 32u
#define CONF_NODES_MAX 100000u

/* Both read all of `bytes` (borrowed only during the call), at most 4 MiB, refuse duplicate keys, nesting
 * over 32 and more than 100,000 nodes; YAML further refuses anchors, aliases, tags, merge keys and a
 * second document. 0, or -1 with at least one fault. The tree is set either way and is to be freed; one
 * with faults is not to be decoded but for further ones. */
MUST_CHECK int conf_read_yaml(struct conf_tree *tree, const char *source_name, struct slice bytes,
                              struct conf_faults *faults);
MUST_CHECK int conf_read_json(struct conf_tree *tree, const char *source_name, struct slice bytes,
                              struct conf_faults *faults);
void conf_tree_free(struct conf_tree *tree);
/* "line 12", or "conf.d/web.yaml:12" where that is another file than `from` is in. Returns out. */
#define CONF_PLACE_TEXT_MAX 160
const char *conf_place_print(const struct conf_tree *tree, struct conf_place place, struct conf_place from,
                             char out[CONF_PLACE_TEXT_MAX]);
/* NULL if the map has no such key, or there is none (NULL). */
const struct conf_node *conf_node_get(const struct conf_node *map, const char *key);
/* The n-th element of a list or map, from 0. NULL: there is none, or no list (NULL). */
const struct conf_node *conf_node_nth(const struct conf_node *list, uint32_t n);
