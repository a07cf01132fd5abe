/* admin/call_state.h: what a call to the API is made of, for the files that it is in: call.c, from its head to the last byte of an
 * answer that is made at once or later, and call_stream.c, answers that go on. */
#pragma once

#include "admin/call.h"
#include "net/loop.h"

/* Of an answer's head. */
#define CALL_FIELDS_MAX 15

enum call_state { CALL_GATHER, CALL_WAIT, CALL_ANSWER, CALL_STREAM, CALL_DONE };

/* What a stream's client has not taken. */
struct call_out {
    const char *content_type; /* NULL: the answer is no stream */
    char *data;               /* CALL_STREAM_MAX bytes */
    size_t from, to;
    bool is_ending; /* nothing more comes */
};

struct call {
    struct call_env *env;
    struct http_stream *stream;
    struct list link; /* env->calls */
    struct loop_task end_task;
    struct timer timer;
    struct loop_grave grave;
    uint8_t state; /* enum call_state */
    bool is_head, is_cut, is_reserved;
    bool has_all;  /* of the request */
    bool is_noted; /* the audit trail has been told what came of it */
    char *body;    /* a configuration can be larger than a block */
    uint32_t body_len, body_room;
    struct answer answer;
    size_t sent, budget_taken;
    uint64_t id;
    uint64_t wait_ms;               /* not 0: the handler answers later */
    bool is_answered;               /* and has */
    void (*on_gone)(void *context); /* whoever works on the answer; NULL: nobody, or he knows */
    void *gone_context;
    struct call_out out; /* of a stream */
    struct witness witness;
    uint64_t answer_deadline_ms;
    struct admin_request request;
    char memory[]; /* what the request's slices point to */
};

struct call *call_of(const struct admin_request *rq);
/* NULL: it is over. */
struct call *call_find(struct call_ticket t);
/* Over: given back from the loop, as a stream is never released from within its own event. */
void call_finish(struct call *c, bool is_cut);
/* c->answer, whole. */
void call_send_answer(struct call *c);
/* Of an answer; their number. date: what one of them points to. */
uint32_t call_make_fields(const struct call *c, struct http_field *fields, char *date, size_t date_size);
/* The answer takes long, and is not made for nobody: who sends a FIN is taken to be gone. */
void call_watch_client(struct call *c);

/* call_stream.c */
/* The answer's head, behind which c->out goes. */
void call_begin_stream(struct call *c);
void call_send_waiting(struct call *c);
