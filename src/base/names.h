/* base/names.h: names of things that come and go (listeners, routes, pools, servers, variants) as 32-bit ids that outlive
 * them: flight records and profiles keep ids, and still have a name to show when the configuration that brought it is long
 * gone. The control thread interns, any thread reads: an id reaches others only after its name is there. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Of all configurations together since the process began. */
#define NAMES_MAX (1u << 20)
/* Of those, what nobody but an operator may use up: names that others bring, like those of servers that are found, stop before,
 * so that there is always room for another configuration. */
#define NAMES_RESERVE (NAMES_MAX / 4)

struct names {
    const char *
        *by_id;        /* from 1; a reservation of NAMES_MAX places, of which only those in use cost memory */
    uint32_t count;    /* ids given so far, and 0, which is nobody */
    uint32_t *buckets; /* open hash of ids, 0: free */
    uint32_t bucket_count;
};

MUST_CHECK int names_init(struct names *n, struct err *err);
void names_fini(struct names *n);
/* The text's id, the same each time. 0: there are NAMES_MAX already, or memory is out. */
uint32_t names_intern(struct names *n, const char *text);
/* Likewise, and 0 if it would have to be a new one among the last `reserve`. */
uint32_t names_intern_before(struct names *n, const char *text, uint32_t reserve);
/* 0: nobody has that name. The thread that interns. */
uint32_t names_find(const struct names *n, const char *text);
/* NULL: nobody has that id. Any thread. */
static inline const char *names_of(const struct names *n, uint32_t id)
{
    return id && id < __atomic_load_n(&n->count, __ATOMIC_ACQUIRE) ? n->by_id[id] : 0;
}
