/* record/trace_context.h: which trace a request belongs to, as it goes from one program to the next (W3C Trace Context,
 * Recommendation of November 2021): the fields traceparent and tracestate. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define TRACE_ID_BYTES 16u
#define SPAN_ID_BYTES 8u
#define TRACE_SAMPLED 1u
/* "00-<32>-<16>-01" */
#define TRACE_PARENT_LEN 55u
#define TRACE_ID_TEXT (2 * TRACE_ID_BYTES)

struct trace_context {
    uint8_t trace_id[TRACE_ID_BYTES], span_id[SPAN_ID_BYTES];
    uint8_t flags; /* TRACE_SAMPLED */
};

/* False: it is none, and whatever tracestate says goes no further (3.3.1.1). */
bool trace_context_parse(struct slice text, struct trace_context *out);
/* Terminated. */
void trace_context_print(const struct trace_context *c, char out[TRACE_PARENT_LEN + 1]);
/* Hexadecimal, terminated. */
void trace_id_print(const uint8_t *id, uint32_t bytes, char *out);
