/* proxy/udp_table.h: a listener's sessions on one worker by whose they are: where a client's datagrams come from, and to which of
 * this host's addresses; and in the order in which they were last heard of. Pure: no socket, no clock. One thread.
 *
 * Clients choose the keys, so that the hash is seeded: nobody can choose ones that fall together. */
#pragma once

#include "base/list.h"
#include "net/udp_batch.h"

/* Embedded in what is kept. */
struct udp_place {
    struct list order; /* who has been silent longest at the front */
    struct udp_place *next;
    struct udp_flow flow;
    uint64_t seen_ms;
    bool is_hidden; /* another may have its flow */
};

struct udp_table {
    struct udp_place **buckets;
    struct list order;
    struct list *walked; /* who is next in the walk; NULL: there is none under way */
    uint64_t seed;
    uint32_t mask, count;
};

/* For about `places`: more take longer to find. False: out of memory. */
MUST_CHECK bool udp_table_init(struct udp_table *t, uint32_t places, uint64_t seed);
/* For more of them, of whom some may be there; without memory for that it stays as it is. */
void udp_table_fit(struct udp_table *t, uint32_t places);
/* Empty. */
void udp_table_fini(struct udp_table *t);
/* NULL: there is none. */
struct udp_place *udp_table_find(const struct udp_table *t, const struct udp_flow *flow);
/* p->flow is set, and nobody has it. */
void udp_table_add(struct udp_table *t, struct udp_place *p, uint64_t now_ms);
void udp_table_remove(struct udp_table *t, struct udp_place *p);
/* It is found no more, and another may be added for its flow; it stays until it is removed, and in the order. */
void udp_table_hide(struct udp_table *t, struct udp_place *p);
/* For a walk over all, over several turns: whoever comes, or is heard of, in between may be met again. */
static inline void udp_table_walk_from_start(struct udp_table *t)
{
    t->walked = t->order.next;
}
/* The next; NULL: that was all. */
struct udp_place *udp_table_walk(struct udp_table *t);
/* The walk does not go by where it was. */
static inline void udp_table_step_aside(struct udp_table *t, const struct udp_place *p)
{
    if (t->walked == &p->order) t->walked = p->order.next;
}
/* It was heard of. */
static inline void udp_table_touch(struct udp_table *t, struct udp_place *p, uint64_t now_ms)
{
    p->seen_ms = now_ms;
    udp_table_step_aside(t, p);
    list_remove(&p->order);
    list_push_back(&t->order, &p->order);
}
/* NULL: it is empty. */
static inline struct udp_place *udp_table_oldest(const struct udp_table *t)
{
    return list_is_empty(&t->order) ? NULL : container_of(t->order.next, struct udp_place, order);
}
