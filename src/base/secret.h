/* base/secret.h: memory for keys, tokens and what else must not get out: pages of its own, left out of core files and,
 * where the limits allow, of swap; zeroed before they are given back. One thread writes, any may read. */
#pragma once

#include "base/slice.h"

struct secret_store;
/* NULL: there is no memory. */
struct secret_store *secret_store_new(void);
void secret_store_free(struct secret_store *s); /* NULL is fine */
/* A terminated copy that lives as long as the store. NULL: there is no memory, or was none for the store. */
const char *secret_copy(struct secret_store *s, struct slice text);
/* From now on core files have them: `core: {contents: full}`. NULL is fine. */
void secret_store_show(struct secret_store *s);

/* Between these two whatever is freed is overwritten, so that reading secrets leaves no copies in free memory. The
 * second also empties the calling thread's cache of free chunks. Control side only: each free costs more meanwhile. */
void secret_wipe_begin(void);
void secret_wipe_end(void);
