/* record/mention.h: how a line of weir's own log names the request that it is about, so that it can be found again: by the id
 * that the access log, error pages, servers and `weir why` know, and the trace's where it is part of one. Pure. */
#pragma once

#include "record/flight.h"
#include "record/trace_context.h"

#define MENTION_MAX (sizeof(" request_id= trace_id=") + FLIGHT_REQUEST_ID_MAX + TRACE_ID_TEXT)

/* " request_id=… trace_id=…", to go behind a line's last value; of a tcp connection, which has no such ids, " id=…", its
 * record's. `trace_id` has TRACE_ID_BYTES; NULL: it is part of none. Returns `out`. */
const char *mention_print(const struct flight_record *r, const uint8_t *trace_id, char out[MENTION_MAX]);
/* Likewise of ids that are text; of an empty one nothing is said. */
const char *mention_print_texts(struct slice request_id, struct slice trace_id, char out[MENTION_MAX]);
