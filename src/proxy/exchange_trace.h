/* proxy/exchange_trace.h: an exchange's part in a trace: which one it belongs to, what its servers are told of it, and whether
 * it becomes spans. One worker's thread; nothing at all without `tracing:`. */
#pragma once

#include "proxy/exchange.h"
#include "record/span.h"

/* In the exchange's arena. */
struct exchange_trace {
    struct span_record span; /* its flight record comes at the end */
    struct trace_context sent;
    char field[TRACE_PARENT_LEN + 1]; /* what the attempt in hand tells its server */
    bool keeps_state;                 /* tracestate belongs to the trace that it keeps */
};

/* Keeps what the client's traceparent says, or begins a trace. False: there is no memory for it, and it is none. */
bool exchange_trace_begin(struct exchange *x);
/* An attempt has begun, the last of the record: it has a span of its own, and is what servers are told of. */
void exchange_trace_attempt(struct exchange *x, uint32_t start_us);
/* Where two go on at a time: the one whose server is told of it next. */
void exchange_trace_use(struct exchange *x, uint32_t number);
/* What of the request's own fields goes no further: its traceparent, and a tracestate of no trace. */
void exchange_trace_drop(struct exchange *x);
/* It is over: it goes out if it was to be sampled, failed, or was slow; then histograms that have counted it may show it as an
 * exemplar. */
void exchange_trace_end(struct exchange *x);
