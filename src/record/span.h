/* record/span.h: one exchange and its attempts as OpenTelemetry's spans: what a worker hands over of it, and their form on the
 * wire (OTLP 1.x as JSON: opentelemetry-proto, trace/v1). */
#pragma once

#include "base/json.h"
#include "record/flight.h"
#include "record/trace_context.h"

struct span_attempt {
    uint8_t id[SPAN_ID_BYTES]; /* zeros: it was not begun */
    uint32_t start_us;         /* since the exchange's start */
};

struct span_record {
    struct flight_record flight;
    struct trace_context context; /* of the exchange's own span */
    uint8_t parent[SPAN_ID_BYTES];
    bool has_parent;
    struct span_attempt attempts[FLIGHT_ATTEMPTS]; /* beside the flight record's */
};

/* Who sends them. */
struct span_source {
    const char *service, *version, *host;
    int pid;
    struct flight_names names;
};

/* ExportTraceServiceRequest: span_request_begin(), a span_print() for each, span_request_end(). */
void span_request_begin(const struct span_source *source, struct json *out);
void span_print(const struct span_source *source, const struct span_record *s, struct json *out);
void span_request_end(struct json *out);
