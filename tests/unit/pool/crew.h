/* A pool with the workers that use it, all on one thread and a virtual clock. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/names.h"
#include "pool/queue.h"

#define CREW_SERVERS_MAX 100
#define CREW_WORKERS_MAX 4
/* Connect failures on end that eject, and for how long. */
#define CREW_EJECT_AFTER 3
#define CREW_EJECT_MIN_MS 1000

struct crew {
    struct pool_conf conf;
    struct server_conf servers[CREW_SERVERS_MAX];
    struct conf_option method;
    char names[CREW_SERVERS_MAX][16];
    struct names registry;
    struct metric_registry *metrics;
    struct pool_env env;
    struct budget budget;
    struct pool *pool;
    struct loop loops[CREW_WORKERS_MAX], control;
    struct mailbox *boxes[CREW_WORKERS_MAX], *control_box;
    struct pool_worker_env envs[CREW_WORKERS_MAX];
    struct pool_worker *workers[CREW_WORKERS_MAX];
    uint32_t live[CREW_WORKERS_MAX], idle[CREW_WORKERS_MAX]; /* connections to servers, by worker */
    uint32_t worker_count;
    uint64_t now_ms;
    uint32_t changes; /* of who may be picked: each was published */
};

/* Fills in the configuration: the caller may change it until crew_start(). Names: "s0", "s1", … */
void crew_init(struct crew *c, const char *method, uint32_t server_count);
void crew_start(struct crew *c, uint32_t worker_count);
/* Nothing may be left: no connection, no block, no timer, nobody in a queue, no count. */
void crew_stop(struct crew *c);

/* Its place in the pool's roster. */
uint32_t crew_index(const struct server *s);

/* One turn of each loop, the control thread's first. */
void crew_turns(struct crew *c, uint32_t count);
void crew_pass_time(struct crew *c, uint64_t ms);
/* What the control thread does when health or the operator's word has changed. */
void crew_publish(struct crew *c);
/* Lets servers back whose time is over. */
void crew_readmit(struct crew *c);
/* Looks at what was counted of answers; to be called every EJECTION_LOOK_MS. */
void crew_judge(struct crew *c);
/* Lets warming servers grow. */
void crew_warm_up(struct crew *c);

/* NULL if there is no such method. */
const struct balance_method *crew_method(const char *name);
/* Whom worker `index` would choose; its view is used for the one call only. */
struct server *crew_pick(struct crew *c, uint32_t index, const struct balance_query *extra);
