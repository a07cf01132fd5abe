/* conf/decoding.h: what the decoder's files share: one decoding, from the root down. */
#pragma once

#include "conf/decode.h"

/* Rows of a type, values of an enum, options of a choice: as many as there are bits in a set of rows. */
#define CONF_ROWS_MAX 64

struct conf_reference {
    struct conf_reference *next;
    struct conf_place place;
    const char *name, *map; /* `name` must be in the top-level map `map` */
    bool is_checked;
};

struct conf_decode {
    const struct conf_tree *tree; /* borrowed */
    struct conf_arena *arena;     /* of the object; borrowed */
    struct conf_arena *scratch;   /* of the decoding itself */
    struct conf_faults *faults;
    struct conf_reference *references, *last_reference;
};

/* How a map of keys is decoded as a type. */
struct conf_target {
    const struct conf_type *type;
    void *object;
    const char *skip; /* a key and row that the caller sees to ("name", chosen_by); may be NULL */
    uint64_t *set;    /* a PATCH: only live rows, no presets, and here is noted which; else NULL */
};

void conf_decode_object(struct conf_decode *d, const struct conf_node *node,
                        const struct conf_target *target);
void conf_decode_field(struct conf_decode *d, const struct conf_node *node, const struct conf_field *field,
                       void *object, bool is_patch);
void conf_decode_items(struct conf_decode *d, const struct conf_node *node, const struct conf_field *field,
                       struct conf_items *items);
void conf_decode_choice(struct conf_decode *d, const struct conf_node *node, const struct conf_field *field,
                        struct conf_choice *choice);
/* One of the scalar kinds (BOOL to ENUM, CUSTOM, REF) into `at`. */
void conf_decode_scalar(struct conf_decode *d, const struct conf_node *node, const struct conf_field *field,
                        void *at);
/* The value as its preset has it. */
void conf_decode_preset(struct conf_decode *d, struct conf_place place, const struct conf_field *field,
                        void *object);
void conf_decode_references(struct conf_decode *d, const struct conf_type *root, const void *object);

/* Of one element of LIST, MAP, NAMED or STRINGS. */
size_t conf_element_size(const struct conf_field *field);
/* Where a fault about the whole value is shown: its key, or itself in a list. */
struct conf_place conf_decode_place(const struct conf_node *node);
uint32_t conf_decode_fault_count(const struct conf_decode *d);
/* There was no memory: whatever is decoded from now on is left as it is, and the whole fails. */
bool conf_decode_is_short(const struct conf_decode *d);
/* From now on: what was to be made of it found no memory. */
void conf_decode_set_short(struct conf_decode *d);
#define CONF_FOUND_MAX 96
/* "a list", "the number 5", "the text \"x\"", "nothing". Returns out. */
const char *conf_decode_found(const struct conf_node *node, char out[CONF_FOUND_MAX]);
/* Whether it is true or false, without quotes. */
bool conf_decode_is_switch(const struct conf_node *node);
/* `node` as faults may show it: where one of the type's rows is a secret, what stands in the place of all may be that. */
struct conf_node conf_decode_shown(const struct conf_node *node, const struct conf_type *type);
/* `expected` names what should be there: "a list"; the fault says what is there instead. */
void conf_decode_type_fault(struct conf_decode *d, const struct conf_node *node, const char *key,
                            const char *expected, const char *remedy);
/* "did you mean "x"?", or the list of all. Returns out. */
const char *conf_decode_suggest(struct slice word, const char *const *candidates, uint32_t count, char *out,
                                size_t out_size);
