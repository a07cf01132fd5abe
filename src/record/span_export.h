/* record/span_export.h: spans on their way to a collector. Each worker puts them into a ring of its own and never waits: what
 * finds no room is counted and left out. A thread of its own takes them out, in batches, and sends each with a request of its own
 * (OTLP/HTTP). */
#pragma once

#include "base/err.h"
#include "metric/metric.h"
#include "record/span.h"
#include "record/tracing_conf.h"

/* Of each worker, waiting to be sent. */
#define SPAN_RING_PLACES 256u

struct span_export;
struct span_ring;

/* `conf` and `source` are borrowed until it is closed. Starts its thread. */
MUST_CHECK int span_export_open(struct span_export **out, const struct tracing_conf *conf,
                                const struct span_source *source, uint32_t worker_count,
                                struct metric_registry *metrics, struct err *err);
/* Sends what waits, if the collector takes it at once. No worker puts anything any more. NULL is fine. */
void span_export_close(struct span_export *e);
const struct tracing_conf *span_export_conf(const struct span_export *e);
struct span_ring *span_export_ring(struct span_export *e, uint32_t worker);
/* The worker's. */
void span_ring_put(struct span_ring *r, const struct span_record *s);
