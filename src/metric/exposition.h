/* metric/exposition.h: a registry as Prometheus reads it: its text format 0.0.4, OpenMetrics 1.0, or messages of Protocol
 * Buffers, which have native histograms as well (metric/exposition_protobuf.h). Control side. Histograms show a fixed set of `le`
 * bounds; each counts whole fine cells, so a bound is at most 1.6 % off. In all but the first format those that are kept have
 * exemplars (metric/exemplars.h). */
#pragma once

#include <stddef.h>

#include "base/slice.h"
#include "metric/metric.h"

enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS, EXPOSITION_PROTOBUF };
#define EXPOSITION_FORMATS (EXPOSITION_PROTOBUF + 1)

/* By the request's Accept header (RFC 9110 12.5.1): text, unless OpenMetrics 1.0 is asked for at least as much, or
 * delimited messages io.prometheus.client.MetricFamily at least as much as both. */
enum exposition_format exposition_choose(struct slice accept);
const char *exposition_content_type(enum exposition_format format);
/* Terminated (`len` is without that), to be freed by the caller; NULL if memory is out. */
char *exposition_print(const struct metric_registry *reg, enum exposition_format format, size_t *len);
