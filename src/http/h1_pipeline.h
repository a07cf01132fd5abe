/* http/h1_pipeline.h: several requests at a time on one HTTP/1 connection to a server, answered in their order (RFC 9112
 * 9.3.2). For requests that may be repeated and have no body: when the connection ends, or one response keeps the others
 * waiting for too long, those behind it are told so, and go elsewhere.
 *
 * It has the connection's one stream and gives streams of its own, whose requests leave together at the end of a turn. Who
 * knows the connection decides how many. One loop's thread. */
#pragma once

#include "base/slab.h"
#include "http/h1_client.h"

struct h1_pipeline;

/* Why those behind a response had to go elsewhere. */
enum h1_pipeline_loss {
    H1_PIPELINE_CLOSED, /* the server said that it closes with this response */
    H1_PIPELINE_BROKEN, /* the connection ended, or what came on it was no response */
    H1_PIPELINE_HELD_UP /* they had waited for too long */
};

struct h1_pipeline_owner {
    /* One more could be leased than a moment ago. */
    void (*on_room)(struct h1_pipeline *p);
    /* A response is whole that took so long, the wait for those before it not counted. */
    void (*on_answered)(struct h1_pipeline *p, uint64_t took_ns);
    /* `lost` requests go elsewhere, of one connection. Also 0: it would have been so for those behind. */
    void (*on_loss)(struct h1_pipeline *p, enum h1_pipeline_loss why, uint32_t lost);
};

struct h1_pipeline {
    struct h1_client *client;
    const struct h1_pipeline_owner *owner;
    struct slab *slab; /* of h1_pipeline_stream_size() each */
    struct timer
        *timer; /* the connection's: h1_pipeline_look() is to be called from it while it is not idle */
    struct list streams; /* in the order of their requests: the first one's response is read */
    struct loop_task send_task;
    uint64_t put;      /* bytes of heads that were put in line */
    uint64_t first_ns; /* since when the first is first */
    uint64_t
        patience_ms; /* how long one response may keep those behind it waiting; set before the first lease */
    uint32_t count;
    bool is_proven; /* the server has answered on this connection and kept it open */
    bool is_timed, was_blocked;
};

void h1_pipeline_init(struct h1_pipeline *p, struct h1_client *c, const struct h1_pipeline_owner *owner,
                      struct slab *slab, struct timer *timer);
size_t h1_pipeline_stream_size(void);
/* Of a connection that can be leased, or of one with h1_pipeline_room(). NULL: out of memory. */
struct http_stream *h1_pipeline_lease(struct h1_pipeline *p);
/* How many of `depth` can still be leased while some are. */
uint32_t h1_pipeline_room(const struct h1_pipeline *p, uint32_t depth);
/* The connection's owner hears on_whole: see there. */
bool h1_pipeline_whole(struct h1_pipeline *p);
/* The timer is due. */
void h1_pipeline_look(struct h1_pipeline *p);
static inline bool h1_pipeline_is_active(const struct h1_pipeline *p)
{
    return p->count > 0;
}
/* Nothing is left to be done at the end of the turn: the connection has ended. */
void h1_pipeline_fini(struct h1_pipeline *p);
