#include "proxy/retire.h"

#include <stdlib.h>

#include "base/count.h"
#include "proxy/worker.h"

enum stage { RETIRE_BUSY, RETIRE_FORGETTING, RETIRE_TURNING, RETIRE_DELIVERING, RETIRE_FREE };

struct retiree {
    struct list link;
    const struct retire_kind *kind;
    void *object;
    enum stage stage;
    _Atomic uint32_t left; /* workers that have not forgotten it yet */
    uint64_t turns[];      /* of each worker, when it had */
};

void retirement_init(struct retirement *r)
{
    list_init(&r->waiting);
    list_init(&r->spare);
}

void retirement_fini(struct retirement *r)
{
    struct list *at;
    while ((at = list_pop_front(&r->spare))) free(container_of(at, struct retiree, link));
    r->spare_count = 0;
}

static struct retiree *retiree_new(const struct proxy *p)
{
    return calloc(1, sizeof(struct retiree) + p->worker_count * sizeof(uint64_t));
}

/* Kept are as many as were asked for last. */
int retire_reserve(struct proxy *p, uint32_t count, struct err *err)
{
    struct retirement *r = &p->retirement;
    while (r->spare_count > count) {
        free(container_of(list_pop_front(&r->spare), struct retiree, link));
        r->spare_count--;
    }
    while (r->spare_count < count) {
        struct retiree *it = retiree_new(p);
        if (!it) return err_set(err, "there is no memory to look after what goes; try again");
        list_push_back(&r->spare, &it->link);
        r->spare_count++;
    }
    return 0;
}

static struct retiree *take_spare(struct retirement *r)
{
    struct list *at = list_pop_front(&r->spare);
    if (at) r->spare_count--;
    return at ? container_of(at, struct retiree, link) : NULL;
}

void retire_add(struct proxy *p, const struct retire_kind *kind, void *object)
{
    struct retiree *it = take_spare(&p->retirement);
    if (!it) it = retiree_new(p);
    if (!it) return;
    it->kind = kind;
    it->object = object;
    list_push_back(&p->retirement.waiting, &it->link);
    p->retirement.count++;
}

bool retire_has(const struct proxy *p, const struct retire_kind *kind,
                bool (*is_it)(const void *object, const void *context), const void *context)
{
    const struct list *waiting = &p->retirement.waiting;
    for (const struct list *at = waiting->next; at != waiting; at = at->next) {
        const struct retiree *it = container_of(at, struct retiree, link);
        if (it->kind == kind && is_it(it->object, context)) return true;
    }
    return false;
}

static void on_forget(void *reader, const struct mail *m)
{
    struct retiree *it = m->object;
    if (it->kind->forget) it->kind->forget(reader, it->object);
    count_less_shared(SITE, &it->left);
}

static void on_delivered(void *reader, const struct mail *m)
{
    (void)reader;
    ((struct retiree *)m->object)->stage = RETIRE_FREE;
}

static uint64_t turns_of(const struct worker *w)
{
    return __atomic_load_n(&w->loop.turns, __ATOMIC_ACQUIRE);
}

static void nothing(void *reader, const struct mail *m)
{
    (void)reader, (void)m;
}

/* Two more turns than when it forgot: the one that it was in has ended, whatever the moment of the look. A worker that
 * sleeps is woken. */
static bool have_turned(struct proxy *p, const struct retiree *it)
{
    bool have_all = true;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        struct worker *w = p->workers[i];
        if (turns_of(w) >= it->turns[i] + 2) continue;
        struct mail wake = { .deliver = nothing };
        bool is_posted = mailbox_post(w->box, &wake);
        (void)is_posted; /* a full box wakes it as well */
        have_all = false;
    }
    return have_all;
}

static void tell_workers(struct proxy *p, struct retiree *it)
{
    struct mail m = { .deliver = on_forget, .object = it };
    atomic_store(&it->left, p->worker_count);
    it->stage = RETIRE_FORGETTING;
    for (uint32_t i = 0; i < p->worker_count; i++) worker_post(p->workers[i], &m);
}

static void step(struct proxy *p, struct retiree *it)
{
    switch (it->stage) {
    case RETIRE_BUSY:
        if (it->kind->is_quiet(it->object)) tell_workers(p, it);
        break;
    case RETIRE_FORGETTING:
        if (atomic_load_explicit(&it->left, memory_order_acquire)) break;
        for (uint32_t i = 0; i < p->worker_count; i++) it->turns[i] = turns_of(p->workers[i]);
        it->stage = RETIRE_TURNING;
        break;
    case RETIRE_TURNING:
        if (!have_turned(p, it)) break;
        if (!p->control) {
            it->stage = RETIRE_FREE;
            break;
        }
        struct mail last = { .deliver = on_delivered, .object = it };
        if (mailbox_post(p->control, &last)) it->stage = RETIRE_DELIVERING;
        break;
    case RETIRE_DELIVERING:
    case RETIRE_FREE: break;
    }
}

static void look_at(struct proxy *p, struct retiree *it)
{
    step(p, it);
    if (it->stage != RETIRE_FREE || !it->kind->free(p, it->object)) return;
    list_remove(&it->link);
    p->retirement.count--;
    free(it);
}

void retire_look(struct proxy *p)
{
    struct list *next;
    for (struct list *at = p->retirement.waiting.next; at != &p->retirement.waiting; at = next) {
        next = at->next;
        look_at(p, container_of(at, struct retiree, link));
    }
}

/* What refers to others goes first: sites before pools, pools with their servers last of all. */
void retire_all(struct proxy *p)
{
    for (uint32_t before = UINT32_MAX; p->retirement.count && p->retirement.count < before;) {
        before = p->retirement.count;
        struct list *next;
        for (struct list *at = p->retirement.waiting.next; at != &p->retirement.waiting; at = next) {
            struct retiree *it = container_of(at, struct retiree, link);
            next = at->next;
            if (it->stage == RETIRE_BUSY && !it->kind->is_quiet(it->object)) continue;
            it->stage = RETIRE_FREE;
            look_at(p, it);
        }
    }
}
