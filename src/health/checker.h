/* health/checker.h: the checks of many servers on one loop, each again and again: when the next begins, how many at once.
 * One loop's thread. */
#pragma once

#include "health/probe.h"

/* Each has a descriptor; the others wait for their turn. */
#define CHECKS_AT_ONCE 1024

struct checker {
    struct loop *loop;
    struct list waiting; /* of struct check: due, and there was no room */
    struct loop_task next;
    uint32_t running;
};

/* One server's. */
struct check {
    struct checker *checker;
    struct timer timer;
    struct list link; /* of checker.waiting */
    struct probe *probe;
    const struct check_conf *conf; /* borrowed, until check_change() or check_stop(), as is what `tls` has */
    struct probe_tls tls;
    enum proxy_protocol proxy_protocol;
    struct address to;
    char host[ADDRESS_TEXT_MAX];
    uint64_t started_ms;
    /* True: it is being decided how the server is, and the next check comes sooner. */
    bool (*on_verdict)(struct check *c, const struct probe_verdict *v);
    bool is_changing;
};

void checker_init(struct checker *k, struct loop *l);
/* All of its checks are stopped. */
void checker_fini(struct checker *k);

void check_init(struct check *c, struct checker *k,
                bool (*on_verdict)(struct check *, const struct probe_verdict *));
struct check_target {
    const struct check_conf *conf;
    const struct address *address; /* the server's, which the configuration's port is put into */
    const struct address *other;   /* to be asked in its place; NULL: none */
    struct probe_tls tls;
    enum proxy_protocol
        proxy_protocol; /* of the server's own port; another one's connections begin with the question */
};

/* The first check begins after first_ms. */
void check_start(struct check *c, const struct check_target *target, uint64_t first_ms);
/* Another configuration has it: what is under way is begun anew. */
void check_change(struct check *c, const struct check_target *target);
/* No verdict comes any more. */
void check_stop(struct check *c);

/* When the first of check `index` of `count` is to begin, so that they are spread over the interval, and few are not waited
 * for. */
uint64_t check_first_ms(const struct check_conf *conf, uint32_t index, uint32_t count);
/* From the begin of one check to that of the next: at most what is configured, and up to a tenth less by chance. */
uint64_t check_next_ms(const struct check_conf *conf, bool is_changing, struct rng *rng);
