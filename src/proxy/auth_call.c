#include "proxy/auth_call.h"

#include "base/bug.h"
#include "proxy/exchange_steps.h"
#include "proxy/forward.h"

/* What forward_describe() adds, and the method and the target that are asked for. */
#define OWN_FIELDS_MAX (FORWARD_DESCRIBED_MAX + 2u)

/* the end */

static void leave(struct auth_call *c)
{
    attempt_leave(&c->attempt);
    if (c->view) pool_view_put(c->view);
    c->view = NULL;
}

/* Leaves its server at the end of the turn, when nobody is in the middle of its stream. */
static void on_end_task(struct loop_task *t)
{
    leave(container_of(t, struct auth_call, end_task));
}

/* `of_attempt`: how the connection is left. */
static void end_with(struct auth_call *c, enum end_reason end, enum end_reason of_attempt)
{
    if (c->is_over) return;
    c->is_over = true;
    attempt_end(&c->attempt, of_attempt);
    loop_defer(&c->exchange->worker->loop, &c->end_task);
    c->on_end(c->exchange, end);
}

static void over(struct auth_call *c, enum end_reason end)
{
    end_with(c, end, end);
}

void auth_call_end(struct auth_call *c)
{
    if (!c->is_over && attempt_is_in_hand(&c->attempt)) attempt_end(&c->attempt, END_CLIENT_ABORT);
    c->is_over = true;
    loop_cancel(&c->end_task);
    leave(c);
}

/* the answer */

static void on_head(struct http_stream *s, struct http_head *head, unsigned flags)
{
    (void)flags;
    struct auth_call *c = s->owner;
    if (c->is_over || head->status < 200) return;
    if (bug_if(EXCHANGE, c->status)) { /* one answer to one question */
        over(c, END_INTERNAL);
        return;
    }
    c->status = head->status;
    if (exchange_copy_fields(c->exchange, head->fields, head->field_count, &c->fields) < 0) {
        over(c, END_NO_MEMORY);
        return;
    }
    c->field_count = head->field_count;
    if (head->body == HTTP_BODY_NONE) over(c, END_OK);
}

/* It is read to its end, so that the connection serves the next one. */
static size_t on_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    (void)data;
    struct auth_call *c = s->owner;
    c->body_bytes += (uint32_t)len;
    if (flags & HTTP_END)
        over(c, END_OK);
    else if (c->body_bytes > AUTH_CALL_BODY_MAX)
        end_with(c, END_OK, END_ANSWER_GIVEN_UP);
    return len;
}

static void on_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    (void)fields;
    (void)count;
    over(s->owner, END_OK);
}

static void on_error(struct http_stream *s, const struct http_fault *fault)
{
    struct auth_call *c = s->owner;
    char mention[MENTION_MAX];
    attempt_say_tls_failed(&c->attempt, fault->reason, fault->detail, exchange_mention(c->exchange, mention));
    over(c, fault->reason);
}

static void on_writable(struct http_stream *s)
{
    (void)s; /* there is no body */
}

/* the question */

static enum io send_question(struct auth_call *c)
{
    if (bug_if(EXCHANGE, !c->view || !c->attempt.server || !c->attempt.stream)) return IO_FAIL;
    struct http_send send = { .head = &c->head,
                              .authority = forward_host(c->view->set->roster->conf, c->attempt.server,
                                                        c->exchange->head.authority),
                              .extra = c->extra,
                              .extra_count = c->extra_count,
                              .body = HTTP_BODY_NONE };
    return http_send_head(c->attempt.stream, &send, 0);
}

static void on_open(struct http_stream *s)
{
    struct auth_call *c = s->owner;
    if (c->is_over) return;
    attempt_opened(&c->attempt);
    if (send_question(c) != IO_OK) over(c, END_SEND_FAILED);
}

static void on_moved(struct http_stream *s, struct http_stream *to)
{
    struct auth_call *c = s->owner;
    c->attempt.stream = to;
    to->events = s->events;
    to->owner = c;
}

static const struct http_stream_events events = {
    .on_open = on_open,
    .on_moved = on_moved,
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_error = on_error,
    .on_writable = on_writable,
};

static bool begins(struct slice name, struct slice prefix)
{
    return name.len >= prefix.len && slice_equal_fold((struct slice){ name.data, prefix.len }, prefix);
}

/* What belongs to the body that does not go along, would make another question of it, or is said anew. */
static bool is_left_out(const struct http_field *f)
{
    struct slice name = { f->name, f->name_len };
    switch ((enum http_field_id)f->id) {
    case HTTP_FIELD_EXPECT:
    case HTTP_FIELD_TRAILER:
    case HTTP_FIELD_CONTENT_TYPE:
    case HTTP_FIELD_VIA:
    case HTTP_FIELD_X_FORWARDED_FOR:
    case HTTP_FIELD_X_FORWARDED_HOST:
    case HTTP_FIELD_X_FORWARDED_PROTO:
    case HTTP_FIELD_FORWARDED:
    case HTTP_FIELD_X_REQUEST_ID:
    case HTTP_FIELD_WEIR_PIN:
    case HTTP_FIELD_WEIR_PIN_TOKEN:
    case HTTP_FIELD_WEIR_SPLIT: return true;
    case HTTP_FIELD_OTHER: break;
    default: return f->is_dropped;
    }
    return f->is_dropped || begins(name, SLICE("if-")) || begins(name, SLICE("content-")) ||
           slice_equal_fold(name, SLICE("range")) || slice_equal_fold(name, SLICE("x-forwarded-method")) ||
           slice_equal_fold(name, SLICE("x-forwarded-uri"));
}

static struct http_field make_field(const char *name, struct slice value)
{
    return (struct http_field){ .name = name,
                                .name_len = (uint16_t)strlen(name),
                                .value = value.data,
                                .value_len = (uint32_t)value.len };
}

static int make_question(struct auth_call *c, const struct auth_forward_conf *conf)
{
    struct exchange *x = c->exchange;
    struct http_field *fields = arena_alloc(&x->arena, (x->head.field_count + 1) * sizeof(*fields));
    c->extra = arena_alloc(&x->arena, OWN_FIELDS_MAX * sizeof(*c->extra));
    if (!fields || !c->extra) return -1;
    c->head = (struct http_head){ .version = HTTP_VERSION_1_1,
                                  .method = HTTP_GET,
                                  .method_text = SLICE("GET"),
                                  .target = slice_of(conf->path),
                                  .fields = fields };
    for (uint32_t i = 0; i < x->head.field_count; i++)
        if (!is_left_out(&x->head.fields[i])) fields[c->head.field_count++] = x->head.fields[i];
    if (forward_describe(x, c->extra, &c->extra_count) < 0) return -1;
    c->extra[c->extra_count++] = make_field("X-Forwarded-Method", x->head.method_text);
    c->extra[c->extra_count++] = make_field("X-Forwarded-Uri", x->head.target);
    return bug_if(EXCHANGE, c->extra_count > OWN_FIELDS_MAX) ? -1 : 0;
}

static struct server *pick(const struct auth_call *c, enum balance_reason *reason)
{
    struct loop *l = &c->exchange->worker->loop;
    const struct peer_set *set = c->view->set;
    struct balance_choice choice = { .peer = BALANCE_NONE, .reason = BALANCE_ALL_TRIED };
    struct balance_query q = { .peers = set->peers,
                               .peer_count = set->count,
                               .hash = rng_next(&l->rng),
                               .now_ns = l->now_ns,
                               .rng = &l->rng };
    if (set->count) balance_pick(&c->view->balance, &q, &choice);
    *reason = choice.reason;
    return choice.peer == BALANCE_NONE ? NULL : set->servers[choice.peer];
}

static enum end_reason give_up(struct auth_call *c, enum end_reason why)
{
    c->is_over = true;
    leave(c);
    return why;
}

enum end_reason auth_call_begin(struct auth_call *c, struct exchange *x, const struct roster *pool,
                                const struct auth_forward_conf *conf)
{
    enum balance_reason reason;
    enum end_reason why = END_INTERNAL;
    c->exchange = x;
    loop_task_init(&c->end_task, on_end_task);
    if (make_question(c, conf) < 0) return give_up(c, END_NO_MEMORY);
    c->attempt.pool = pool->pool->workers[x->worker->index];
    c->view = c->attempt.view = pool_view_get(c->attempt.pool);
    struct server *s = pick(c, &reason);
    if (!s) return give_up(c, END_NO_SERVER);
    enum lease got = attempt_lease(&c->attempt, s, reason, LEASE_YOUNG, NULL, &why);
    if (got == LEASE_FULL) return give_up(c, END_QUEUE_FULL);
    if (got == LEASE_FAILED) return give_up(c, why);
    c->attempt.stream->events = &events;
    c->attempt.stream->owner = c;
    if (got != LEASE_OPEN || send_question(c) == IO_OK) return END_NONE;
    attempt_end(&c->attempt, END_SEND_FAILED);
    return give_up(c, END_SEND_FAILED);
}
