#include "proxy/udp_table.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/bug.h"

#define BUCKETS_MIN 64u
#define BUCKETS_MAX (1u << 20)

void udp_table_fini(struct udp_table *t)
{
    (void)bug_if(UDP, t->count);
    free(t->buckets);
    t->buckets = NULL;
}

static struct udp_place **bucket_of(const struct udp_table *t, const struct udp_flow *flow)
{
    return &t->buckets[XXH3_64bits_withSeed(flow, sizeof(*flow), t->seed) & t->mask];
}

static void put(struct udp_table *t, struct udp_place *p)
{
    struct udp_place **bucket = bucket_of(t, &p->flow);
    p->next = *bucket;
    *bucket = p;
}

void udp_table_fit(struct udp_table *t, uint32_t places)
{
    uint32_t buckets = BUCKETS_MIN;
    while (buckets < places && buckets < BUCKETS_MAX) buckets *= 2;
    if (t->buckets && buckets <= t->mask + 1) return;
    struct udp_place **room = calloc(buckets, sizeof(*room));
    if (!room) return;
    free(t->buckets);
    t->buckets = room;
    t->mask = buckets - 1;
    for (struct list *at = t->order.next; at != &t->order; at = at->next) {
        struct udp_place *p = container_of(at, struct udp_place, order);
        if (!p->is_hidden) put(t, p);
    }
}

bool udp_table_init(struct udp_table *t, uint32_t places, uint64_t seed)
{
    *t = (struct udp_table){ .seed = seed };
    list_init(&t->order);
    udp_table_fit(t, places);
    return t->buckets != NULL;
}

struct udp_place *udp_table_find(const struct udp_table *t, const struct udp_flow *flow)
{
    struct udp_place *p = *bucket_of(t, flow);
    while (p && !udp_flow_equal(&p->flow, flow)) p = p->next;
    return p;
}

void udp_table_add(struct udp_table *t, struct udp_place *p, uint64_t now_ms)
{
    p->is_hidden = false;
    put(t, p);
    p->seen_ms = now_ms;
    list_push_back(&t->order, &p->order);
    t->count++;
}

void udp_table_hide(struct udp_table *t, struct udp_place *p)
{
    struct udp_place **at = bucket_of(t, &p->flow);
    while (*at && *at != p) at = &(*at)->next;
    if (bug_if(UDP, !*at)) return;
    *at = p->next;
    p->next = NULL;
    p->is_hidden = true;
}

void udp_table_remove(struct udp_table *t, struct udp_place *p)
{
    if (!p->is_hidden) udp_table_hide(t, p);
    udp_table_step_aside(t, p);
    list_remove(&p->order);
    if (!bug_if(UDP, !t->count)) t->count--;
}

struct udp_place *udp_table_walk(struct udp_table *t)
{
    if (!t->walked || t->walked == &t->order) {
        t->walked = NULL;
        return NULL;
    }
    struct udp_place *p = container_of(t->walked, struct udp_place, order);
    t->walked = p->order.next;
    return p;
}
