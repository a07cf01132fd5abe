/* route/split.h: an A/B split: which variant a unit belongs to. Pure: XXH3 of salt and unit, modulo 10000, is a place
 * of a table in hundredths of a percent; the same unit is in the same variant wherever weir runs, without a cookie.
 *
 * How the table is laid out: each variant but the first has an arc of its own, the starts of which (5000, 2500, 7500,
 * 1250, … : van der Corput's sequence) do not depend on how many variants there are; the first has all the rest. So a
 * variant that grows takes units from the first alone as long as its arc, which ends where the next one starts, has
 * room; beyond that it takes what is free, backwards from its start, where the other arcs are filled last. With up to
 * three variants that is always from the first alone. A variant that is added behind the others takes from the first
 * alone if nobody had grown to its start. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "conf/field.h"
#include "http/template.h"

#define SPLIT_PLACES 10000u
#define SPLIT_VARIANTS_MAX 32u
#define SPLIT_BUCKETS 200u
#define SPLIT_NONE UINT32_MAX

struct split_variant_conf {
    const char *name;
    uint32_t weight; /* hundredths of a percent; those of a split make 10000 */
    const char *pool;
};

/* `override: {header: X-Variant, from: [10.0.0.0/8]}`: whoever comes from there may choose. */
struct split_override_conf {
    const char *header;
    struct conf_items from; /* struct cidr, at least one */
};

struct split_guard_conf;

struct split_conf {
    const char *name;
    struct http_template
        unit;         /* where it is empty, the client's address is the unit: the caller sees to that */
    const char *salt; /* the split's name if absent */
    struct conf_items variants;           /* struct split_variant_conf, 1..SPLIT_VARIANTS_MAX */
    struct split_override_conf *override; /* NULL: nobody */
    bool response_header;                 /* the response carries Weir-Split too */
    struct split_guard_conf *guard;       /* route/split_guard.h; NULL: nobody changes its weights */
};

extern const struct conf_type split_conf_type;
/* CUSTOM type: "12.5", "0.01", "90%": uint32_t hundredths of a percent, 0..10000. */
extern const struct conf_type conf_percent_type;

struct split_table {
    uint64_t seed;                  /* XXH3 of the salt */
    uint8_t variants[SPLIT_PLACES]; /* whose each place is */
};

/* Control side. weights make SPLIT_PLACES, count is 1..SPLIT_VARIANTS_MAX. */
void split_table_fill(struct split_table *t, struct slice salt, const uint32_t *weights, uint32_t count);
/* Other weights while workers look: each place is one of before or one of now, whoever looks. The table's seed stays. */
void split_table_deal(struct split_table *t, const uint32_t *weights, uint32_t count);
/* Where a unit is: its place decides its variant, its bucket, which other bits of the same hash decide, has its requests
 * counted together with those of others, so that it shows how alike one unit's requests are (metric/cluster.h). */
struct split_seat {
    uint16_t place; /* 0..SPLIT_PLACES-1 */
    uint8_t bucket; /* 0..SPLIT_BUCKETS-1 */
};
struct split_seat split_seat(const struct split_table *t, struct slice unit);
static inline uint32_t split_variant_at(const struct split_table *t, uint32_t place)
{
    return __atomic_load_n(&t->variants[place], __ATOMIC_RELAXED);
}
/* Whom the override names for this request: an index of conf->variants, or SPLIT_NONE: it names none, an unknown
 * one, or comes from elsewhere. */
uint32_t split_override(const struct split_conf *conf, const struct http_template_input *in);
