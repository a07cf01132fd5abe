#include "proxy/explain.h"

#include <stdlib.h>

#include "base/clock.h"
#include "files/file_name.h"
#include "proxy/choose.h"
#include "proxy/exchange_steps.h"
#include "proxy/explain_request.h"
#include "proxy/explain_retry.h"
#include "proxy/site.h"
#include "route/maintenance_conf.h"
#include "route/split.h"

/* who it is */

static void print_ways(const struct auth_conf *auth, struct json *out)
{
    json_key(out, "ways");
    json_array(out);
    if (auth->basic) json_string(out, "basic");
    if (auth->jwt) json_string(out, "jwt");
    if (auth->forward) json_string(out, "forward");
    json_array_end(out);
}

/* Nobody is asked here: what follows is for whom it lets pass. */
static void print_auth(const struct auth_conf *auth, const struct route *r, struct json *out)
{
    json_key(out, "auth");
    if (!auth) {
        json_null(out);
        return;
    }
    json_object(out);
    json_key(out, "place");
    json_string(out, r && r->conf && r->conf->auth == auth ? "route" : "listener");
    print_ways(auth, out);
    json_key(out, "realm");
    json_string(out, auth->realm);
    json_object_end(out);
}

/* the route */

struct steps {
    const struct route_set *listener;
    const struct route *taken;
    struct json *out;
};

static void on_step(void *context, uint32_t index, struct slice why)
{
    const struct steps *s = context;
    if (!why.len) return; /* the one that is taken */
    json_object(s->out);
    json_key(s->out, "route");
    json_string(s->out, s->listener->routes[index].name);
    json_key(s->out, "why");
    json_slice(s->out, why);
    json_object_end(s->out);
}

/* None, where the request is refused before routes are asked. */
static void print_considered(const struct explain_request *rq, const struct choose_result *c,
                             struct route_scratch *scratch, struct json *out)
{
    struct steps s = { .listener = rq->listener, .out = out };
    struct route_request wanted = { .host = rq->head.authority,
                                    .path = http_target_path(rq->head.target),
                                    .query = http_target_query(rq->head.target),
                                    .head = &rq->head,
                                    .client = rq->client,
                                    .is_secure = rq->listener->conf->tls != NULL };
    json_key(out, "considered");
    json_array(out);
    bool was_asked = c->route || c->refusal == END_NO_ROUTE;
    if (was_asked && rq->listener->table) route_explain(rq->listener->table, &wanted, scratch, on_step, &s);
    json_array_end(out);
}

static void print_route(const struct choose_result *c, struct json *out)
{
    json_key(out, "route");
    if (!c->route) {
        json_null(out);
        return;
    }
    json_object(out);
    json_key(out, "name");
    json_string(out, c->route->name);
    json_key(out, "host");
    json_string(out, route_host_reason_name(c->match.host));
    json_key(out, "path");
    json_string(out, route_path_reason_name(c->match.path));
    json_key(out, "conditions");
    json_u64(out, c->match.conditions);
    json_object_end(out);
}

static void print_split(const struct choose_result *c, const struct http_template_input *in, struct json *out)
{
    json_key(out, "split");
    if (!c->variant) {
        json_null(out);
        return;
    }
    char memory[HTTP_TEMPLATE_TEXT_MAX];
    struct text unit = text_over(memory, sizeof(memory));
    if (c->split_reason == CHOOSE_BY_UNIT) http_template_expand(&c->variant->split->conf->unit, in, &unit);
    char scratch[HTTP_SOURCE_SCRATCH];
    if (c->split_reason == CHOOSE_BY_CLIENT)
        text_add_slice(&unit, http_source_value(HTTP_SOURCE_CLIENT, SLICE_NONE, in, scratch));
    json_object(out);
    json_key(out, "name");
    json_string(out, c->variant->split->name);
    json_key(out, "variant");
    json_string(out, c->variant->conf->name);
    json_key(out, "by");
    json_string(out, choose_split_reason_name(c->split_reason));
    json_key(out, "unit");
    json_slice(out, text_slice(&unit));
    json_key(out, "place");
    json_u64(out, c->seat.place);
    json_object_end(out);
}

/* the answer, where weir gives it itself */

static void print_answer(uint16_t status, enum end_reason end, const char *why, struct json *out)
{
    json_key(out, "answer");
    json_object(out);
    json_key(out, "status");
    json_u64(out, status);
    json_key(out, "end");
    json_string(out, end_reason_info(end)->name);
    json_key(out, "why");
    json_string(out, why);
    json_object_end(out);
}

static uint16_t status_of(const struct route_set *l, const struct choose_result *c,
                          const struct http_template_input *in)
{
    const struct maintenance_conf *m = c->refusal == END_MAINTENANCE
                                           ? choose_maintenance(l, c->route, in->client)
                                           : NULL;
    return m ? (uint16_t)m->status : end_reason_info(c->refusal)->status;
}

/* Nobody looks whether it is there: that could take long. */
static void print_file(const struct route_set *l, const struct choose_result *c, const struct http_head *head,
                       struct json *out)
{
    const struct files_conf *files = c->route->conf->files;
    char target_memory[HTTP_TARGET_MAX], name_memory[FILE_NAME_MAX], why[FILE_NAME_MAX + 2048];
    struct text t = text_over(why, sizeof(why)), name = text_over(name_memory, sizeof(name_memory));
    struct text rewritten = text_over(target_memory, sizeof(target_memory));
    struct slice target = head->target;
    if (head->method != HTTP_GET && head->method != HTTP_HEAD) {
        print_answer(405, END_METHOD_NOT_ALLOWED, "files are asked for by GET and HEAD alone", out);
        return;
    }
    struct route_scratch *scratch = c->route->rewrite ? route_scratch_new() : NULL;
    enum end_reason refusal = c->route->rewrite ? choose_target(l, c->route, scratch, &target, &rewritten)
                                                : END_NONE;
    route_scratch_free(scratch);
    const char *none = refusal == END_NONE ? exchange_file_name(files, target, &name)
                                           : end_reason_info(refusal)->means;
    if (none) {
        enum end_reason end = refusal == END_NONE ? END_FILE_NOT_FOUND : refusal;
        print_answer(end_reason_info(end)->status, end, none, out);
        return;
    }
    text_printf(&t, "the route answers from file %s/%s, if it is there", files->root, text_cstr(&name));
    print_answer(200, END_OK, text_cstr(&t), out);
}

/* True if weir answers by itself. */
static bool print_own_answer(const struct route_set *l, const struct choose_result *c,
                             const struct http_template_input *in, struct json *out)
{
    char why[1024];
    struct text t = text_over(why, sizeof(why));
    if (c->refusal != END_NONE) {
        const struct end_reason_info *info = end_reason_info(c->refusal);
        text_add_slice(&t, slice_of(info->means));
        if (c->detail) text_printf(&t, ": %s", c->detail);
        print_answer(status_of(l, c, in), c->refusal, text_cstr(&t), out);
        return true;
    }
    if (c->is_preflight) {
        print_answer(204, END_OK, "it is a CORS preflight, which weir answers by `cors`", out);
        return true;
    }
    const struct route_conf *conf = c->route->conf;
    if (!c->pool && conf->files) {
        print_file(l, c, in->head, out);
        return true;
    }
    if (!c->pool && !conf->respond) {
        TEXT_LITERAL(&t, "the route redirects to ");
        size_t begin = t.len;
        bool is_made = !conf->https || route_https_location(conf->https, in->head, &t);
        if (!conf->https) http_template_expand(&conf->redirect->to, in, &t);
        if (!is_made || !http_location_is_whole((struct slice){ t.data + begin, t.len - begin })) {
            print_answer(400, END_BAD_REQUEST,
                         "the redirect is made from a host or a field that it does not have", out);
            return true;
        }
        print_answer(conf->https ? route_https_status(in->head) : (uint16_t)conf->redirect->status, END_OK,
                     text_cstr(&t), out);
        return true;
    }
    if (!c->pool && conf->respond) {
        print_answer((uint16_t)conf->respond->status, END_OK, "the route answers by itself", out);
        return true;
    }
    json_key(out, "answer");
    json_null(out);
    return false;
}

/* the server */

/* Where weir itself answers there is none. */
static void print_no_server(struct json *out)
{
    static const char *const keys[] = { "target", "retry", "method", "server", "runner_up" };
    for (unsigned i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        json_key(out, keys[i]);
        json_null(out);
    }
    json_key(out, "servers");
    json_array(out);
    json_array_end(out);
}

static const char *why_of(enum balance_reason reason)
{
    switch (reason) {
    case BALANCE_ALL_TRIED: return "no server of the pool can be used";
    case BALANCE_ALL_FULL: return "every server is at its cap: the request would wait in the queue";
    case BALANCE_ONLY_ONE: return "it is the only one that can be used";
    case BALANCE_TURN: return "it is its turn, by its weight; each worker counts by itself";
    case BALANCE_DRAWN: return "drawn by weight: the next draw may be another's";
    case BALANCE_LEAST: return "it is the least loaded for its weight";
    case BALANCE_TIE: return "it was drawn among the least loaded, which are equals";
    case BALANCE_TWO: return "it is the less loaded of those that were drawn";
    case BALANCE_HASHED: return "the key belongs to it";
    case BALANCE_FALLBACK: return "the one before it cannot be used now";
    case BALANCE_BOUNDED: return "the key's own server is at its bound";
    case BALANCE_QUICKEST: return "it is expected to answer first";
    case BALANCE_OVERFLOW: return "all that are preferred are at their caps";
    case BALANCE_STICKY: return "the client's cookie names it";
    case BALANCE_PINNED: return "Weir-Pin names it";
    case BALANCE_QUEUED: return "its slot was freed when the request's turn in the queue had come";
    }
    return "";
}

static void print_server(const char *key, const struct server *s, struct json *out)
{
    json_key(out, key);
    if (!s) {
        json_null(out);
        return;
    }
    json_object(out);
    json_key(out, "name");
    json_string(out, s->name);
    json_key(out, "address");
    json_string(out, s->address_text);
    json_object_end(out);
}

static void print_choice(const struct server *s, enum balance_reason reason, struct json *out)
{
    json_key(out, "server");
    json_object(out);
    json_key(out, "name");
    json_string(out, s ? s->name : NULL);
    json_key(out, "address");
    json_string(out, s ? s->address_text : NULL);
    json_key(out, "reason");
    json_string(out, balance_reason_name(reason));
    json_key(out, "why");
    json_string(out, why_of(reason));
    json_object_end(out);
}

static bool is_candidate(const struct peer_set *set, const struct server *s)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->servers[i] == s) return !atomic_load_explicit(&s->peer.is_out, memory_order_relaxed);
    return false;
}

static void print_servers(const struct pool *p, struct json *out)
{
    json_key(out, "servers");
    json_array(out);
    for (uint32_t i = 0; i < p->roster->count; i++) {
        const struct server *s = p->roster->places[i].server;
        json_object(out);
        json_key(out, "name");
        json_string(out, s->name);
        json_key(out, "address");
        json_string(out, s->address_text);
        json_key(out, "state");
        json_string(out, server_state_name(s));
        json_key(out, "weight");
        json_u64(out, atomic_load_explicit(&s->weight, memory_order_relaxed));
        json_key(out, "in_flight");
        json_u64(out, atomic_load_explicit(&s->peer.in_flight, memory_order_relaxed));
        json_key(out, "open_connections");
        json_u64(out, atomic_load_explicit(&s->peer.open_connections, memory_order_relaxed));
        json_key(out, "is_candidate");
        json_bool(out, is_candidate(p->current, s));
        json_object_end(out);
    }
    json_array_end(out);
}

/* With a state of its own: what a worker remembers of its turns is that worker's. */
static int pick(const struct pool *p, uint64_t hash, uint64_t now_ns, struct balance_choice *choice,
                struct err *err)
{
    const struct peer_set *set = p->current;
    struct rng rng;
    rng_seed_random(&rng);
    *choice = (struct balance_choice){ BALANCE_NONE, BALANCE_NONE, BALANCE_ALL_TRIED };
    if (!set->count) return 0;
    void *state = calloc(1, set->method->state_size + set->count * set->method->state_size_per_peer + 1);
    if (!state) return err_set(err, "out of memory");
    struct balance b = { set->method, set->table, state };
    struct balance_query q = {
        .peers = set->peers, .peer_count = set->count, .hash = hash, .now_ns = now_ns, .rng = &rng
    };
    balance_pick(&b, &q, choice);
    free(state);
    return 0;
}

static int print_pool(const struct choose_result *c, uint64_t now_ns, struct json *out, struct err *err)
{
    const struct pool *p = c->pool->pool;
    const struct server *server = c->named, *runner_up = NULL;
    enum balance_reason reason = c->reason;
    if (!server) {
        struct balance_choice choice;
        if (pick(p, c->hash, now_ns, &choice, err) < 0) return -1;
        reason = choice.reason;
        if (choice.peer != BALANCE_NONE) server = p->current->servers[choice.peer];
        if (choice.runner_up != BALANCE_NONE) runner_up = p->current->servers[choice.runner_up];
        if (!server && reason == BALANCE_ALL_FULL && (server = peer_set_overflow(p->current)))
            reason = BALANCE_OVERFLOW;
    }
    json_key(out, "method");
    json_string(out, p->roster->conf->balance.option->name);
    print_choice(server, reason, out);
    print_server("runner_up", runner_up, out);
    print_servers(p, out);
    return 0;
}

static void print_request(const struct explain_request *rq, struct json *out)
{
    char client[INET6_ADDRSTRLEN];
    json_key(out, "listener");
    json_string(out, rq->listener->listener->name);
    json_key(out, "request");
    json_object(out);
    json_key(out, "method");
    json_slice(out, rq->head.method_text);
    json_key(out, "host");
    json_slice(out, rq->head.authority);
    json_key(out, "target");
    json_slice(out, rq->head.target);
    json_key(out, "client");
    json_string(out, ip_print(&rq->client, client));
    json_object_end(out);
}

/* rate limits */

struct limits_asked {
    const struct http_template_input *in;
    struct choose_result *choice;
    uint64_t now_ns;
    struct json *out;
};

static const char *why_of_rate(enum rate_outcome outcome)
{
    switch (outcome) {
    case RATE_PASSED: return "there is room";
    case RATE_DELAYED: return "it would be held back until there is room";
    case RATE_REFUSED: return "there is no room soon enough";
    case RATE_WOULD_DELAY: return "it would be held back if the limit were not dry";
    case RATE_WOULD_REFUSE: return "it would be refused if the limit were not dry";
    case RATE_OUTCOMES: break;
    }
    return "";
}

/* As traffic: the first that refuses it has the last word, but before that the listener's goes before all else. */
static void print_limit(const struct limits_asked *a, const struct rate_limit *l)
{
    if (!l) return;
    char text[HTTP_TEMPLATE_TEXT_MAX + 1];
    struct text t = text_over(text, sizeof(text));
    struct rate_verdict v;
    enum rate_outcome outcome = rate_limit_look(l, a->in, a->now_ns, &v);
    if (outcome == RATE_REFUSED && a->choice->refusal == END_NONE) {
        a->choice->refusal = END_RATE_LIMITED;
        a->choice->detail = l->detail;
    }
    json_object(a->out);
    json_key(a->out, "place");
    json_string(a->out, l->kind);
    json_key(a->out, "name");
    json_string(a->out, l->name);
    json_key(a->out, "requests");
    rate_amount_print(&l->conf->requests, &t);
    json_slice(a->out, text_slice(&t));
    json_key(a->out, "burst");
    json_u64(a->out, l->conf->burst);
    json_key(a->out, "key");
    t.len = 0;
    http_template_print(&l->conf->key, &t);
    json_slice(a->out, text_slice(&t));
    json_key(a->out, "remaining");
    json_u64(a->out, v.remaining);
    json_key(a->out, "outcome");
    json_string(a->out, rate_outcome_name(outcome));
    json_key(a->out, "wait_ms");
    json_double(a->out, (double)v.wait_ns / 1e6);
    json_key(a->out, "why");
    json_string(a->out, why_of_rate(outcome));
    json_object_end(a->out);
}

static void print_limits(const struct explain_request *rq, const struct http_template_input *in,
                         struct choose_result *c, uint64_t now_ns, struct json *out)
{
    struct limits_asked asked = { in, c, now_ns, out };
    enum end_reason before = c->refusal;
    json_key(out, "limits");
    json_array(out);
    if (rq->refusal == END_NONE) {
        c->refusal = END_NONE;
        print_limit(&asked, rq->listener->rate);
        if (c->refusal == END_NONE) c->refusal = before;
    }
    if (c->route && c->refusal == END_NONE) print_limit(&asked, c->route->rate);
    if (c->route && c->refusal == END_NONE) print_limit(&asked, site_pool_rate(rq->listener->site, c->pool));
    json_array_end(out);
}

/* What traffic would get: also where rewriting cannot be carried out. */
static void decide(struct explain_request *rq, struct route_scratch *scratch, uint64_t now_ns,
                   struct choose_result *c)
{
    struct choose_request asked = { .head = &rq->head,
                                    .path_fault = rq->path_fault,
                                    .peer = rq->peer,
                                    .client = rq->client,
                                    .scratch = scratch,
                                    .is_secure = rq->listener->conf->tls != NULL,
                                    .now_ms = now_ns / NS_PER_MS };
    if (rq->refusal != END_NONE) {
        *c = (struct choose_result){ .refusal = rq->refusal, .detail = rq->detail };
        return;
    }
    choose(rq->listener, &asked, c);
    const struct auth_conf *auth = c->auth;
    if (auth) {
        asked.user = &SLICE_NONE;
        choose(rq->listener, &asked, c);
        c->auth = auth;
    }
    if (c->refusal != END_NONE || !c->pool || !c->route->rewrite) return;
    struct text t = text_over(rq->rewritten, choose_target_room(rq->head.target));
    c->refusal = choose_target(rq->listener, c->route, scratch, &rq->target, &t);
}

static int tell_all(struct explain_request *rq, struct route_scratch *scratch, struct json *out,
                    struct err *err)
{
    uint64_t now_ns = clock_now_ns();
    struct http_template_input in = { .head = &rq->head,
                                      .client = &rq->client,
                                      .is_secure = rq->listener->conf->tls != NULL };
    struct choose_result c;
    decide(rq, scratch, now_ns, &c);
    json_object(out);
    print_request(rq, out);
    print_route(&c, out);
    print_auth(c.auth, c.route, out);
    print_considered(rq, &c, scratch, out);
    print_split(&c, &in, out);
    json_key(out, "pool");
    json_string(out, c.pool ? c.pool->pool->name : NULL);
    int result = 0;
    print_limits(rq, &in, &c, now_ns, out);
    bool is_own = print_own_answer(rq->listener, &c, &in, out);
    if (is_own || !c.pool) {
        print_no_server(out);
    } else {
        json_key(out, "target");
        json_slice(out, rq->target);
        explain_retry(rq, &c, out);
        result = print_pool(&c, now_ns, out, err);
    }
    json_object_end(out);
    return result;
}

int explain(const struct proxy *p, const struct explain_conf *conf, struct json *out, struct err *err)
{
    struct explain_request *rq = calloc(1, sizeof(*rq));
    if (!rq) return err_set(err, "out of memory");
    struct route_scratch *scratch = NULL;
    int result = explain_request_read(p, conf, rq, err);
    if (result == 0 && !(scratch = route_scratch_new())) result = err_set(err, "out of memory");
    if (result == 0) result = tell_all(rq, scratch, out, err);
    route_scratch_free(scratch);
    free(rq->written.data);
    free(rq);
    return result;
}
