/* route/route.h: which route a request takes. A table is immutable, shared by all workers, and pure: no I/O,
 * and nothing is allocated in a match.
 *
 * The most specific wins, in this order: a host given in full, then the longest wildcard, then any; for one host a
 * path given in full, then the longest prefix, then regular expressions in the order of the file, then any path; for
 * one path a route that names methods; then the one with more conditions (headers, query arguments, clients, scheme, what it
 * leaves out); then the first in the file. A route whose conditions do not hold is passed over, and the next in this order is asked;
 * where no route for the more specific host takes the request, those for the less specific hosts are asked: so a
 * route without conditions catches everything.
 *
 * Hosts are compared without regard to case, without the port and one dot at the end. "*.example.com" is
 * every name that ends with ".example.com", of however many labels, but not example.com itself.
 *
 * Paths are compared byte by byte: a prefix "/v1" takes "/v10" too, "/v1/" does not (nor "/v1"). Nothing is decoded
 * or resolved here: whoever asks makes the path canonical first (http/path.h), so that "/%76%31/" and "/x/../v1/"
 * are "/v1/". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/text.h"
#include "http/message.h"

#define ROUTE_NONE UINT32_MAX
#define ROUTE_HOST_MAX 255
/* How much work a regular expression may do on one path, and how much memory it may take (the limits of PCRE2), before it
 * gives up: then no route is taken. */
#define ROUTE_REGEX_STEPS_MAX 10000u
#define ROUTE_REGEX_KIB_MAX 2048u

/* A header or query argument that must be there, with this value: "*" is any value, a value that begins with "!" is
 * any other (or none), "!*" is none. Of several values one that is asked for is enough, and none may be one that must
 * not be; a field's are its whole text and the elements of it as a list. Fields that are dropped are not there. An
 * argument's name and value are compared decoded; all with regard to case. */
struct route_condition {
    const char *name, *value;
};

struct route_not_conf;

enum route_scheme { ROUTE_SCHEME_ANY, ROUTE_SCHEME_HTTP, ROUTE_SCHEME_HTTPS };

struct route_row {
    const char *name;        /* for messages; may be NULL */
    const char *host;        /* "api.example.com", "*.example.com"; NULL: any */
    const char *path;        /* in full; NULL: see path_prefix */
    const char *path_prefix; /* NULL: any path */
    const char
        *path_regex; /* PCRE2, matched anywhere in the path unless anchored. One of the three at most. */
    const char *const *methods; /* "GET", …; any if there are none */
    const struct route_condition *headers, *query;
    const struct cidr *clients; /* any if there are none */
    uint32_t method_count, header_count, query_count, client_count;
    uint32_t scheme;                    /* enum route_scheme */
    const struct route_not_conf * not ; /* what it leaves to others; borrowed, NULL: nothing */
    uint32_t index; /* what route_match() returns for it; several rows may have the same */
};

enum route_host_reason { ROUTE_HOST_ANY, ROUTE_HOST_WILDCARD, ROUTE_HOST_EXACT };
enum route_path_reason { ROUTE_PATH_ANY, ROUTE_PATH_REGEX, ROUTE_PATH_PREFIX, ROUTE_PATH_EXACT };
/* "any", "wildcard", "exact"; "any", "regex", "prefix", "exact" */
const char *route_host_reason_name(enum route_host_reason reason);
const char *route_path_reason_name(enum route_path_reason reason);

struct route_request {
    struct slice host; /* as in Host or :authority */
    struct slice path, query;
    const struct http_head *head; /* method, fields, authority and upgrade */
    struct ip client;
    bool is_secure; /* it came over TLS: its scheme is https */
};

/* Which route, and what of it matched. */
struct route_choice {
    uint32_t index; /* ROUTE_NONE if none */
    enum route_host_reason host;
    enum route_path_reason path;
    uint8_t
        conditions;    /* how many more held: methods, headers, query arguments, clients, the scheme, `not` */
    bool is_undecided; /* ROUTE_NONE, since a regular expression gave up at its limits: to be refused */
};

struct route_table;

/* What regular expressions need while they search; one for each thread that matches. NULL: out of memory. */
struct route_scratch;
struct route_scratch *route_scratch_new(void);
void route_scratch_free(struct route_scratch *s); /* NULL is fine */

/* Rows are copied, but for their `not`. NULL with the sentence in `err`: a row that is not as described above, or no memory. */
MUST_CHECK struct route_table *route_table_new(const struct route_row *rows, uint32_t count, struct err *err);
void route_table_free(const struct route_table *t); /* NULL is fine */

/* Whether a match needs a scratch; else NULL will do. */
bool route_table_needs_scratch(const struct route_table *t);

/* Returns out->index. */
uint32_t route_match(const struct route_table *t, const struct route_request *rq,
                     struct route_scratch *scratch, struct route_choice *out);

/* The same search told step by step: each route that was looked at, in order, and the condition at which it failed
 * ("header x-env is \"prod\", not \"beta\""), the last one being the one taken (why is empty), or none. For people:
 * slow. `on_step` is called with the row's index. */
void route_explain(const struct route_table *t, const struct route_request *rq, struct route_scratch *scratch,
                   void (*on_step)(void *context, uint32_t index, struct slice why), void *context);

/* Whether a row may have this host; the sentence in `err` if not. */
MUST_CHECK int route_check_host(struct slice host, struct err *err);
/* Whether it is a regular expression; the sentence with its place if not. */
MUST_CHECK int route_check_regex(const char *regex, struct err *err);
