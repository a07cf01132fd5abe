/* profile/profile.h: what was sampled: stacks with labels and values; equal ones are added up. Every writer (pprof, folded
 * stacks, flame graph) reads the arrays below; only the functions change them. Ids are places in the arrays; id 0 of each
 * but the samples stands for none. Bounded: what finds no room is counted in `lost`. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define PROFILE_TYPES_MAX 4u
#define PROFILE_DEPTH_MAX 256u
#define PROFILE_LABELS_MAX 6u
#define PROFILE_STRINGS_MAX (1u << 18)
#define PROFILE_TEXT_MAX (32u << 20)
#define PROFILE_SAMPLES_MAX (1u << 18)
#define PROFILE_FRAMES_MAX (1u << 23) /* ids in all stacks */

/* What is counted: {"cpu", "nanoseconds"}. Static text. */
struct profile_type {
    const char *type, *unit;
};

/* A file as it is mapped. */
struct profile_mapping {
    uint64_t start, limit, file_offset;
    uint32_t file, build_id; /* strings */
    bool has_functions, has_lines;
};

struct profile_function {
    uint32_t name, file; /* strings */
    uint32_t line;       /* where it begins; 0: not known */
};

/* One frame. Equal ones are one location. */
struct profile_location {
    uint64_t address;           /* 0 for what is no code ("connections", "idle") */
    uint32_t mapping, function; /* ids */
    uint32_t line;              /* 0: not known */
};

/* A number if `unit` is not 0, else a text. */
struct profile_label {
    uint32_t key, text, unit; /* strings */
    int64_t number;
};

struct profile_sample {
    uint32_t stack_at; /* in `frames`: location ids, the leaf first */
    uint16_t depth, label_count;
    struct profile_label labels[PROFILE_LABELS_MAX];
    int64_t values[PROFILE_TYPES_MAX];
};

struct profile_string {
    uint32_t at, len; /* in `text`; terminated there */
};

/* Open hash of ids. */
struct profile_index {
    uint32_t *slots, mask, used;
};

struct profile {
    struct profile_type types[PROFILE_TYPES_MAX];
    uint32_t type_count, preset_type; /* preset_type: which one is shown first */
    struct profile_type period_type;  /* of what one sample stands for; type NULL: none */
    int64_t period;
    uint64_t time_ns, duration_ns; /* since 1970; 0: not known */
    const char *comment;           /* borrowed; NULL: none */

    char *text;
    struct profile_string *strings; /* [0] is "" */
    struct profile_mapping *mappings;
    struct profile_function *functions;
    struct profile_location *locations;
    uint32_t *frames;
    struct profile_sample *samples;
    uint32_t text_len, string_count, mapping_count, function_count, location_count, frame_count, sample_count;
    uint64_t lost; /* additions that found no room */

    uint32_t text_cap, string_cap, mapping_cap, function_cap, location_cap, frame_cap, sample_cap;
    struct profile_index string_index, mapping_index, function_index, location_index, sample_index;
};

/* NULL: out of memory. 1 to PROFILE_TYPES_MAX types. */
struct profile *profile_new(const struct profile_type *types, uint32_t type_count);
void profile_free(struct profile *p); /* NULL is fine */

/* Ids; 0 where there is no room, or of the empty text. */
uint32_t profile_add_string(struct profile *p, struct slice s);
uint32_t profile_add_mapping(struct profile *p, const struct profile_mapping *m);
uint32_t profile_add_function(struct profile *p, const struct profile_function *f);
uint32_t profile_add_location(struct profile *p, const struct profile_location *l);
/* A location that is only a name. */
uint32_t profile_add_name(struct profile *p, struct slice name);

/* `stack`: location ids, the leaf first; at most PROFILE_DEPTH_MAX are kept, those nearest to the leaf. `values`: one for
 * each type; they may be negative, in differences. */
void profile_add(struct profile *p, const uint32_t *stack, uint32_t depth, const struct profile_label *labels,
                 uint32_t label_count, const int64_t *values);
/* Adds `sign` (1 or -1) times every sample of `from`, which has the same types: sums and differences. */
void profile_merge(struct profile *into, const struct profile *from, int sign);

/* Borrowed; lives until the next string is added. */
struct slice profile_text(const struct profile *p, uint32_t string);
/* The function's name; "0x…" and the file's name where there is none. Into `out`, at least 64 bytes. */
struct slice profile_frame_name(const struct profile *p, uint32_t location, char *out, size_t cap);
/* The sum of one type's values. */
int64_t profile_total(const struct profile *p, uint32_t type);
