/* weir's own answers. */
#include "base/bug.h"
#include "proxy/exchange_steps.h"
#include "proxy/fault.h"
#include "proxy/headers.h"
#include "proxy/route_set.h"
#include "route/route_conf.h"
#include "tls/challenges.h"

enum step exchange_reply_by_route(struct exchange *x)
{
    /* What leads to no pool says what is answered instead; a preflight may be of what the listener says of others. */
    if (bug_if(EXCHANGE, !x->is_preflight && !x->route->conf)) return exchange_end_of_bug(x);
    enum end_reason made = x->is_preflight || x->route->conf->respond ? END_OK
                                                                      : fault_make_location(x, &x->location);
    if (made == END_BAD_REQUEST)
        return exchange_fail_with(x, made,
                                  "the redirect is made from a host or a field that it does not have");
    if (made != END_OK) return exchange_fail(x, made);
    x->end = END_OK;
    return exchange_enter(x, EXCHANGE_REPLY);
}

enum step exchange_reply_as_last(struct exchange *x)
{
    x->is_last = true;
    x->end = END_OK;
    return exchange_enter(x, EXCHANGE_REPLY);
}

bool exchange_has_proof(struct exchange *x)
{
    const struct slice folder = SLICE("/.well-known/acme-challenge/");
    char found[TLS_AUTHORIZATION_ROOM];
    struct slice token = x->head.target;
    if (x->path_fault || !slice_starts_with(token, folder)) return false;
    if (x->head.method != HTTP_GET && x->head.method != HTTP_HEAD) return false;
    token = (struct slice){ token.data + folder.len, token.len - folder.len };
    if (!tls_challenges_find_token(x->worker->proxy->challenges, token, found)) return false;
    struct slice proof = arena_copy(&x->arena, slice_of(found));
    if (!proof.data) return false;
    x->proof = proof;
    return true;
}

static int make_reply(struct exchange *x, struct fault_reply *out)
{
    if (x->end != END_OK) return fault_reply(x, out);
    if (x->proof.len) return fault_reply_with_proof(x, out);
    if (x->replaced) return fault_reply_in_place(x, out);
    if (x->is_last) return fault_reply_as_last(x, out);
    if (!x->is_preflight) return fault_reply_by_route(x, out);
    fault_reply_to_preflight(x, out);
    return 0;
}

/* What the route adds to responses it adds to its own answers too. */
static int add_route_headers(struct exchange *x, const struct fault_reply *reply, struct http_send *send)
{
    const struct route_conf *route = x->route ? x->route->conf : NULL;
    const struct route_headers_conf *conf = route ? route->response_headers : NULL;
    if (!conf) return 0;
    struct http_field *extra = arena_alloc(&x->arena,
                                           (reply->field_count + headers_room(conf)) * sizeof(*extra));
    if (!extra) return -1;
    memcpy(extra, reply->fields, reply->field_count * sizeof(*extra));
    send->extra = extra;
    return headers_apply(x, conf, NULL, 0, extra, &send->extra_count);
}

enum step reply_send_more(struct exchange *x)
{
    size_t taken = 0;
    enum io io = http_send_body(x->client, x->reply_body.data, x->reply_body.len, HTTP_END, &taken);
    x->body_out += taken;
    x->reply_body.data += taken;
    x->reply_body.len -= taken;
    if (io == IO_FAIL) return exchange_cut(x, (enum end_reason)x->end);
    if (!x->reply_body.len) return exchange_enter(x, EXCHANGE_FLUSH);
    exchange_pace_response(x, exchange_now_ms(x) - x->since_ms);
    exchange_moved(x);
    return STEP_WAIT;
}

enum step reply_send(struct exchange *x)
{
    if (bug_if(EXCHANGE, !x->client || exchange_is_local(x))) return exchange_end_of_bug(x);
    struct fault_reply reply;
    x->total_deadline_ms = 0;
    x->record.flags |= FLIGHT_LOCAL_REPLY;
    bool is_by_route = x->end == END_OK;
    if (make_reply(x, &reply) < 0) {
        if (is_by_route) x->end = END_NO_MEMORY;
        return exchange_cut(x, (enum end_reason)x->end);
    }
    x->record.status = reply.head.status;
    uint16_t status = reply.head.status;
    bool is_bodiless = status == 204 || status == 304 || reply.is_bodiless;
    bool is_head = is_bodiless || (x->head.method == HTTP_HEAD && x->head.method_text.len);
    struct http_send send = {
        .head = &reply.head,
        .extra = reply.fields,
        .extra_count = reply.field_count,
        .body = is_bodiless ? HTTP_BODY_NONE : HTTP_BODY_LENGTH,
        .content_length = reply.body.len,
        .is_bodiless = is_head,
        /* RFC 9110 15.5.9; and where memory or descriptors are short it gives its own back */
        .wants_close = status == 408 || x->end == END_NO_MEMORY || x->end == END_NO_DESCRIPTORS,
        .is_early = !x->client->is_ended
    };
    if (is_by_route && add_route_headers(x, &reply, &send) < 0) return exchange_cut(x, END_NO_MEMORY);
    x->reply_body = is_head ? SLICE_NONE : reply.body;
    if (http_send_head(x->client, &send, is_head ? 0 : HTTP_MORE) != IO_OK)
        return exchange_cut(x, (enum end_reason)x->end);
    return is_head ? exchange_enter(x, EXCHANGE_FLUSH) : reply_send_more(x);
}
