/* command/demo_traffic.h: gentle traffic for the demo: a thread that asks weir some twenty times a second, one request after
 * another, until it is told to stop. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct demo_traffic;

/* To 127.0.0.1. */
MUST_CHECK int demo_traffic_start(struct demo_traffic **out, uint16_t port, struct err *err);
void demo_traffic_stop(struct demo_traffic *t); /* NULL is fine */
