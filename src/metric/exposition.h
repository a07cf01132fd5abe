/* metric/exposition.h: a registry as text for Prometheus: its text format 0.0.4, or OpenMetrics 1.0. Control
 * side. Histograms show a fixed set of `le` bounds; each counts whole fine cells, so a bound is at most 1.6 %
 * off. In OpenMetrics those that are kept have exemplars (metric/exemplars.h). */
#pragma once

#include <stddef.h>

#include "base/slice.h"
#include "metric/metric.h"

enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS };

/* By the request's Accept header (RFC 9110 12.5.1); text unless OpenMetrics 1.0 is asked for at least as
 * much. */
enum exposition_format exposition_choose(struct slice accept);
const char *exposition_content_type(enum exposition_format format);
/* Terminated, to be freed by the caller; NULL if memory is out. */
char *exposition_print(const struct metric_registry *reg, enum exposition_format format, size_t *len);
