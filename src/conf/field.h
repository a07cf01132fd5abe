/* conf/field.h: what can be configured, as rows. From the same rows come the decoder, the encoder for REST
 * answers, the JSON Schema, the reference manual, and "did you mean".
 *
 * A decoded object lives in a conf_arena and is immutable from then on: a snapshot. Optional nested
 * objects are pointers, NULL if absent and not preset. Lists and maps are struct conf_items: an array of
 * elements; an element of a map begins with a `const char *name` field, which the decoder sets from the
 * key.
 *
 * A type has at most 64 rows. The row "name" of a type used in MAP or NAMED is the decoder's: it needs no
 * preset and is never REQUIRED; its max bounds names (64 if there is no such row). */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"
#include "conf/node.h"

enum conf_field_kind {
    CONF_KIND_BOOL,     /* bool */
    CONF_KIND_U32,      /* uint32_t, min..max */
    CONF_KIND_MSEC,     /* uint64_t milliseconds, min..max; "off" is conf_off() where CONF_MAY_BE_OFF */
    CONF_KIND_BYTES,    /* uint64_t bytes, min..max; likewise */
    CONF_KIND_STRING,   /* const char *; min..max bytes */
    CONF_KIND_ENUM,     /* uint32_t index into type->names */
    CONF_KIND_CUSTOM,   /* a scalar that type->parse reads into type->size bytes (address, cidr, …) */
    CONF_KIND_OBJECT,   /* embedded struct of type; presets fill it when it is absent */
    CONF_KIND_OPTIONAL, /* pointer to a struct of type; NULL when absent */
    CONF_KIND_LIST,  /* struct conf_items of type: objects, CUSTOM, ENUM (uint32_t) or CHOICE (conf_choice) */
    CONF_KIND_MAP,   /* struct conf_items of objects, named by their keys */
    CONF_KIND_NAMED, /* struct conf_items of objects: a map, or a list whose elements have or derive a name */
    CONF_KIND_STRINGS, /* struct conf_items of const char *, none empty */
    CONF_KIND_REF,     /* const char *: a name in the root's MAP or NAMED row type->name; see conf_decode() */
    CONF_KIND_CHOICE,  /* struct conf_choice: one of several types, chosen by its name */
};

enum {
    CONF_REQUIRED = 1,
    CONF_LIVE = 2,   /* PATCH may change it */
    CONF_STATUS = 4, /* in answers only */
    CONF_SECRET = 8,
    CONF_MAY_BE_OFF = 16,
    CONF_OR_ONE = 64,     /* STRINGS: a text is a list of one */
    CONF_OFF_IS_MAX = 32, /* with it: a bound, of which `off` is UINT64_MAX, so that 0 is none at all */
};

struct conf_items {
    void *data;
    uint32_t count;
};

/* `balance: random` or `balance: {method: hash, key: path}`: `option` is the alternative chosen, `conf`
 * its own struct of option->type (NULL where it has none). */
struct conf_choice {
    const struct conf_option *option;
    void *conf;
};

struct conf_option {
    const char *name, *help;
    const struct conf_type *type; /* NULL: no fields of its own */
    const void *object;           /* what the name stands for: e.g. the struct balance_method */
};

struct conf_arena; /* the memory of one snapshot */

struct conf_decode; /* state of one decoding: conf/decode.h */

struct conf_type {
    const char *name; /* "server": as messages and the schema call it */
    size_t size;
    const struct conf_field *fields; /* ends with a row without a name; NULL for scalars */
    const char *short_form;          /* a scalar in an object's place fills this field */
    const char *short_list;          /* a list in its place fills this one, if there is a short_form */
    const char *name_from;    /* CONF_KIND_NAMED: the field whose text names an element without a name */
    const char *or_name_from; /* and where that is absent too; NULL: none */
    const char *chosen_by;    /* CHOICE: the key that names the option ("method") */
    const struct conf_option *const *options; /* CHOICE: ends with NULL */
    const char *const *names;                 /* ENUM: ends with NULL */
    /* CUSTOM: reads text into `out`; the sentence in err without place. */
    int (*parse)(struct slice text, void *out, struct err *err);
    void (*print)(const void *value, struct text *out);
    const char *pattern_help; /* CUSTOM: what it looks like, for the manual: "10.0.0.0/8" */
    /* Further conditions, after all fields are set: adds its faults to `d` itself. */
    void (*check)(struct conf_decode *d, const struct conf_node *node, void *object);
    bool checks_partly; /* `check` is also called where fields are wrong, which it finds zeroed */
};

struct conf_field {
    const char *name;
    enum conf_field_kind kind;
    size_t offset;
    const struct conf_type *type;
    int64_t min, max;   /* of numbers; of bytes of text; of elements. max 0: no bound but the kind's own */
    const char *preset; /* as it would be written in a file, "5s", "[a, b]", "{k: v}"; NULL: zero or absent */
    unsigned flags;
    const char *help; /* one or two sentences, with a capital and a full stop */
};

/* The number that "off" is; what is written as 0 is 0, or out of range. */
static inline uint64_t conf_off(const struct conf_field *f)
{
    return f->flags & CONF_OFF_IS_MAX ? UINT64_MAX : 0;
}

#define CONF_BOOL(type_, member) CONF_KIND_BOOL, offsetof(type_, member), NULL
#define CONF_U32(type_, member) CONF_KIND_U32, offsetof(type_, member), NULL
#define CONF_MSEC(type_, member) CONF_KIND_MSEC, offsetof(type_, member), NULL
#define CONF_BYTES(type_, member) CONF_KIND_BYTES, offsetof(type_, member), NULL
#define CONF_STRING(type_, member) CONF_KIND_STRING, offsetof(type_, member), NULL
#define CONF_STRINGS(type_, member) CONF_KIND_STRINGS, offsetof(type_, member), NULL
#define CONF_ENUM(type_, member, t) CONF_KIND_ENUM, offsetof(type_, member), (t)
#define CONF_CUSTOM(type_, member, t) CONF_KIND_CUSTOM, offsetof(type_, member), (t)
#define CONF_OBJECT(type_, member, t) CONF_KIND_OBJECT, offsetof(type_, member), (t)
#define CONF_OPTIONAL(type_, member, t) CONF_KIND_OPTIONAL, offsetof(type_, member), (t)
#define CONF_LIST(type_, member, t) CONF_KIND_LIST, offsetof(type_, member), (t)
#define CONF_MAP(type_, member, t) CONF_KIND_MAP, offsetof(type_, member), (t)
#define CONF_NAMED(type_, member, t) CONF_KIND_NAMED, offsetof(type_, member), (t)
#define CONF_REF(type_, member, t) CONF_KIND_REF, offsetof(type_, member), (t)
#define CONF_CHOICE(type_, member, t) CONF_KIND_CHOICE, offsetof(type_, member), (t)

/* CUSTOM types for all: struct address with and without "any host", struct cidr. */
extern const struct conf_type conf_bind_address_type, conf_address_type, conf_cidr_type;
