/* route/rewrite.h: another target for the same request: `rewrite: {strip_prefix: /v1, add_prefix: /api}` or
 * `rewrite: {regex: "^/u/([0-9]+)", to: "/users/$1"}`. Works on the path; the query stays as it is, and so does the
 * meaning of the path: the result is canonical, too, and one with dot segments is refused. Compiled once,
 * immutable, shared by all workers; nothing is allocated while rewriting. */
#pragma once

#include "base/err.h"
#include "base/text.h"
#include "conf/field.h"
#include "http/path.h"

struct rewrite_conf {
    const char *strip_prefix; /* taken off where the path begins with it */
    const char *add_prefix;   /* put before what is left */
    const char *regex, *to;   /* the first match becomes `to`, in which $0 to $9 are groups, $$ a dollar */
};

extern const struct conf_type rewrite_conf_type;

struct rewrite;
struct route_scratch;

/* Borrows the texts of `conf`. */
MUST_CHECK int rewrite_new(struct rewrite **out, const struct rewrite_conf *conf, struct err *err);
void rewrite_free(struct rewrite *r); /* NULL is fine */

enum rewrite_result {
    REWRITE_SAME,
    REWRITE_DONE,
    REWRITE_TOO_LONG,
    REWRITE_BAD_PATH, /* "/static../private" with another prefix is "/public/../private" */
};
/* `scratch`: the thread's (route/route.h); NULL will do without a regular expression. REWRITE_DONE: the whole new target,
 * query included, is in `out`; it begins with a slash, its path is as `rules` have it, and what a path cannot hold is
 * percent-encoded. "*" is left alone. Otherwise `out` is empty. */
enum rewrite_result rewrite_target(const struct rewrite *r, struct route_scratch *scratch,
                                   const struct http_path_rules *rules, struct slice target,
                                   struct text *out);
/* Whether it has one. */
bool rewrite_needs_scratch(const struct rewrite *r);
