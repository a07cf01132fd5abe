#include "discovery/name_lookup.h"

#include <string.h>

/* A server with both kinds of address is one server: its second address would be counted, checked and capped as another. So
 * one kind is taken, and the other only where a name has none of that. In the order of enum resolver_family. */
static const struct {
    uint32_t count;
    sa_family_t families[2];
} orders[] = {
    [RESOLVER_IPV4_FIRST] = { 2, { AF_INET, AF_INET6 } },
    [RESOLVER_IPV6_FIRST] = { 2, { AF_INET6, AF_INET } },
    [RESOLVER_IPV4] = { 1, { AF_INET } },
    [RESOLVER_IPV6] = { 1, { AF_INET6 } },
};

static const struct resolver_conf *conf_of(const struct sources *all)
{
    return sources_options_of(all)->resolver;
}

uint64_t name_lookup_holds_ms(const struct sources *all, uint32_t ttl_s)
{
    const struct resolver_conf *conf = conf_of(all);
    uint64_t ms = (uint64_t)ttl_s * 1000;
    if (ms > conf->max_ttl_ms) ms = conf->max_ttl_ms;
    if (ms < conf->min_ttl_ms) ms = conf->min_ttl_ms;
    return ms ? ms : 1;
}

static sa_family_t family_of(const struct name_lookup *l)
{
    return orders[conf_of(l->all)->family].families[l->step];
}

static void ask(struct name_lookup *l)
{
    struct resolver *r = sources_resolver(l->all);
    if (r) {
        resolver_look_up(r, &l->lookup, l->name, family_of(l));
        return;
    }
    l->reason = "there is no memory to ask for it";
    l->done(l, SOURCE_FAILED, NULL);
}

static void on_found(struct resolver_lookup *lookup, const struct resolver_found *f)
{
    struct name_lookup *l = container_of(lookup, struct name_lookup, lookup);
    if (f->result == RESOLVER_OK) {
        l->done(l, SOURCE_FOUND, f);
        return;
    }
    bool is_last = l->step + 1 == orders[conf_of(l->all)->family].count;
    bool is_failure = f->result != RESOLVER_NO_NAME;
    if (is_failure || !l->has_failed) l->reason = resolver_result_text(f->result, family_of(l));
    l->has_failed |= is_failure;
    if (!is_last && !(is_failure && l->keeps_family)) {
        l->step++;
        ask(l);
        return;
    }
    if (!l->has_failed && l->step) l->reason = "the name does not exist or has no address";
    l->done(l, l->has_failed ? SOURCE_FAILED : SOURCE_EMPTY, NULL);
}

void name_lookup_begin(struct name_lookup *l, struct sources *all, struct slice name, bool keeps_family)
{
    size_t len = name.len <= RESOLVER_NAME_MAX ? name.len : RESOLVER_NAME_MAX;
    memcpy(l->name, name.data, len);
    l->name[len] = 0;
    l->all = all;
    l->lookup.on_found = on_found;
    l->step = 0;
    l->has_failed = false;
    l->keeps_family = keeps_family;
    ask(l);
}

void name_lookup_end(struct name_lookup *l)
{
    resolver_lookup_cancel(&l->lookup);
}
