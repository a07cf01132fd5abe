#include "net/resolver_lookup.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "net/resolver_channel.h"

/* c-ares's own word always comes, also for what nobody wants any more. */
struct resolver_call {
    struct resolver_lookup *lookup; /* NULL: cancelled */
    sa_family_t family;
};

static void tell(struct resolver_lookup *l, const struct resolver_found *found)
{
    l->call = NULL;
    l->on_found(l, found);
}

static struct ip ip_of(const struct sockaddr *from)
{
    struct ip ip = { 0 };
    if (from->sa_family == AF_INET) {
        ip.bytes[10] = ip.bytes[11] = 0xff;
        memcpy(ip.bytes + 12, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    } else {
        memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
    }
    return ip;
}

/* An alias that holds for a moment leads elsewhere when it is over, however long what it led to holds. */
static uint32_t shortest_ttl(const struct ares_addrinfo *info, sa_family_t family)
{
    int ttl_s = INT32_MAX;
    for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next)
        if (n->ai_family == family && n->ai_ttl < ttl_s) ttl_s = n->ai_ttl;
    for (const struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
        if (c->ttl < ttl_s) ttl_s = c->ttl;
    return ttl_s < 0 ? 0 : (uint32_t)ttl_s;
}

static void tell_addresses(struct resolver_lookup *l, const struct ares_addrinfo *info, sa_family_t family)
{
    struct resolver_found found = { .result = RESOLVER_NO_NAME };
    uint32_t room = 0;
    for (const struct ares_addrinfo_node *n = info->nodes; n && room < RESOLVER_FOUND_MAX; n = n->ai_next)
        room += n->ai_family == family;
    struct ip *addresses = calloc(room + 1, sizeof(*addresses));
    if (!addresses) {
        found.result = RESOLVER_FULL;
        tell(l, &found);
        return;
    }
    for (const struct ares_addrinfo_node *n = info->nodes; n && found.count < room; n = n->ai_next)
        if (n->ai_family == family) addresses[found.count++] = ip_of(n->ai_addr);
    if (found.count) found.result = RESOLVER_OK;
    found.addresses = addresses;
    found.ttl_s = shortest_ttl(info, family);
    tell(l, &found);
    free(addresses);
}

static void on_addrinfo(void *argument, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct resolver_call *call = argument;
    struct resolver_lookup *l = call->lookup;
    sa_family_t family = call->family;
    free(call);
    if (l && status == ARES_SUCCESS) {
        tell_addresses(l, info, family);
    } else if (l && status != ARES_EDESTRUCTION) {
        struct resolver_found none = { .result = resolver_result_of(status) };
        tell(l, &none);
    }
    if (info) ares_freeaddrinfo(info);
}

void resolver_look_up(struct resolver *r, struct resolver_lookup *l, const char *name, sa_family_t family)
{
    struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT, .ai_family = family };
    ares_channel channel = resolver_channel(r);
    struct resolver_call *call = channel ? calloc(1, sizeof(*call)) : NULL;
    if (!call) {
        struct resolver_found none = { .result = RESOLVER_FULL };
        tell(l, &none);
        return;
    }
    *call = (struct resolver_call){ l, family };
    l->call = call;
    ares_getaddrinfo(channel, name, NULL, &hints, on_addrinfo, call);
    resolver_watch(r);
}

static void tell_targets(struct resolver_lookup *l, enum resolver_result result, const struct srv_answer *a)
{
    l->call = NULL;
    l->on_targets(l, result, a);
}

static void on_service(void *argument, int status, int timeouts, unsigned char *message, int len)
{
    (void)timeouts;
    struct resolver_call *call = argument;
    struct resolver_lookup *l = call->lookup;
    free(call);
    if (!l || status == ARES_EDESTRUCTION) return;
    struct srv_answer *a = status == ARES_SUCCESS ? malloc(sizeof(*a)) : NULL;
    enum resolver_result result = resolver_result_of(status);
    if (status == ARES_SUCCESS && !a) result = RESOLVER_FULL;
    if (a && !srv_answer_read(message, (size_t)len, a)) result = RESOLVER_FAILED;
    if (a && result == RESOLVER_OK && !a->count) result = RESOLVER_NO_NAME;
    tell_targets(l, result, a);
    free(a);
}

void resolver_look_up_service(struct resolver *r, struct resolver_lookup *l, const char *name)
{
    ares_channel channel = resolver_channel(r);
    struct resolver_call *call = channel ? calloc(1, sizeof(*call)) : NULL;
    if (!call) {
        tell_targets(l, RESOLVER_FULL, NULL);
        return;
    }
    call->lookup = l;
    l->call = call;
    ares_query(channel, name, 1 /* IN */, 33 /* SRV */, on_service, call);
    resolver_watch(r);
}

void resolver_lookup_cancel(struct resolver_lookup *l)
{
    if (l->call) l->call->lookup = NULL;
    l->call = NULL;
}
