#include "proxy/explain.h"

#include <stdlib.h>

#include "admin/routes.h"
#include "conf/decode.h"

/* What explain() writes: these rows say it, they do not print it. */
#define SAID(name, kind, text, ...)             \
    {                                           \
        name, kind, .help = text, ##__VA_ARGS__ \
    }

static const struct shape_field asked_fields[] = {
    SAID("method", SHAPE_STRING, "Its method."),
    SAID("host", SHAPE_STRING, "Its host."),
    SAID("target", SHAPE_STRING, "Its path and query."),
    SAID("client", SHAPE_STRING, "Where it comes from."),
    { 0 },
};
static const struct shape asked_shape = { "ExplainedRequest", 0, asked_fields };

static const struct shape_field route_fields[] = {
    SAID("name", SHAPE_STRING, "Its name."),
    SAID("host", SHAPE_STRING, "How its host matched: exact, wildcard or any."),
    SAID("path", SHAPE_STRING, "How its path matched: exact, prefix, regex or any."),
    SAID("conditions", SHAPE_COUNT, "How many more of its conditions held."),
    { 0 },
};
static const struct shape taken_route_shape = { "ExplainedRoute", 0, route_fields };

static const struct shape_field auth_fields[] = {
    SAID("place", SHAPE_STRING, "Whose it is: listener or route."),
    SAID("ways", SHAPE_LIST, "What may be shown: basic, jwt; or forward, where a service decides."),
    SAID("realm", SHAPE_STRING, "What those who are asked are told that it is for."),
    { 0 },
};
static const struct shape auth_shape = { "ExplainedAuth", 0, auth_fields };

static const struct shape_field considered_fields[] = {
    SAID("route", SHAPE_STRING, "A route that was looked at before."),
    SAID("why", SHAPE_STRING, "Why it was not taken."),
    { 0 },
};
static const struct shape considered_shape = { "ConsideredRoute", 0, considered_fields };

static const struct shape_field split_fields[] = {
    SAID("name", SHAPE_STRING, "The split."),
    SAID("variant", SHAPE_STRING, "The variant."),
    SAID("by", SHAPE_STRING, "What chose it: unit, client (for want of a unit) or override."),
    SAID("unit", SHAPE_STRING, "What was hashed."),
    SAID("place", SHAPE_COUNT, "Where that lies, of 10,000."),
    { 0 },
};
static const struct shape explained_split_shape = { "ExplainedSplit", 0, split_fields };

static const struct shape_field own_answer_fields[] = {
    SAID("status", SHAPE_COUNT, "Its status."),
    SAID("end", SHAPE_STRING, "The end reason."),
    SAID("why", SHAPE_STRING, "The same in words."),
    { 0 },
};
static const struct shape own_answer_shape = { "ExplainedAnswer", 0, own_answer_fields };

static const struct shape_field choice_fields[] = {
    SAID("name", SHAPE_STRING, "The server; null if there is none.", .may_be_null = true),
    SAID("address", SHAPE_STRING, "Its address.", .may_be_null = true),
    SAID("reason", SHAPE_STRING, "Why, as flight records say it."),
    SAID("why", SHAPE_STRING, "The same in words."),
    { 0 },
};
static const struct shape choice_shape = { "ExplainedServer", 0, choice_fields };

static const struct shape_field runner_up_fields[] = {
    SAID("name", SHAPE_STRING, "The server."),
    SAID("address", SHAPE_STRING, "Its address."),
    { 0 },
};
static const struct shape runner_up_shape = { "RunnerUp", 0, runner_up_fields };

static const struct shape_field candidate_fields[] = {
    SAID("name", SHAPE_STRING, "The server."),
    SAID("address", SHAPE_STRING, "Its address."),
    SAID("state", SHAPE_STRING, "Its state."),
    SAID("weight", SHAPE_COUNT, "Its weight."),
    SAID("in_flight", SHAPE_COUNT, "Exchanges at it now."),
    SAID("open_connections", SHAPE_COUNT, "Connections to it now, idle ones included."),
    SAID("is_candidate", SHAPE_BOOL, "Whether the method may choose it."),
    { 0 },
};
static const struct shape candidate_shape = { "ExplainedCandidate", 0, candidate_fields };

static const struct shape_field limit_fields[] = {
    SAID("place", SHAPE_STRING, "Whose it is: listener, route or pool."),
    SAID("name", SHAPE_STRING, "The listener, listener/route, or the pool."),
    SAID("requests", SHAPE_STRING, "Its rate, like 100/s."),
    SAID("burst", SHAPE_COUNT, "How many may come at once."),
    SAID("key", SHAPE_STRING, "Who is counted as one."),
    SAID("remaining", SHAPE_COUNT, "How many more of that key would pass after this one."),
    SAID("outcome", SHAPE_STRING, "passed, delayed, refused, would_delay or would_refuse."),
    SAID("wait_ms", SHAPE_NUMBER, "Until when it would be held back, or would have to come again."),
    SAID("why", SHAPE_STRING, "The same in words."),
    { 0 },
};
static const struct shape explained_limit_shape = { "ExplainedLimit", 0, limit_fields };
static const struct shape_field hedge_fields[] = {
    SAID("percentile", SHAPE_COUNT, "Of how long the pool's servers take."),
    SAID("at_least_ms", SHAPE_COUNT, "Not before this time."),
    SAID("after_ms", SHAPE_COUNT, "After which time another would be asked now; null: too little is known.",
         .may_be_null = true),
    SAID("may", SHAPE_BOOL, "Whether another would be, if the budget bears it."),
    SAID("why_not", SHAPE_STRING, "What stands in the way.", .may_be_null = true),
    { 0 },
};
static const struct shape hedge_shape = { "ExplainedHedge", 0, hedge_fields };

static const struct shape_field retry_fields[] = {
    SAID("attempts", SHAPE_COUNT, "How many it may have in all."),
    SAID("on", SHAPE_LIST, "After what another is made: connect, reset, statuses."),
    SAID("per_try_ms", SHAPE_COUNT, "How long one may take before another is made; 0: no bound."),
    SAID("may_repeat", SHAPE_BOOL,
         "Whether it may be sent again although a server may have acted on it: by its method, or because the "
         "route says so."),
    SAID("budget_share", SHAPE_COUNT, "How many of a hundred of the pool's requests may be sent again."),
    SAID("budget_reserve", SHAPE_COUNT, "How many may besides."),
    SAID("hedge", SHAPE_OBJECT, "When another server is asked beside one that takes long; null: never.",
         .of = &hedge_shape, .may_be_null = true),
    { 0 },
};
static const struct shape retry_shape = { "ExplainedRetry", 0, retry_fields };

static const struct shape_field explain_fields[] = {
    SAID("listener", SHAPE_STRING, "The listener."),
    SAID("request", SHAPE_OBJECT, "What was asked.", .of = &asked_shape),
    SAID("route", SHAPE_OBJECT, "The route that it takes.", .of = &taken_route_shape, .may_be_null = true),
    SAID("auth", SHAPE_OBJECT,
         "Who it is of would be asked; what follows is for whoever is let pass. Null: nobody is asked.",
         .of = &auth_shape, .may_be_null = true),
    SAID("considered", SHAPE_LIST, "Routes that were looked at before.", .of = &considered_shape),
    SAID("split", SHAPE_OBJECT, "What the split made of it.", .of = &explained_split_shape,
         .may_be_null = true),
    SAID("pool", SHAPE_STRING, "The pool.", .may_be_null = true),
    SAID("limits", SHAPE_LIST, "The rate limits that it meets, and what they would say now.",
         .of = &explained_limit_shape),
    SAID("answer", SHAPE_OBJECT, "Where weir answers by itself.", .of = &own_answer_shape,
         .may_be_null = true),
    SAID("target", SHAPE_STRING, "The target that the server is sent.", .may_be_null = true),
    SAID("retry", SHAPE_OBJECT, "When it is sent once more.", .of = &retry_shape, .may_be_null = true),
    SAID("method", SHAPE_STRING, "The pool's balance method.", .may_be_null = true),
    SAID("server", SHAPE_OBJECT, "The server.", .of = &choice_shape, .may_be_null = true),
    SAID("runner_up", SHAPE_OBJECT, "The next best, where the method knows it.", .of = &runner_up_shape,
         .may_be_null = true),
    SAID("servers", SHAPE_LIST, "All servers of the pool.", .of = &candidate_shape),
    { 0 },
};
const struct shape explain_shape = { "Explanation", 0, explain_fields };

/* -1: `out` says what is wrong. */
static int read_body(const struct admin_request *rq, struct explain_conf *conf, struct conf_arena *arena,
                     struct answer *out)
{
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) {
        answer_problem(out, 503, "There is no memory to read the body; try again.");
        return -1;
    }
    struct conf_tree tree;
    int result = conf_read_json(&tree, "request body", rq->body, faults);
    if (result == 0) result = conf_decode(&tree, &explain_conf_type, conf, arena, faults);
    if (result < 0) answer_faults(out, faults, &tree);
    conf_tree_free(&tree);
    free(faults);
    return result;
}

void explain_show(const struct admin_request *rq, struct answer *out)
{
    struct conf_arena *arena = conf_arena_new();
    struct explain_conf *conf = conf_arena_alloc(arena, sizeof(*conf));
    if (read_body(rq, conf, arena, out) == 0) {
        struct json j;
        struct err err = { "" };
        json_init(&j, ANSWER_MAX, true);
        if (explain(rq->proxy, conf, &j, &err) == 0) {
            answer_json(out, 200, &j);
        } else {
            json_fini(&j);
            answer_error(out, 400, &err);
        }
    }
    conf_arena_free(arena);
}
