/* command/event_stream.h: server-sent events (WHATWG HTML, 9.2) as weir sends them, put together from the pieces in which they
 * come: an event has one line of data, a kind and, where there are such, an id. What is longer than its bound is left out. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

#define EVENT_STREAM_DATA_MAX (64u << 10)

struct event_stream {
    void (*on_event)(void *context, const char *kind, struct slice data); /* data is terminated */
    void *context;
    size_t len;
    bool is_too_long;
    char kind[16];
    char line[EVENT_STREAM_DATA_MAX + 1];
};

/* For the caller to free; NULL: out of memory. */
struct event_stream *event_stream_new(void (*on_event)(void *context, const char *kind, struct slice data),
                                      void *context);
void event_stream_feed(struct event_stream *s, struct slice piece);
/* For api_client_stream(): goes on as long as what was shown could be written. */
bool event_stream_on_piece(void *event_stream, struct slice piece);
