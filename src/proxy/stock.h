/* proxy/stock.h: a worker takes stock: what its walk (proxy/census.h) comes by is counted for each listener, pool and server, put
 * beside what the worker counts itself, and left with them for whoever sums up all workers (self/invariants.h).
 * On the worker's thread, between two turns. */
#pragma once

#include "proxy/invariant.h"
#include "proxy/worker.h"

struct attempt;
struct census;
struct exchange;
struct mirror_reach;
struct tcp_reach;

/* What is there once, of the worker as a whole. */
struct worker_stock {
    uint64_t turn;           /* loop.turns then: while it stands, nothing has changed since */
    uint64_t drawn;          /* bytes on the budget */
    uint64_t opened, closed; /* connections of clients, of all listeners */
};

struct stock {
    struct worker *worker;
    uint64_t round; /* from 1; each is another than the one before */
    struct pool_view *views;
    struct site_view *site_views;
    uint32_t counted_clients, open_files;
};

/* Walks all of it. `found` is the caller's, and what is the worker's own is judged in `sums`, of which it adds to all that are of
 * workers. */
void stock_take(struct worker *w, uint64_t round, struct worker_stock *found,
                struct invariant_sum sums[INVARIANT_COUNT]);

/* For census.c: what it comes by. */
void stock_exchange(struct stock *s, const struct exchange *x);
void stock_session(struct stock *s, const struct tcp_reach *r);
/* stock_attempt() comes beside it. */
void stock_mirror(struct stock *s, const struct mirror_reach *m);
void stock_server_view(struct stock *s, struct pool_view *view);
void stock_attempt(struct stock *s, const struct attempt *a);
void stock_server_connections(struct stock *s, struct server_worker *sw, uint64_t connections);
/* is_counted: among its address's. */
void stock_client(struct stock *s, struct listener_worker *lw, bool is_counted);
