/* route/route.h: which route a request takes. A table is immutable, shared by all workers, and pure: no I/O,
 * and nothing is allocated in a match.
 *
 * The most specific wins: a host given in full, then the longest wildcard, then any; for one host a path
 * given in full, then the longest prefix, then any; of several that are alike, the first. Where no route for
 * the more specific host takes the path, those for the less specific hosts are asked: so a route without
 * conditions catches everything.
 *
 * Hosts are compared without regard to case, without the port and one dot at the end. "*.example.com" is
 * every name that ends with ".example.com", of however many labels, but not example.com itself.
 *
 * Paths are compared as they came, byte by byte: a prefix "/v1" takes "/v10" too, "/v1/" does not (nor
 * "/v1"). Nothing is decoded or resolved: "/%76%31/" and "/x/../v1/" are other paths than "/v1/". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define ROUTE_NONE UINT32_MAX
#define ROUTE_HOST_MAX 255

struct route_row {
    const char *name;        /* for messages; may be NULL */
    const char *host;        /* "api.example.com", "*.example.com"; NULL: any */
    const char *path;        /* in full; NULL: see path_prefix */
    const char *path_prefix; /* NULL: any path. Not both. */
    uint32_t index;          /* what route_match() returns for it */
};

enum route_host_reason { ROUTE_HOST_ANY, ROUTE_HOST_WILDCARD, ROUTE_HOST_EXACT };
enum route_path_reason { ROUTE_PATH_ANY, ROUTE_PATH_PREFIX, ROUTE_PATH_EXACT };
/* "any", "wildcard", "exact"; "any", "prefix", "exact" */
const char *route_host_reason_name(enum route_host_reason reason);
const char *route_path_reason_name(enum route_path_reason reason);

/* Which route, and what of it matched. */
struct route_choice {
    uint32_t index; /* ROUTE_NONE if none */
    enum route_host_reason host;
    enum route_path_reason path;
};

struct route_table;

/* Rows are copied. NULL with the sentence in `err`: a row that is not as described above, or no memory. */
MUST_CHECK struct route_table *route_table_new(const struct route_row *rows, uint32_t count, struct err *err);
void route_table_free(const struct route_table *t); /* NULL is fine */

/* `host`: as in Host or :authority. `path`: without the query. Returns out->index. */
uint32_t route_match(const struct route_table *t, struct slice host, struct slice path,
                     struct route_choice *out);

/* Whether a row may have this host; the sentence in `err` if not. */
MUST_CHECK int route_check_host(struct slice host, struct err *err);
