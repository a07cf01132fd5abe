/* pool/found_servers.h: a pool whose configuration has names where servers could be, as it is now: a copy of that with a server
 * for each address that the names lead to. Whoever works by it sees servers as in any other pool. Control side. */
#pragma once

#include "pool/pool_conf.h"

struct conf_arena;
struct found;

/* Who knows where a place leads now. */
struct servers_finder {
    /* Borrowed until the next turn of the loop. NULL, with *count 0: it is not known, or nobody is there. */
    const struct found *(*find)(void *context, const struct address *place, uint32_t *count);
    void *context;
};

/* Whether there are such names in it. */
bool found_is_needed(const struct pool_conf *written);
/* `arena`: in which `written` lies; NULL: it outlives the copy. The copy's own arena holds that one; both are the caller's,
 * who owns one reference of it. finder NULL: nobody knows of any server. *left_out: servers for which there was no room. NULL:
 * there is no memory, and no arena. */
const struct pool_conf *found_pool_conf(const struct pool_conf *written, struct conf_arena *arena,
                                        const struct servers_finder *finder, struct conf_arena **out_arena,
                                        uint32_t *left_out);
/* Two copies of one configuration: whether they have the same servers. */
bool found_is_same(const struct pool_conf *a, const struct pool_conf *b);
