/* Answers that go on for as long as their client takes them. */
#include <stdlib.h>
#include <string.h>

#include "admin/call_state.h"

void call_send_waiting(struct call *c)
{
    size_t taken = 0;
    struct call_out *o = &c->out;
    enum io io = http_send_body(c->stream, o->data + o->from, o->to - o->from, o->is_ending ? HTTP_END : 0,
                                &taken);
    o->from += taken;
    if (o->from == o->to) o->from = o->to = 0;
    if (io == IO_FAIL || (o->is_ending && o->from == o->to))
        call_finish(c, io == IO_FAIL);
    else if (o->from == o->to)
        loop_disarm(c->env->loop, &c->timer);
    else if (taken || !timer_is_armed(&c->timer))
        loop_arm(c->env->loop, &c->timer, CALL_WRITE_MS);
}

void call_begin_stream(struct call *c)
{
    struct http_field fields[CALL_FIELDS_MAX];
    char date[40];
    struct loop *l = c->env->loop;
    bool is_taken = block_pool_charge(&l->blocks, CALL_STREAM_MAX);
    if (is_taken) c->out.data = malloc(CALL_STREAM_MAX);
    if (!c->out.data) {
        if (is_taken) block_pool_refund(&l->blocks, CALL_STREAM_MAX);
        answer_problem(&c->answer, 503, "There is no memory for another stream; try again.");
        call_send_answer(c);
        return;
    }
    c->budget_taken = CALL_STREAM_MAX;
    c->answer.content_type = c->out.content_type;
    struct http_head head = { .version = HTTP_VERSION_1_1,
                              .status = 200,
                              .reason = slice_of(http_status_text(200)) };
    struct http_send send = {
        .head = &head, .extra = fields, .body = HTTP_BODY_UNKNOWN, .is_bodiless = c->is_head
    };
    send.extra_count = call_make_fields(c, fields, date, sizeof(date));
    c->state = CALL_STREAM;
    enum io io = http_send_head(c->stream, &send, 0);
    if (io != IO_OK || c->is_head)
        call_finish(c, io != IO_OK);
    else
        call_watch_client(c);
}

static struct call *find_stream(struct call_ticket t)
{
    struct call *c = call_find(t);
    return c && c->state == CALL_STREAM && !c->out.is_ending ? c : NULL;
}

struct call_ticket call_stream(const struct admin_request *rq, const char *content_type,
                               void (*on_gone)(void *context), void *context)
{
    struct call *c = call_of(rq);
    c->out.content_type = content_type;
    c->on_gone = on_gone;
    c->gone_context = context;
    return (struct call_ticket){ c->env, c->id };
}

bool call_is_open(struct call_ticket t)
{
    return find_stream(t) != NULL;
}

void call_end(struct call_ticket t)
{
    struct call *c = find_stream(t);
    if (!c) return;
    c->out.is_ending = true;
    call_send_waiting(c);
}

bool call_push(struct call_ticket t, const char *data, size_t len)
{
    struct call *c = find_stream(t);
    if (!c) return false;
    struct call_out *o = &c->out;
    if (o->from && len > CALL_STREAM_MAX - o->to) {
        memmove(o->data, o->data + o->from, o->to - o->from);
        o->to -= o->from;
        o->from = 0;
    }
    if (len > CALL_STREAM_MAX - o->to) return false;
    memcpy(o->data + o->to, data, len);
    o->to += len;
    call_send_waiting(c);
    return true;
}

void call_end_streams(struct call_env *env,
                      bool (*may)(void *context, const struct guard_who *who, enum admin_role needs),
                      void *context)
{
    for (struct list *at = env->calls.next; at != &env->calls; at = at->next) {
        struct call *c = container_of(at, struct call, link);
        if (c->state == CALL_STREAM && !may(context, &c->request.who, c->request.route->role))
            call_finish(c, true);
    }
}
