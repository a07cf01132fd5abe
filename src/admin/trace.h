/* admin/trace.h: what the workers did in a few seconds, turn by turn and exchange by exchange, for ui.perfetto.dev and
 * chrome://tracing (Google, "Trace Event Format"). One at a time. Control thread. */
#pragma once

#include "proxy/proxy.h"

/* So many turns of a worker and exchanges of all are kept; what is beyond is counted. */
#define TRACE_TURNS_MAX (1u << 16)
#define TRACE_EXCHANGES_MAX 20000u

struct trace;

/* Stops looking; freed when the workers have ended. NULL is fine, for both. */
void trace_stop(struct trace *t);
void trace_free(struct trace *t);
