/* discovery/name_lookup.h: a name's addresses of the families that `resolver: {family}` says, in its order. One question of a
 * source. Control thread. */
#pragma once

#include "discovery/freshness.h"
#include "discovery/sources.h"
#include "net/resolver_lookup.h"

/* Embedded; zeroed before its first use. */
struct name_lookup {
    struct resolver_lookup lookup;
    struct sources *all;
    uint32_t step; /* which of the families is asked for */
    bool has_failed, keeps_family;
    const char *reason; /* of what was no good: a clause for people */
    /* Once; at once or later. `found` with SOURCE_FOUND, until the call returns; else `reason` says why. */
    void (*done)(struct name_lookup *l, enum source_result result, const struct resolver_found *found);
    char name[RESOLVER_NAME_MAX + 1];
};

/* keeps_family: something is known; while the first family is only not to be had, that is better than the second. */
void name_lookup_begin(struct name_lookup *l, struct sources *all, struct slice name, bool keeps_family);
/* done() does not come. Fine at any time. */
void name_lookup_end(struct name_lookup *l);
/* For how long an answer with that TTL is good. */
uint64_t name_lookup_holds_ms(const struct sources *all, uint32_t ttl_s);
