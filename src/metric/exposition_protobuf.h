/* metric/exposition_protobuf.h: a registry as delimited messages io.prometheus.client.MetricFamily, which Prometheus asks for when
 * it keeps native histograms. Histograms have their classic buckets, as in text, and the native ones. Control side. */
#pragma once

#include <stddef.h>

#include "metric/metric.h"

/* For exposition_print(), which says what becomes of it. Exemplars are held. */
char *exposition_print_protobuf(const struct metric_registry *reg, size_t *len);
