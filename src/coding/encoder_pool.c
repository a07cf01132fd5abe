#include "coding/encoder_pool.h"

#include "base/bug.h"

#define SHARE_OF_MEMORY 8
/* What may be kept without being used. */
#define IDLE_SHARE 4
#define IDLE_MAX (4u << 20)

void encoder_pool_init(struct encoder_pool *p, struct block_pool *blocks, uint32_t share)
{
    *p = (struct encoder_pool){
        .blocks = blocks, .limit_bytes = blocks->budget->limit / SHARE_OF_MEMORY / (share ? share : 1)
    };
    list_init(&p->idle);
}

void encoder_pool_fini(struct encoder_pool *p)
{
    if (!p->blocks) return;
    (void)bug_if(CODING, p->used_bytes);
    encoder_pool_trim(p);
}

static void end(struct encoder_pool *p, struct encoder *e)
{
    uint32_t bytes = encoder_bytes(&e->shape);
    e->kind->free(e);
    block_pool_refund(p->blocks, bytes);
}

static struct encoder *take_idle(struct encoder_pool *p, struct list *at)
{
    struct encoder *e = container_of(at, struct encoder, link);
    list_remove(at);
    p->idle_bytes -= encoder_bytes(&e->shape);
    return e;
}

void encoder_pool_trim(struct encoder_pool *p)
{
    while (!list_is_empty(&p->idle)) end(p, take_idle(p, p->idle.prev));
}

static struct encoder *find_idle(struct encoder_pool *p, const struct encoder_shape *shape)
{
    for (struct list *at = p->idle.next; at != &p->idle; at = at->next) {
        const struct encoder_shape *s = &container_of(at, struct encoder, link)->shape;
        if (s->coding == shape->coding && s->level == shape->level && s->size == shape->size)
            return take_idle(p, at);
    }
    return NULL;
}

static struct encoder *make(struct encoder_pool *p, const struct encoder_shape *shape, uint32_t bytes)
{
    /* What is kept is of no use to this one. */
    if (p->used_bytes + p->idle_bytes + bytes > p->limit_bytes) encoder_pool_trim(p);
    if (budget_is_tight(p->blocks->budget) || !block_pool_charge(p->blocks, bytes)) return NULL;
    struct encoder *e = encoder_kind_of((enum coding)shape->coding)->make(shape);
    if (!e) {
        block_pool_refund(p->blocks, bytes);
        return NULL;
    }
    e->kind = encoder_kind_of((enum coding)shape->coding);
    e->shape = *shape;
    list_init(&e->link);
    return e;
}

struct encoder *encoder_pool_get(struct encoder_pool *p, struct encoder_shape shape)
{
    uint32_t bytes = encoder_bytes(&shape);
    if (p->used_bytes + bytes > p->limit_bytes) return NULL;
    struct encoder *e = find_idle(p, &shape);
    if (!e) e = make(p, &shape, bytes);
    if (e) p->used_bytes += bytes;
    return e;
}

void encoder_pool_put(struct encoder_pool *p, struct encoder *e)
{
    if (!e) return;
    uint32_t bytes = encoder_bytes(&e->shape);
    if (bug_if(CODING, bytes > p->used_bytes)) return;
    (void)bug_if(CODING, encoder_taken_max(e) > bytes); /* what it was charged for */
    p->used_bytes -= bytes;
    uint64_t room = p->limit_bytes / IDLE_SHARE < IDLE_MAX ? p->limit_bytes / IDLE_SHARE : IDLE_MAX;
    bool is_kept = e->kind->reset && bytes <= room && !budget_is_tight(p->blocks->budget) &&
                   e->kind->reset(e);
    if (!is_kept) {
        end(p, e);
        return;
    }
    list_push_front(&p->idle, &e->link);
    p->idle_bytes += bytes;
    while (p->idle_bytes > room) end(p, take_idle(p, p->idle.prev));
}
