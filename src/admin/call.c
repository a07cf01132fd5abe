#include "admin/call_state.h"

#include <stdlib.h>
#include <time.h>

#include "admin/admission.h"
#include "base/end_reason.h"
#include "base/text.h"
#include "net/loop.h"

/* the end */

static void bury(struct loop_grave *g)
{
    free(container_of(g, struct call, grave));
}

/* Nobody wants the answer any more. */
static void tell_gone(struct call *c)
{
    void (*on_gone)(void *) = c->on_gone;
    c->on_gone = NULL;
    if (on_gone) on_gone(c->gone_context);
}

/* What is done later, and was begun, goes on without whoever asked for it. */
static void note(struct call *c, bool is_outcome)
{
    if (!c->is_noted) witness_end(&c->witness, &c->request, &c->answer, is_outcome);
    c->is_noted = true;
}

static void retire(struct call *c)
{
    struct loop *l = c->env->loop;
    if (c->wait_ms) note(c, false);
    loop_cancel(&c->end_task);
    loop_disarm(l, &c->timer);
    list_remove(&c->link);
    if (c->is_cut)
        http_stream_reset(c->stream, END_NONE);
    else
        http_stream_release(c->stream);
    if (c->body) explicit_bzero(c->body, c->body_len); /* it may have been a configuration with its secrets */
    free(c->body);
    block_pool_refund(&l->blocks, c->body_room);
    answer_fini(&c->answer);
    free(c->out.data);
    block_pool_refund(&l->blocks, c->budget_taken);
    tell_gone(c);
    loop_bury(l, &c->grave, bury);
}

static void on_end_task(struct loop_task *t)
{
    retire(container_of(t, struct call, end_task));
}

/* Not at once: a stream is never released from within its own event. */
void call_finish(struct call *c, bool is_cut)
{
    if (c->state == CALL_DONE) return;
    c->state = CALL_DONE;
    c->is_cut = is_cut;
    loop_defer(c->env->loop, &c->end_task);
}

/* the answer */

static void send_more(struct call *c)
{
    size_t taken = 0;
    struct answer *a = &c->answer;
    enum io io = http_send_body(c->stream, a->body + c->sent, a->body_len - c->sent, HTTP_END, &taken);
    c->sent += taken;
    if (io == IO_FAIL || c->sent == a->body_len) {
        call_finish(c, io == IO_FAIL);
        return;
    }
    if (!taken && timer_is_armed(&c->timer)) return;
    uint64_t at = loop_now_ms(c->env->loop) + CALL_WRITE_MS;
    if (at > c->answer_deadline_ms) at = c->answer_deadline_ms;
    timer_arm(&c->env->loop->timers, &c->timer, at);
}

static void add_field(struct http_field *fields, uint32_t *count, const char *name, struct slice value)
{
    fields[(*count)++] = (struct http_field){ .name = name,
                                              .name_len = (uint16_t)strlen(name),
                                              .value = value.data,
                                              .value_len = (uint32_t)value.len };
}

uint32_t call_make_fields(const struct call *c, struct http_field *fields, char *date, size_t date_size)
{
    const struct answer *a = &c->answer;
    uint32_t count = 0;
    struct tm tm;
    time_t now = (time_t)(loop_wall_ns(c->env->loop) / NS_PER_S);
    gmtime_r(&now, &tm);
    size_t len = strftime(date, date_size, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    add_field(fields, &count, "Date", (struct slice){ date, len });
    if (a->content_type) add_field(fields, &count, "Content-Type", slice_of(a->content_type));
    add_field(fields, &count, "Cache-Control", slice_of(a->cache_control ? a->cache_control : "no-store"));
    add_field(fields, &count, "X-Content-Type-Options", SLICE("nosniff"));
    if (a->allow[0]) add_field(fields, &count, "Allow", slice_of(a->allow));
    if (a->location) add_field(fields, &count, "Location", slice_of(a->location));
    if (a->etag[0]) add_field(fields, &count, "ETag", slice_of(a->etag));
    if (a->content_encoding) add_field(fields, &count, "Content-Encoding", slice_of(a->content_encoding));
    if (a->vary) add_field(fields, &count, "Vary", slice_of(a->vary));
    if (a->policy) add_field(fields, &count, "Content-Security-Policy", slice_of(a->policy));
    if (a->policy) add_field(fields, &count, "Referrer-Policy", SLICE("no-referrer"));
    if (a->cookie[0]) add_field(fields, &count, "Set-Cookie", slice_of(a->cookie));
    if (a->is_pprof) add_field(fields, &count, "X-Go-Pprof", SLICE("1"));
    if (a->wants_credentials) add_field(fields, &count, "WWW-Authenticate", SLICE("Bearer realm=\"weir\""));
    if (a->wants_credentials && !a->is_for_script)
        add_field(fields, &count, "WWW-Authenticate", SLICE("Basic realm=\"weir\", charset=\"UTF-8\""));
    return count;
}

/* c->answer is made: it goes out. What it holds counts on the budget until the client has taken it. */
void call_send_answer(struct call *c)
{
    struct http_field fields[CALL_FIELDS_MAX];
    char date[40];
    struct answer *a = &c->answer;
    struct loop *l = c->env->loop;
    note(c, !c->wait_ms || c->is_answered);
    if (a->body_len && !a->shared && !block_pool_charge(&l->blocks, a->body_len))
        answer_problem(a, 503, "Too many answers wait for slow clients; try again.");
    else if (!a->shared)
        c->budget_taken = a->body_len;
    struct http_head head = { .version = HTTP_VERSION_1_1, .status = a->status };
    head.reason = slice_of(http_status_text(a->status));
    struct http_send send = { .head = &head, .extra = fields, .content_length = a->body_len };
    send.extra_count = call_make_fields(c, fields, date, sizeof(date));
    bool is_empty = a->status == 204 || a->status == 304; /* RFC 9110 6.4.1 */
    send.body = is_empty ? HTTP_BODY_NONE : HTTP_BODY_LENGTH;
    send.is_bodiless = c->is_head || is_empty;
    send.is_early = !c->has_all && !c->stream->is_ended;
    send.wants_close = a->status == 408; /* RFC 9110 15.5.9 */
    c->state = CALL_ANSWER;
    c->answer_deadline_ms = loop_now_ms(l) + CALL_ANSWER_MS;
    loop_disarm(l, &c->timer);
    bool has_body = !send.is_bodiless && a->body_len;
    enum io io = http_send_head(c->stream, &send, has_body ? HTTP_MORE : 0);
    if (io == IO_OK && has_body)
        send_more(c);
    else
        call_finish(c, io != IO_OK);
}

/* streams */

/* The answer takes long, and is not made for nobody: who sends a FIN is taken to be gone. */
void call_watch_client(struct call *c)
{
    c->stream->ends_at_hangup = true;
    http_stream_watch(c->stream);
}

/* One more that is not answered at once. False: there are too many, and the answer says so. */
static bool may_be_long(struct call *c)
{
    uint32_t count = 0;
    for (struct list *at = c->env->calls.next; at != &c->env->calls; at = at->next) {
        const struct call *other = container_of(at, struct call, link);
        count += other->state == CALL_WAIT || other->state == CALL_STREAM;
    }
    if (count < CALL_LONG_MAX) return true;
    answer_problem(&c->answer, 503,
                   "%u calls that take long are being answered; try again when one of them is over.",
                   CALL_LONG_MAX);
    call_send_answer(c);
    tell_gone(c);
    return false;
}

static void handle(struct call *c)
{
    c->request.body = c->body ? (struct slice){ c->body, c->body_len } : SLICE_NONE;
    c->request.route->handle(&c->request, &c->answer);
    if ((c->out.content_type || c->wait_ms) && !may_be_long(c)) return;
    if (c->out.content_type) {
        call_begin_stream(c);
    } else if (c->wait_ms) {
        c->state = CALL_WAIT;
        loop_arm(c->env->loop, &c->timer, c->wait_ms);
        call_watch_client(c);
    } else {
        call_send_answer(c);
    }
}

/* events */

static size_t body_max(const struct call *c)
{
    return c->request.route->body_max ? c->request.route->body_max : CALL_BODY_MAX;
}

/* Twice as much each time: a large body is not copied for each of its pieces. */
static bool make_room(struct call *c, size_t needed)
{
    size_t room = needed < 2 * (size_t)c->body_room ? 2 * (size_t)c->body_room : needed;
    if (room > body_max(c)) room = body_max(c);
    struct block_pool *blocks = &c->env->loop->blocks;
    if (!block_pool_charge(blocks, room)) return false;
    char *bigger = malloc(room);
    if (!bigger) {
        block_pool_refund(blocks, room);
        return false;
    }
    if (c->body) {
        memcpy(bigger, c->body, c->body_len);
        explicit_bzero(c->body, c->body_len);
    }
    free(c->body);
    block_pool_refund(blocks, c->body_room);
    c->body = bigger;
    c->body_room = (uint32_t)room;
    return true;
}

/* No more than body_max(). */
static bool keep(struct call *c, const char *data, size_t len)
{
    size_t needed = c->body_len + len;
    if (needed > c->body_room && !make_room(c, needed)) return false;
    if (len) memcpy(c->body + c->body_len, data, len);
    c->body_len += (uint32_t)len;
    return true;
}

static void body_too_large(struct call *c)
{
    answer_problem(&c->answer, 413, "The body is over %zu bytes, the most that is taken here.", body_max(c));
    call_send_answer(c);
}

static size_t on_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    struct call *c = s->owner;
    if (flags & HTTP_END) c->has_all = true;
    if (c->state != CALL_GATHER) return len; /* nobody wants it */
    if (c->body_len + len > body_max(c)) {
        body_too_large(c);
    } else if (!keep(c, data, len)) {
        answer_problem(&c->answer, 503, "There is no memory for the request's body; try again.");
        call_send_answer(c);
    } else if (c->has_all) {
        handle(c);
    }
    return len;
}

static void on_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    (void)fields, (void)count;
    struct call *c = s->owner;
    c->has_all = true;
    if (c->state == CALL_GATHER) handle(c);
}

static void say_fault(struct call *c, const struct http_fault *fault)
{
    const struct end_reason_info *info = end_reason_info(fault->reason);
    struct err err;
    err_set(&err, "%s%s%s", info->means, fault->detail ? ": " : "", fault->detail ? fault->detail : "");
    answer_error(&c->answer, info->status, &err);
    call_send_answer(c);
}

static void on_error(struct http_stream *s, const struct http_fault *fault)
{
    struct call *c = s->owner;
    if (c->state == CALL_GATHER && end_reason_info(fault->reason)->status)
        say_fault(c, fault);
    else
        call_finish(c, true);
}

static void on_writable(struct http_stream *s)
{
    struct call *c = s->owner;
    if (c->state == CALL_ANSWER) send_more(c);
    if (c->state == CALL_STREAM) call_send_waiting(c);
}

static const struct http_stream_events events = {
    .on_body = on_body, .on_trailers = on_trailers, .on_error = on_error, .on_writable = on_writable
};

static void on_timer(struct timer *t)
{
    struct call *c = container_of(t, struct call, timer);
    if (c->state == CALL_GATHER) {
        answer_problem(&c->answer, 408, "The request's body did not arrive within %u s.",
                       CALL_BODY_MS / 1000);
        call_send_answer(c);
    } else if (c->state == CALL_WAIT) {
        answer_problem(&c->answer, 503, "The answer was not ready in time; try again.");
        call_send_answer(c);
        tell_gone(c);
    } else {
        call_finish(c, true);
    }
}

/* the beginning */

static struct call *call_new(struct call_env *env, struct http_stream *s, size_t memory)
{
    struct call *c = calloc(1, sizeof(*c) + memory);
    if (!c) {
        http_stream_reset(s, END_NO_MEMORY);
        return NULL;
    }
    c->env = env;
    c->stream = s;
    c->id = env->next_id++;
    c->request.proxy = env->proxy;
    c->request.watch = env->watch;
    c->request.rule_log = env->rule_log;
    c->request.profiler = env->profiler;
    c->request.leaks = env->leaks;
    c->request.stalls = env->stalls;
    c->request.invariants = env->invariants;
    c->request.jobs = env->jobs;
    c->request.reloader = env->reloader;
    c->request.upgrader = env->upgrader;
    c->request.certifier = env->certifier;
    c->request.finder = env->finder;
    c->request.history = env->history;
    c->request.before_after = env->before_after;
    c->request.audit = env->audit;
    c->request.metrics = env->metrics;
    c->request.loop = env->loop;
    c->request.routes = env->routes;
    c->request.guard = &env->guard;
    c->request.mention = "";
    list_push_back(&env->calls, &c->link);
    loop_task_init(&c->end_task, on_end_task);
    timer_init(&c->timer, on_timer);
    s->events = &events;
    s->owner = c;
    return c;
}

static bool read_head(struct call *c, const struct http_head *head)
{
    const struct admission by = { .guard = &c->env->guard,
                                  .routes = c->env->routes,
                                  .memory = c->memory,
                                  .now_ms = loop_now_ms(c->env->loop),
                                  .is_reserved = c->is_reserved,
                                  .has_body = head->body != HTTP_BODY_NONE && !c->has_all };
    return admission_read(&by, head, &c->request, &c->answer);
}

static void begin_gather(struct call *c, const struct http_head *head)
{
    if (head->body == HTTP_BODY_LENGTH && head->content_length > body_max(c)) {
        body_too_large(c);
        return;
    }
    loop_arm(c->env->loop, &c->timer, CALL_BODY_MS);
    if (!head->expects_continue) return;
    struct http_head interim = { .version = HTTP_VERSION_1_1, .status = 100, .reason = SLICE("Continue") };
    struct http_send send = { .head = &interim, .body = HTTP_BODY_NONE };
    if (http_send_head(c->stream, &send, 0) != IO_OK) call_finish(c, true);
}

static struct slice value_of(const struct http_head *head, struct slice name)
{
    return http_field_value(http_head_find_name(head, name));
}

static struct slice keep_value(char **at, struct slice value)
{
    struct slice kept = { *at, value.len };
    if (value.len) memcpy(*at, value.data, value.len);
    *at += value.len;
    return kept;
}

void call_on_request(struct call_env *env, struct http_stream *s, struct http_head *head,
                     const struct call_from *from)
{
    struct slice accept = http_field_value(http_head_find(head, HTTP_FIELD_ACCEPT));
    struct slice encoding = value_of(head, SLICE("accept-encoding"));
    struct slice none_match = value_of(head, SLICE("if-none-match"));
    const struct http_field *condition = http_head_find_name(head, SLICE("if-match"));
    struct slice if_match = http_field_value(condition);
    struct slice last_event = value_of(head, SLICE("last-event-id"));
    struct call *c = call_new(env, s,
                              head->target.len + 1 + accept.len + encoding.len + none_match.len +
                                  if_match.len + last_event.len);
    if (!c) return;
    char *behind = c->memory + head->target.len + 1;
    c->request.accept = keep_value(&behind, accept);
    c->request.accept_encoding = keep_value(&behind, encoding);
    c->request.if_none_match = keep_value(&behind, none_match);
    c->request.last_event_id = keep_value(&behind, last_event);
    if (condition) c->request.if_match = keep_value(&behind, if_match);
    c->is_head = head->method == HTTP_HEAD;
    c->is_reserved = from->is_reserved;
    witness_begin(&c->witness, s, head, from, env->proxy);
    c->request.mention = c->witness.mention;
    c->has_all = head->body == HTTP_BODY_NONE || (head->body == HTTP_BODY_LENGTH && !head->content_length);
    if (!read_head(c, head))
        call_send_answer(c);
    else if ((c->request.route->body || c->request.route->takes_text) && !c->has_all)
        begin_gather(c, head);
    else
        handle(c);
}

void call_on_fault(struct call_env *env, struct http_stream *s, const struct http_fault *fault)
{
    struct call *c = call_new(env, s, 0);
    if (!c) return;
    c->witness.is_safe = true; /* it is no request */
    if (end_reason_info(fault->reason)->status)
        say_fault(c, fault);
    else
        call_finish(c, true);
}

/* later answers */

struct call *call_of(const struct admin_request *rq)
{
    return (struct call *)((uintptr_t)rq - offsetof(struct call, request));
}

struct call *call_find(struct call_ticket t)
{
    for (struct list *at = t.env->calls.next; at != &t.env->calls; at = at->next) {
        struct call *c = container_of(at, struct call, link);
        if (c->id == t.id) return c;
    }
    return NULL;
}

struct call_ticket call_wait(const struct admin_request *rq, uint64_t timeout_ms,
                             void (*on_gone)(void *context), void *context)
{
    struct call *c = call_of(rq);
    c->wait_ms = timeout_ms;
    c->on_gone = on_gone;
    c->gone_context = context;
    return (struct call_ticket){ c->env, c->id };
}

bool call_answer(struct call_ticket t, struct answer *a)
{
    struct call *c = call_find(t);
    if (c) c->on_gone = NULL;
    if (!c || c->state != CALL_WAIT) {
        answer_fini(a);
        return false;
    }
    c->answer = *a;
    c->is_answered = true;
    call_send_answer(c);
    return true;
}

struct call_env *call_env_of(const struct admin_request *rq)
{
    return call_of(rq)->env;
}

void call_kill_all(struct call_env *env)
{
    while (!list_is_empty(&env->calls)) {
        struct call *c = container_of(env->calls.next, struct call, link);
        c->is_cut = true;
        retire(c);
    }
}
