/* auth/key_source.h: keys that somebody publishes by HTTPS, and what was fetched of them last. There is one for each address in the
 * process, so that another configuration has at once what the one before it knew. Who fetches: auth/key_fetcher.h. Counted; any
 * thread. */
#pragma once

#include "auth/jwk.h"

#define KEY_TEXT_MAX (256u << 10)

struct key_source;

/* One reference, which is the caller's. ca: a file that verifies who publishes them; NULL: the host does. NULL: there
 * is no memory for it. */
struct key_source *key_source_get(const char *url, const char *ca);
void key_source_put(struct key_source *s); /* NULL is fine */
/* Another for each document that differs from what was there; 0: none has come yet. */
uint64_t key_source_number(const struct key_source *s);
/* The keys of what came last. NULL: nothing has. */
struct jwk_set *key_source_read(struct key_source *s, struct err *err);
/* A token names a key that is none of these: they are fetched now, unless they were within the last minute for that. Costs one load
 * otherwise. */
void key_source_miss(struct key_source *s, uint64_t now_ms);

struct key_source_state {
    const char *url;
    uint32_t keys, failures; /* failures: in a row */
    bool has_come, is_fetching;
    uint64_t age_ms, next_ms; /* how long ago it came; in what time it is asked again */
    const char *error;        /* of the last failure; "": what came last is good */
};
/* Of those that the configuration in force has. Borrowed for the call. */
void key_sources_each(uint64_t now_ms, void (*each)(void *context, const struct key_source_state *s),
                      void *context);
