/* Name servers, asked for a service (RFC 2782): its targets, and then for each target's addresses. */
#include <stdlib.h>
#include <string.h>

#include "balance/balance.h"
#include "discovery/name_lookup.h"
#include "net/srv_answer.h"

struct target {
    struct name_lookup lookup;
    struct srv *owner;
    struct srv_target srv;
    struct ip *addresses; /* owned */
    uint32_t count, tier;
};

struct srv {
    struct source source; /* first */
    struct resolver_lookup lookup;
    struct target *targets; /* of the question that goes on */
    uint32_t count, left;   /* left: whose addresses have not been answered */
    uint32_t ttl_s;
    bool has_failed;
    const char *reason;
    char name[PLACE_TEXT_MAX + 1];
};

static void drop_targets(struct srv *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        name_lookup_end(&s->targets[i].lookup);
        free(s->targets[i].addresses);
    }
    free(s->targets);
    s->targets = NULL;
    s->count = s->left = 0;
}

static void refuse(struct srv *s, enum source_result result, const char *reason)
{
    const struct source_answer a = { .result = result, .reason = reason };
    drop_targets(s);
    source_answered(&s->source, &a);
}

/* what came of it */

/* Weights of 0 beside others get next to nothing, which is 1; all at 0 are said to be alike. */
static uint32_t weight_of(const struct srv *s, const struct srv_target *t)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->targets[i].srv.weight > most) most = s->targets[i].srv.weight;
    uint32_t weight = most > BALANCE_WEIGHT_MAX ? t->weight * (uint32_t)BALANCE_WEIGHT_MAX / most : t->weight;
    return weight ? weight : 1;
}

static void answer(struct srv *s)
{
    uint32_t room = 0;
    for (uint32_t i = 0; i < s->count; i++) room += s->targets[i].count;
    if (room > RESOLVER_FOUND_MAX) room = RESOLVER_FOUND_MAX; /* more than are used in any case */
    struct found *found = calloc(room + 1, sizeof(*found));
    struct source_answer a = { .result = SOURCE_FOUND,
                               .holds_ms = name_lookup_holds_ms(s->source.all, s->ttl_s),
                               .found = found };
    for (uint32_t i = 0; found && i < s->count; i++) {
        const struct target *t = &s->targets[i];
        for (uint32_t k = 0; k < t->count && a.count < room; k++)
            found[a.count++] = (struct found){ .address = address_from_ip(&t->addresses[k], t->srv.port),
                                               .has_weight = true,
                                               .weight = weight_of(s, &t->srv),
                                               .tier = t->tier };
    }
    drop_targets(s);
    if (found)
        source_answered(&s->source, &a);
    else
        refuse(s, SOURCE_FAILED, "there is no memory for the answer");
    free(found);
}

/* One target that cannot be asked for spoils the answer: what was known of it would be taken away else. */
static void end(struct srv *s)
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < s->count; i++) known += s->targets[i].count;
    if (s->has_failed)
        refuse(s, SOURCE_FAILED, s->reason);
    else if (!known)
        refuse(s, SOURCE_EMPTY, "none of the service's targets has an address");
    else
        answer(s);
}

static void on_addresses(struct name_lookup *l, enum source_result result, const struct resolver_found *f)
{
    struct target *t = container_of(l, struct target, lookup);
    struct srv *s = t->owner;
    if (result == SOURCE_FOUND) {
        t->addresses = calloc(f->count, sizeof(*t->addresses));
        if (t->addresses) memcpy(t->addresses, f->addresses, f->count * sizeof(*t->addresses));
        t->count = t->addresses ? f->count : 0;
        if (f->ttl_s < s->ttl_s) s->ttl_s = f->ttl_s;
    }
    if (result == SOURCE_FAILED || (result == SOURCE_FOUND && !t->addresses)) {
        s->has_failed = true;
        s->reason = result == SOURCE_FAILED ? l->reason : "there is no memory for the answer";
    }
    if (--s->left == 0) end(s);
}

/* asking */

static int compare_priority(const void *left, const void *right)
{
    const struct target *a = left, *b = right;
    return (a->srv.priority > b->srv.priority) - (a->srv.priority < b->srv.priority);
}

/* The lowest priority is the first tier, and so on. */
static void set_tiers(struct srv *s)
{
    qsort(s->targets, s->count, sizeof(*s->targets), compare_priority);
    for (uint32_t i = 0; i < s->count; i++) {
        struct target *t = &s->targets[i];
        t->tier = i ? t[-1].tier + (t->srv.priority != t[-1].srv.priority) : 1;
        if (t->tier > FOUND_TIERS) t->tier = FOUND_TIERS;
    }
}

static void on_targets(struct resolver_lookup *l, enum resolver_result result, const struct srv_answer *a)
{
    struct srv *s = container_of(l, struct srv, lookup);
    if (result != RESOLVER_OK) {
        bool is_empty = result == RESOLVER_NO_NAME;
        refuse(s, is_empty ? SOURCE_EMPTY : SOURCE_FAILED,
               is_empty ? "there is no such service" : resolver_result_text(result, AF_INET));
        return;
    }
    s->targets = calloc(a->count, sizeof(*s->targets));
    if (!s->targets) {
        refuse(s, SOURCE_FAILED, "there is no memory for the answer");
        return;
    }
    s->count = a->count;
    s->left = a->count;
    s->ttl_s = a->ttl_s;
    s->has_failed = false;
    for (uint32_t i = 0; i < a->count; i++)
        s->targets[i] = (struct target){ .owner = s, .srv = a->targets[i], .lookup.done = on_addresses };
    set_tiers(s);
    /* The last of them may end it all before it returns. */
    for (uint32_t i = 0, count = s->count; i < count; i++)
        name_lookup_begin(&s->targets[i].lookup, s->source.all, slice_of(s->targets[i].srv.name),
                          s->source.fresh.has_found);
}

static void ask(struct source *source)
{
    struct srv *s = (struct srv *)source;
    struct resolver *r = sources_resolver(source->all);
    memcpy(s->name, source->place.name.data, source->place.name.len);
    s->lookup.on_targets = on_targets;
    if (r)
        resolver_look_up_service(r, &s->lookup, s->name);
    else
        refuse(s, SOURCE_FAILED, "there is no memory to ask for it");
}

static struct source *open_source(void)
{
    struct srv *s = calloc(1, sizeof(*s));
    return s ? &s->source : NULL;
}

static void close_source(struct source *source)
{
    struct srv *s = (struct srv *)source;
    resolver_lookup_cancel(&s->lookup);
    drop_targets(s);
    free(s);
}

const struct source_kind source_srv = { open_source, ask, close_source };
