/* admin/admin.h: the admin API: REST, metrics and health checks over weir's own HTTP layer, on the control
 * thread's loop. */
#pragma once

#include "admin/admin_conf.h"
#include "base/err.h"

struct admin;
struct audit;
struct conf_arena;
struct certifier;
struct finder;
struct history;
struct invariants;
struct jobs;
struct leak_watch;
struct loop;
struct profiler;
struct proxy;
struct reloader;
struct rule_log;
struct socket_set;
struct socket_store;
struct stall_watch;
struct upgrader;
struct watch;

/* What the API shows and changes; borrowed as long as the loop turns. */
struct admin_objects {
    struct proxy *proxy;
    struct watch *watch; /* NULL: there is none; then rule_log is too */
    struct rule_log *rule_log;
    struct profiler *profiler;     /* NULL: none */
    struct jobs *jobs;             /* NULL: none */
    struct leak_watch *leaks;      /* NULL: none */
    struct stall_watch *stalls;    /* NULL: none */
    struct invariants *invariants; /* NULL: none */
    struct reloader *reloader;     /* NULL: none */
    struct upgrader *upgrader;     /* NULL: none */
    struct certifier *certifier;   /* NULL: none */
    struct finder *finder;         /* NULL: none */
    const struct history *history; /* of traffic; NULL: none is kept */
    struct audit *audit;           /* NULL: nothing is noted */
    struct conf_arena *arena;      /* what the configuration of `admin:` is in; NULL: it lives longer */
    struct socket_store
        *given; /* sockets that this process has already, asked at opening alone; NULL: none */
};

/* Listens; answers once the loop turns. All but `out`, `objects` and `err` are borrowed until admin_close(). */
MUST_CHECK int admin_open(struct admin **out, const struct admin_conf *conf,
                          const struct admin_objects *objects, struct loop *control_loop, struct err *err);
/* Another configuration is in force: from now on its tokens hold, and `anonymous`; where it listens and what it keeps stay.
 * `conf` is in `arena`; NULL: as before. */
void admin_use(struct admin *a, const struct admin_conf *conf, struct conf_arena *arena);
/* Where it listens, until admin_leave() or admin_shut(); NULL: nowhere any more. */
struct socket_set *admin_sockets(const struct admin *a);
/* Another process listens there now: nothing new is taken, what is being answered is answered, and its connection closes.
 * NULL is fine. */
void admin_leave(struct admin *a);
/* Ends all of it at once: from here on no handler runs, and a call's ticket is over; what handlers had begun is told so.
 * Not before weir has drained its traffic: people look how far it got, and /readyz says 503. Twice is fine, and NULL. */
void admin_shut(struct admin *a);
/* The same; the memory goes when the loop next empties its graveyard. */
void admin_close(struct admin *a);
