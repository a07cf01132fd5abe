/* route/sni_table.h: which of a tcp listener's routes a name leads to: as given in full, then by the longest wildcard, then the
 * route without names. Immutable; any thread. */
#pragma once

#include "base/err.h"
#include "base/slice.h"
#include "route/route_conf.h"

#define SNI_ROUTE_NONE UINT32_MAX

struct sni_table;

/* A name as it may stand in `sni:`. */
MUST_CHECK int sni_check_name(const char *name, struct err *err);
/* Borrows the routes, each with names or the one without. NULL: out of memory. */
struct sni_table *sni_table_new(const struct route_conf *routes, uint32_t count);
void sni_table_free(struct sni_table *t); /* NULL is fine */
/* In lower case. The index of a route; SNI_ROUTE_NONE: none takes it. */
uint32_t sni_table_find(const struct sni_table *t, struct slice name);
/* The route of what has no name, or is no TLS. */
uint32_t sni_table_rest(const struct sni_table *t);
/* Of each name that an earlier route, or this one, has already: told with the route and the name. */
void sni_table_each_twice(const struct route_conf *routes, uint32_t count,
                          void (*told)(void *context, uint32_t route, const char *name), void *context);
