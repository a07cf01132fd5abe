/* admin/router.h: the API as a table. The same rows route requests and make openapi.json. Control thread. */
#pragma once

#include "admin/answer.h"
#include "admin/guard.h"
#include "admin/shape.h"
#include "admin/target.h"
#include "conf/field.h"
#include "http/message.h"

#define ROUTER_PARAMS_MAX 4u
#define ROUTER_QUERY_MAX 16u

struct audit;
struct before_after;
struct history;
struct invariants;
struct jobs;
struct leak_watch;
struct stall_watch;
struct loop;
struct metrics_texts;
struct profiler;
struct proxy;
struct reloader;
struct rule_log;
struct upgrader;
struct certifier;
struct finder;
struct watch;

struct admin_query {
    const char *name;
    const char *type; /* of JSON Schema: "integer", "string" */
    const char *help; /* a sentence */
};

struct admin_request {
    struct proxy *proxy;
    struct watch *watch; /* NULL: no logs are watched */
    struct rule_log *rule_log;
    struct profiler *profiler;         /* may be NULL */
    struct jobs *jobs;                 /* likewise */
    struct leak_watch *leaks;          /* likewise */
    struct stall_watch *stalls;        /* likewise */
    struct invariants *invariants;     /* likewise */
    struct reloader *reloader;         /* likewise */
    struct upgrader *upgrader;         /* likewise */
    struct certifier *certifier;       /* likewise */
    struct finder *finder;             /* likewise */
    const struct history *history;     /* likewise */
    struct before_after *before_after; /* likewise */
    struct audit *audit;               /* likewise */
    struct metrics_texts *metrics;
    struct loop *loop;
    const struct admin_route *route;
    const struct admin_route *routes;            /* the whole table */
    struct slice params[ROUTER_PARAMS_MAX];      /* of the path, in order; terminated, like the next */
    struct slice query[ROUTER_QUERY_MAX];        /* by row of route->query; data is NULL where absent */
    struct slice accept;                         /* the Accept field, or empty */
    struct slice accept_encoding, if_none_match; /* likewise */
    struct slice last_event_id;                  /* likewise: of whoever takes a stream up again */
    struct slice if_match;                       /* the If-Match field; data is NULL where absent */
    struct slice body;
    const struct guard *guard;
    struct guard_who who; /* asks */
    const char *mention;  /* how the log names it (record/mention.h): "" if it has shown no ids */
};

struct admin_route {
    enum http_method method;
    const char *path;     /* "/api/v1/pools/{pool}" */
    enum admin_role role; /* the least that it takes */
    void (*handle)(const struct admin_request *rq, struct answer *out);
    const char *summary;             /* a few words, with a capital, without a full stop */
    const struct conf_type *body;    /* what a PATCH may say; NULL: no body */
    const struct admin_query *query; /* ends with a row without a name; NULL: none */
    const struct shape *answer;      /* NULL: text, or described elsewhere */
    const struct shape *dry_answer;  /* with dry_run=true, if that is another; else NULL */
    const char *list;                /* not NULL: the answer is {"<list>": [answer, …]} */
    const char *content_type;        /* NULL: application/json */
    const struct conf_type *object;  /* what of the configuration it writes (admin/objects.c), or NULL */
    bool is_part;                    /* its answer: some of the configuration, as written there */
    bool takes_text;                 /* a body that is no JSON, or not only */
    const char *text_type;           /* of that; NULL: there is none */
    const char *example;             /* of use: the body where there is one, else a query; NULL: without */
    uint32_t body_max;               /* bytes that a body may have; 0: CALL_BODY_MAX */
    bool creates;                    /* it may make something new: 201 */
    bool has_effect;  /* though a GET: takes a profile, say; no link on another site may do that */
    bool says_itself; /* changes something, of which it makes an event of its own that says all of it */
    bool is_alias;    /* the row before by another path, which nobody needs to be told */
    bool has_no_body; /* its answer: 204 */
    bool is_open;     /* for health checks: answers to any Host, also when all connections are in use */
};

struct router_match {
    const struct admin_route *route; /* NULL: no such path, or not with this method */
    bool has_path;
    char allow[64]; /* what the path takes, if there is one */
    struct slice params[ROUTER_PARAMS_MAX];
};

/* `routes` ends with a row without a path. GET answers HEAD as well; OPTIONS is the caller's. */
void router_match(const struct admin_route *routes, const struct target *target, enum http_method method,
                  struct router_match *out);
/* Puts the query's values by the route's rows; -1 for a parameter that is not known or comes twice. */
MUST_CHECK int router_query(const struct admin_route *route, const struct target *target,
                            struct slice values[ROUTER_QUERY_MAX], struct err *err);
/* The path of the table that `path` may have meant, or NULL. */
const char *router_nearest(const struct admin_route *routes, struct slice path);
/* Takes the next segment of a pattern off `rest`: "{pool}" is a parameter without its braces. False at the
 * end. */
bool router_next_segment(const char **rest, struct slice *segment, bool *is_param);
