/* http/h2_limits.h: what a client may do on one HTTP/2 connection. All of it is allowed by the protocol, and all of it has
 * been used to keep servers busy: who goes beyond is told ENHANCE_YOUR_CALM, and that connection ends. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/end_reason.h"

/* X(identifier, key, end reason): what costs a client nothing. Each has its bound within ten seconds; what is
 * useful to somebody, bodies and windows for them, makes up for some of it. */
#define H2_FLOODS(X)                                                                            \
    X(RESETS, resets, END_HTTP2_RESETS) /* requests that are taken back or malformed */         \
    X(SETTINGS, settings, END_HTTP2_SETTINGS)                                                   \
    X(PINGS, pings, END_HTTP2_PINGS)                                                            \
    X(EMPTY, empty_frames, END_HTTP2_EMPTY_FRAMES) /* with nothing in them, or of no meaning */ \
    X(WINDOWS, window_updates, END_HTTP2_WINDOWS)  /* and tiny windows */

enum h2_flood {
#define X(id, key, reason) H2_FLOOD_##id,
    H2_FLOODS(X)
#undef X
        H2_FLOOD_COUNT
};

struct h2_limits {
    uint32_t streams;       /* at the same time */
    uint32_t window_bytes;  /* the most that a stream's may become */
    uint32_t memory_bytes;  /* that it may hold */
    uint32_t continuations; /* of one head */
    bool allows_tunnels;    /* of a client: it may open WebSockets (RFC 8441) */
    uint32_t floods[H2_FLOOD_COUNT];
};
