/* self/process_metrics.h: what every exporter of Prometheus says of its process, under the names that dashboards look for, and which
 * weir this is. Control thread. */
#pragma once

#include "metric/metric.h"

/* They are read when metrics are shown. `version` is borrowed during the call. */
void process_metrics_add(struct metric_registry *metrics, const char *version);
