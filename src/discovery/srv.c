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
    uint32_t left_out;      /* targets beyond those that are asked for */
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

static uint32_t most_of(const struct srv *s)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->targets[i].srv.weight > most) most = s->targets[i].srv.weight;
    return most;
}

/* Weights of 0 beside others get next to nothing, which is 1; all at 0 are said to be alike. */
static uint32_t weight_of(const struct srv_target *t, uint32_t most)
{
    uint32_t weight = most > BALANCE_WEIGHT_MAX ? t->weight * (uint32_t)BALANCE_WEIGHT_MAX / most : t->weight;
    return weight ? weight : 1;
}

/* In order of their priority, so that what there is no room for is the last. */
static void collect(const struct srv *s, struct found *found, uint32_t room, struct source_answer *a)
{
    uint32_t most = most_of(s);
    a->left_out = s->left_out;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct target *t = &s->targets[i];
        for (uint32_t k = 0; k < t->count; k++) {
            if (a->count == room) {
                a->left_out += t->count - k;
                break;
            }
            found[a->count++] = (struct found){ .address = address_from_ip(&t->addresses[k], t->srv.port),
                                                .has_weight = true,
                                                .weight = weight_of(&t->srv, most),
                                                .tier = t->tier };
        }
    }
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
    if (found) collect(s, found, room, &a);
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

static int compare_addresses(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct ip));
}

/* In an order of their own: name servers turn it round each time. */
static void keep_addresses(struct target *t, const struct resolver_found *f)
{
    t->addresses = calloc(f->count, sizeof(*t->addresses));
    if (!t->addresses) return;
    memcpy(t->addresses, f->addresses, f->count * sizeof(*t->addresses));
    qsort(t->addresses, f->count, sizeof(*t->addresses), compare_addresses);
    t->count = f->count;
}

static void on_addresses(struct name_lookup *l, enum source_result result, const struct resolver_found *f)
{
    struct target *t = container_of(l, struct target, lookup);
    struct srv *s = t->owner;
    if (result == SOURCE_FOUND) {
        keep_addresses(t, f);
        if (f->ttl_s < s->ttl_s) s->ttl_s = f->ttl_s;
    }
    if (result == SOURCE_FAILED || (result == SOURCE_FOUND && !t->addresses)) {
        s->has_failed = true;
        s->reason = result == SOURCE_FAILED ? l->reason : "there is no memory for the answer";
    }
    if (--s->left == 0) end(s);
}

/* asking */

/* Those that matter most first, and always in the same order. */
static int compare_targets(const void *left, const void *right)
{
    const struct srv_target *a = left, *b = right;
    if (a->priority != b->priority) return a->priority < b->priority ? -1 : 1;
    if (a->weight != b->weight) return a->weight > b->weight ? -1 : 1;
    int order = strcmp(a->name, b->name);
    return order ? order : (a->port > b->port) - (a->port < b->port);
}

/* Each target is a question of its own: not more than servers are used. */
static void keep_targets(struct srv *s, const struct srv_answer *a, const struct srv_target *targets)
{
    s->count = a->count < FOUND_MAX ? a->count : FOUND_MAX;
    s->left = s->count;
    s->left_out = a->count - s->count;
    s->ttl_s = a->ttl_s;
    s->has_failed = false;
    for (uint32_t i = 0; i < s->count; i++)
        s->targets[i] = (struct target){ .owner = s, .srv = targets[i], .lookup.done = on_addresses };
}

/* False: there is no memory for them. */
static bool take_targets(struct srv *s, const struct srv_answer *a)
{
    struct srv_target *sorted = calloc(a->count, sizeof(*sorted));
    s->targets = calloc(a->count < FOUND_MAX ? a->count : FOUND_MAX, sizeof(*s->targets));
    if (sorted && s->targets) {
        memcpy(sorted, a->targets, a->count * sizeof(*sorted));
        qsort(sorted, a->count, sizeof(*sorted), compare_targets);
        keep_targets(s, a, sorted);
    }
    bool is_taken = sorted && s->targets;
    free(sorted);
    return is_taken;
}

/* The lowest priority is the first tier, and so on. */
static void set_tiers(struct srv *s)
{
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
    if (!take_targets(s, a)) {
        refuse(s, SOURCE_FAILED, "there is no memory for the answer");
        return;
    }
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
