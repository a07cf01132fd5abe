#include "proxy/story.h"

#include <string.h>

#include "base/end_reason.h"
#include "base/json.h"
#include "proxy/listener.h"
#include "proxy/route_set.h"
#include "proxy/site.h"
#include "record/flight.h"
#include "route/route.h"
#include "route/route_conf.h"

#define SENTENCE_MAX 1024u

/* words */

static void add_duration(struct text *t, uint64_t us)
{
    if (us < 1000000)
        text_printf(t, "%.*f ms", us < 10000 ? 2 : 1, (double)us / 1e3);
    else
        text_printf(t, "%.2f s", (double)us / 1e6);
}

static const char *doing_of(enum end_origin origin)
{
    switch (origin) {
    case ORIGIN_NONE: break;
    case ORIGIN_CLIENT: return ", which is the client's doing";
    case ORIGIN_WEIR: return ", which is weir's own doing";
    case ORIGIN_SERVER: return ", which is the server's doing";
    case ORIGIN_CONFIG: return ", which is the configuration's doing";
    }
    return "";
}

static const char *choice_of(enum balance_reason reason)
{
    switch (reason) {
    case BALANCE_ALL_TRIED:
    case BALANCE_ALL_FULL: break;
    case BALANCE_ONLY_ONE: return ", the only one that could be used";
    case BALANCE_TURN: return ", whose turn it was by its weight";
    case BALANCE_DRAWN: return ", drawn by weight";
    case BALANCE_LEAST: return ", the least loaded for its weight";
    case BALANCE_TIE: return ", drawn among the least loaded, which were equals";
    case BALANCE_TWO: return ", the less loaded of those that were drawn";
    case BALANCE_HASHED: return ", to which the key belongs";
    case BALANCE_FALLBACK: return ", as the one before it could not be used";
    case BALANCE_BOUNDED: return ", as the key's own server was at its bound";
    case BALANCE_QUICKEST: return ", which was expected to answer first";
    case BALANCE_OVERFLOW: return ", as all that are preferred were at their caps";
    case BALANCE_STICKY: return ", which the client's cookie names";
    case BALANCE_PINNED: return ", which Weir-Pin names";
    case BALANCE_QUEUED: return ", whose slot was freed when the request's turn in the queue had come";
    }
    return "";
}

void story_why(const struct flight_record *r, struct text *out)
{
    const struct end_reason_info *info = end_reason_info((enum end_reason)r->end);
    bool is_tunnel = r->flags & FLIGHT_TUNNEL;
    if (r->flags & FLIGHT_UDP)
        TEXT_LITERAL(out, "The session was over");
    else if (r->flags & FLIGHT_TCP)
        TEXT_LITERAL(out, "The connection was over");
    else if (!r->status)
        TEXT_LITERAL(out, "The client got no answer");
    else
        text_printf(out, "The client got %u%s", r->status,
                    r->flags & FLIGHT_LOCAL_REPLY ? " from weir itself" : "");
    text_printf(out, "%s",
                is_tunnel && !(r->flags & FLIGHT_TCP) ? ", and the tunnel was over after " : " after ");
    add_duration(out, r->total_us);
    text_printf(out, ": %s%s.", r->end == END_OK ? "it ended as it should" : info->means,
                doing_of(info->origin));
}

/* sentences */

struct teller {
    const struct proxy *proxy;
    const struct flight_record *record;
    struct json *out;
    char memory[SENTENCE_MAX];
    struct text text; /* over memory: the sentence that is begun */
};

static struct text *begin(struct teller *s)
{
    s->text = text_over(s->memory, sizeof(s->memory));
    return &s->text;
}

static void say(struct teller *s, uint64_t at_us)
{
    json_object(s->out);
    json_key(s->out, "at_ms");
    if (at_us == FLIGHT_NEVER)
        json_null(s->out);
    else
        json_double(s->out, (double)at_us / 1e3);
    json_key(s->out, "text");
    json_slice(s->out, text_slice(&s->text));
    json_object_end(s->out);
}

static const char *name_of(const struct teller *s, uint32_t id)
{
    const char *name = names_of(&s->proxy->names, id);
    return name ? name : "-";
}

static void tell_request(struct teller *s)
{
    static const char *const versions[] = { "HTTP/1.0", "HTTP/1.1", "HTTP/2" };
    const struct flight_record *r = s->record;
    char client[INET6_ADDRSTRLEN];
    struct text *t = begin(s);
    text_printf(t, "%s, port %u, came to listener %s", ip_print(&r->client, client), r->client_port,
                name_of(s, r->listener));
    if (!(r->flags & FLIGHT_TCP) && !r->target_len) {
        TEXT_LITERAL(t, ", and no request was read");
    } else if (!(r->flags & FLIGHT_TCP)) {
        text_printf(t, " with %s ",
                    r->method <= HTTP_OTHER ? http_method_name((enum http_method)r->method) : "?");
        text_add(t, r->target, r->target_len);
        text_printf(t, "%s by %s", r->flags & FLIGHT_TARGET_CUT ? "…" : "",
                    r->version < 3 ? versions[r->version] : "HTTP");
    }
    if (r->flags & FLIGHT_CLIENT_TLS) {
        TEXT_LITERAL(t, " over TLS");
        if (r->tls_version) text_printf(t, "v1.%u", r->tls_version);
    }
    if (r->request_id_len) {
        TEXT_LITERAL(t, "; its request id is ");
        text_add(t, r->request_id, r->request_id_len);
    }
    TEXT_LITERAL(t, ".");
    say(s, 0);
}

static const struct route *route_of(const struct teller *s)
{
    for (uint32_t i = 0; i < s->proxy->listener_count; i++) {
        const struct listener *l = s->proxy->listeners[i];
        for (uint32_t k = 0; l->id == s->record->listener && k < l->routes->route_count; k++)
            if (l->routes->routes[k].id == s->record->route) return &l->routes->routes[k];
    }
    return NULL;
}

static void add_rule(const struct route_conf *c, struct text *t)
{
    const char *const *hosts = c->hosts.data;
    text_printf(t, ": %s", c->hosts.count ? "host " : "any host");
    for (uint32_t i = 0; i < c->hosts.count; i++) text_printf(t, "%s%s", i ? " or " : "", hosts[i]);
    if (c->scheme != ROUTE_SCHEME_ANY)
        text_printf(t, ", by %s", c->scheme == ROUTE_SCHEME_HTTPS ? "https" : "http");
    if (c->path) text_printf(t, ", path %s", c->path);
    if (c->path_prefix) text_printf(t, ", a path that begins with %s", c->path_prefix);
    if (c->path_regex) text_printf(t, ", a path that matches %s", c->path_regex);
    if (!c->path && !c->path_prefix && !c->path_regex) TEXT_LITERAL(t, ", any path");
    for (uint32_t i = 0; i < c->methods.count; i++)
        text_printf(t, "%s%s", i ? " or " : ", method ", ((const char *const *)c->methods.data)[i]);
    uint32_t more = c->headers.count + c->query.count + (c->clients.count > 0);
    if (more) text_printf(t, ", and %u more condition%s", more, more > 1 ? "s" : "");
}

static void tell_route(struct teller *s)
{
    const struct flight_record *r = s->record;
    const struct route *route = r->route ? route_of(s) : NULL;
    struct text *t = begin(s);
    if (r->route) {
        text_printf(t, "Route %s took it", name_of(s, r->route));
        if (!route)
            TEXT_LITERAL(t, ", which the configuration in force has no more");
        else if (route->conf)
            add_rule(route->conf, t);
        else
            TEXT_LITERAL(t, ", the listener's own, for whatever comes");
        text_add_char(t, '.');
        say(s, r->head_us);
    }
    const char *variant = r->variant ? name_of(s, r->variant) : NULL;
    const char *equals = variant ? strchr(variant, '=') : NULL;
    if (equals) {
        text_printf(begin(s), "Split %.*s gave it variant %s.", (int)(equals - variant), variant, equals + 1);
        say(s, FLIGHT_NEVER);
    }
    if (r->flags & FLIGHT_DELAYED) {
        TEXT_LITERAL(begin(s), "A rate limit held it back.");
        say(s, FLIGHT_NEVER);
    }
    if (r->flags & FLIGHT_OVER_RATE) {
        TEXT_LITERAL(begin(s), "A rate limit that is dry would have held it back, or refused it.");
        say(s, FLIGHT_NEVER);
    }
}

static const struct pool *pool_of(const struct teller *s)
{
    for (uint32_t i = 0; i < s->proxy->pool_count; i++)
        if (s->proxy->pools[i]->id == s->record->pool) return s->proxy->pools[i];
    return NULL;
}

static void add_server(const struct teller *s, uint32_t id, struct text *t)
{
    const struct pool *pool = pool_of(s);
    const struct server *server = pool ? roster_server_by_id(pool->roster, id) : NULL;
    text_printf(t, "server %s", name_of(s, id));
    if (server && strcmp(server->name, server->address_text) != 0)
        text_printf(t, " (%s)", server->address_text);
    text_printf(t, " of pool %s", name_of(s, s->record->pool));
}

static void add_outcome(const struct flight_attempt *a, struct text *t)
{
    const struct end_reason_info *info = end_reason_info((enum end_reason)a->end);
    if (a->status) text_printf(t, "; it answered %u", a->status);
    if (a->status && a->first_byte_us != FLIGHT_NEVER) {
        TEXT_LITERAL(t, " after ");
        add_duration(t, a->first_byte_us);
    }
    if (a->end == END_OK || a->end == END_NONE) return;
    if (a->end == END_OUTRUN) {
        TEXT_LITERAL(t, ", and was broken off");
        if (a->first_byte_us != FLIGHT_NEVER) {
            TEXT_LITERAL(t, " after ");
            add_duration(t, a->first_byte_us);
        }
        TEXT_LITERAL(t, ", as another had answered");
        return;
    }
    if (a->end == END_ANSWER_GIVEN_UP) {
        TEXT_LITERAL(t, ", which was given up for the answer of another");
        return;
    }
    text_printf(t, "%s", a->status ? ", and then failed" : "; it failed");
    if (!a->status && a->first_byte_us != FLIGHT_NEVER) {
        TEXT_LITERAL(t, " after ");
        add_duration(t, a->first_byte_us);
    }
    text_printf(t, ": %s", info->means);
}

static void tell_attempt(struct teller *s, const struct flight_attempt *a, uint32_t number, uint64_t at_us)
{
    struct text *t = begin(s);
    if (s->record->attempt_count > 1)
        text_printf(t, "Attempt %u went to ", number);
    else
        TEXT_LITERAL(t, "It went to ");
    add_server(s, a->server, t);
    text_printf(t, "%s", choice_of((enum balance_reason)a->reason));
    if (a->is_hedge) TEXT_LITERAL(t, ", beside the one before it, which took long");
    if (a->is_reused) {
        TEXT_LITERAL(t, ", on a connection that had been used before");
    } else if (a->connect_us == FLIGHT_NEVER) {
        TEXT_LITERAL(t, ", and no connection opened");
    } else {
        TEXT_LITERAL(t, ", on a new connection that was open after ");
        add_duration(t, a->connect_us);
    }
    add_outcome(a, t);
    text_add_char(t, '.');
    say(s, at_us);
}

static void tell_attempts(struct teller *s)
{
    const struct flight_record *r = s->record;
    uint32_t kept = flight_kept_attempts(r);
    for (uint32_t i = 0; i < kept; i++) {
        bool is_last = i + 1 == kept;
        if (is_last && r->attempt_count > kept) {
            text_printf(begin(s), "Of attempts %u to %u nothing is kept.", kept, r->attempt_count - 1u);
            say(s, FLIGHT_NEVER);
        }
        tell_attempt(s, &r->attempts[i], is_last ? r->attempt_count : i + 1,
                     i == r->told ? r->picked_us : FLIGHT_NEVER);
    }
    const struct route *route = r->route && !r->attempt_count ? route_of(s) : NULL;
    if (route && route->conf && route->conf->files) {
        text_printf(begin(s), "It asked for a file below %s.", route->conf->files->root);
        say(s, FLIGHT_NEVER);
    } else if (!r->attempt_count && !(r->flags & FLIGHT_TCP)) {
        TEXT_LITERAL(begin(s), "No server was tried.");
        say(s, FLIGHT_NEVER);
    }
    if (r->is_hedge_denied) {
        text_printf(
            begin(s),
            "Another server was to be asked as well and was not: the retry budget of pool %s was used up.",
            name_of(s, r->pool));
        say(s, FLIGHT_NEVER);
    }
    if (!(r->flags & FLIGHT_RETRY_DENIED)) return;
    text_printf(begin(s),
                "Another attempt was due and was not made: the retry budget of pool %s was used up.",
                name_of(s, r->pool));
    say(s, FLIGHT_NEVER);
}

static void tell_sent(struct teller *s)
{
    if (s->record->sent_us == FLIGHT_NEVER) return;
    TEXT_LITERAL(begin(s), "All of the request had been sent to it.");
    say(s, s->record->sent_us);
}

static void tell_first_byte(struct teller *s)
{
    if (s->record->first_byte_us == FLIGHT_NEVER) return;
    TEXT_LITERAL(begin(s), "Its answer began.");
    say(s, s->record->first_byte_us);
}

static void tell_end(struct teller *s)
{
    const struct flight_record *r = s->record;
    struct text *t = begin(s);
    story_why(r, t);
    text_printf(t, " %llu bytes had come from the client, and %llu had gone to it.",
                (unsigned long long)r->bytes_in, (unsigned long long)r->bytes_out);
    say(s, r->total_us);
}

void story_print(const struct proxy *p, const struct flight_record *r, struct json *out)
{
    struct teller s = { .proxy = p, .record = r, .out = out };
    json_array(out);
    tell_request(&s);
    tell_route(&s);
    tell_attempts(&s);
    /* Who answers early does so before it has been sent everything. */
    if (r->first_byte_us < r->sent_us) tell_first_byte(&s);
    tell_sent(&s);
    if (r->first_byte_us >= r->sent_us) tell_first_byte(&s);
    tell_end(&s);
    json_array_end(out);
}
