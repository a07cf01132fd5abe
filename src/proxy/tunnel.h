/* proxy/tunnel.h: bytes both ways between two transports: TCP listeners and upgraded exchanges. Two symmetric halves;
 * a FIN on one side is passed on as a FIN and the other direction goes on; a reset is passed on as a reset; both
 * sides are closed exactly once. One worker's thread. */
#pragma once

#include "base/end_reason.h"
#include "net/transport.h"

struct tunnel;

struct tunnel_timeouts {
    uint64_t idle_ms, half_closed_ms, total_ms; /* total: 0 is none */
};

enum tunnel_side { TUNNEL_CLIENT, TUNNEL_SERVER };

/* What comes from `transport` and goes out at the other side. */
struct tunnel_half {
    struct transport transport;
    struct block *hold; /* read here, not yet taken by the other side */
    uint32_t begin, end;
    bool is_eof, is_done; /* the peer said FIN; it was passed on */
    bool is_connection;   /* the owner's note: its end is that of a connection, which counts */
    bool is_bulk;   /* the last read was filled: look before taking, so that more can be moved at once */
    uint64_t bytes; /* passed on */
};

struct tunnel {
    struct tunnel_half halves[2];
    struct loop *loop;
    struct timer timer;
    struct loop_task task;
    struct loop_grave grave;
    struct list link; /* the owner's */
    struct tunnel_timeouts timeouts;
    uint64_t last_ms, total_deadline_ms;
    bool is_ended;
    uint32_t round; /* the owner's note: the last round that came by */
    /* Both transports are closed; the memory is the owner's, to be buried. */
    void (*on_end)(struct tunnel *t, enum end_reason reason);
    void *owner;
};

/* In zeroed memory; the transports are put in halves[] by the caller (transport_move or connect), open already. */
/* Other time-outs, before it is started. */
void tunnel_set_timeouts(struct tunnel *t, const struct tunnel_timeouts *timeouts);
void tunnel_init(struct tunnel *t, struct loop *l, const struct tunnel_timeouts *timeouts,
                 void (*on_end)(struct tunnel *, enum end_reason), void *owner);
/* What halves[].transport.on_ready is to be. */
void tunnel_on_ready_client(struct transport *t);
void tunnel_on_ready_server(struct transport *t);
/* Begins; may end it at once. */
void tunnel_start(struct tunnel *t);
/* Now, with a FIN to both. */
void tunnel_kill(struct tunnel *t, enum end_reason reason);
