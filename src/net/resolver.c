#define XXH_INLINE_ALL
#include <xxhash.h>

#include "net/resolver_channel.h"

#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* c-ares opens one UDP socket a server and may add one for TCP. */
#define SOCKETS_MAX 16u
/* How often in one turn it may be given the same socket: what then is still unread comes in the next turn. */
#define READS_A_TURN 16u

/* A name, asked for or answered. */
struct name {
    struct list link;    /* of resolver->waiting or ->kept, the latest used first */
    struct name *next;   /* in its bucket */
    struct list queries; /* of resolver_query: those who wait */
    struct resolver *resolver;
    uint64_t hash, expires_ms;
    bool is_waiting;
    sa_family_t family; /* the same name with the other one is another */
    struct resolver_answer answer;
    uint8_t len;
    char text[RESOLVER_NAME_MAX + 1];
};

struct socket {
    struct loop_fd io; /* fd is -1: free */
    struct resolver *resolver;
};

struct resolver {
    struct loop *loop;
    const struct resolver_conf *conf;
    ares_channel channel; /* NULL until somebody asks */
    bool is_open, is_closing;
    struct timer timer;
    struct loop_task more; /* a socket may hold more than was read */
    struct socket sockets[SOCKETS_MAX];
    struct list waiting, kept;
    uint32_t count, bucket_mask;
    struct name **buckets;
};

const char *resolver_result_text(enum resolver_result result, sa_family_t family)
{
    static const char *const texts[] = {
        [RESOLVER_OK] = "the name is resolved",
        [RESOLVER_NO_NAME] = "the name does not exist or has no IPv4 address",
        [RESOLVER_FAILED] = "the name servers gave no usable answer",
        [RESOLVER_TIMEOUT] = "the name servers did not answer in time",
        [RESOLVER_FULL] = "too many names are being resolved",
    };
    if (result == RESOLVER_NO_NAME && family == AF_INET6)
        return "the name does not exist or has no IPv6 address";
    return texts[result];
}

/* names */

static struct name **bucket_of(struct resolver *r, uint64_t hash)
{
    return &r->buckets[hash & r->bucket_mask];
}

static struct name *find(struct resolver *r, struct slice name, sa_family_t family, uint64_t hash)
{
    for (struct name *n = *bucket_of(r, hash); n; n = n->next)
        if (n->hash == hash && n->family == family && slice_equal((struct slice){ n->text, n->len }, name))
            return n;
    return NULL;
}

static void forget(struct name *n)
{
    struct resolver *r = n->resolver;
    struct name **at = bucket_of(r, n->hash);
    while (*at != n) at = &(*at)->next;
    *at = n->next;
    list_remove(&n->link);
    r->count--;
    free(n);
}

/* Room for one more: the answer that was used longest ago makes way. NULL: all are being asked for. */
static struct name *add(struct resolver *r, struct slice name, sa_family_t family, uint64_t hash)
{
    if (r->count >= r->conf->names) {
        if (list_is_empty(&r->kept)) return NULL;
        forget(container_of(r->kept.prev, struct name, link));
    }
    struct name *n = calloc(1, sizeof(*n));
    if (!n) return NULL;
    n->resolver = r;
    n->hash = hash;
    n->family = family;
    n->len = (uint8_t)name.len;
    memcpy(n->text, name.data, name.len);
    list_init(&n->queries);
    list_push_front(&r->waiting, &n->link);
    n->next = *bucket_of(r, hash);
    *bucket_of(r, hash) = n;
    n->is_waiting = true;
    r->count++;
    return n;
}

/* In lower case, without the last dot; 0: no host has such a name (RFC 1123 2.1, and underscores). */
static size_t fold(struct slice name, char out[RESOLVER_NAME_MAX + 1])
{
    size_t label = 0;
    if (name.len && name.data[name.len - 1] == '.') name.len--;
    if (name.len > RESOLVER_NAME_MAX) return 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        c = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
        bool is_dot = c == '.';
        if (is_dot ? !label : !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return 0;
        label = is_dot ? 0 : label + 1;
        if (label > 63) return 0;
        out[i] = c;
    }
    out[name.len] = 0;
    return name.len;
}

/* answers */

static void add_address(struct resolver_answer *a, const struct sockaddr *from)
{
    struct ip ip = { 0 };
    if (a->count == RESOLVER_ADDRESSES_MAX) return;
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)from;
        ip.bytes[10] = ip.bytes[11] = 0xff;
        memcpy(ip.bytes + 12, &in4->sin_addr, 4);
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(ip.bytes, &in6->sin6_addr, 16);
    }
    a->addresses[a->count++] = ip;
}

/* As they came. The shortest TTL counts. */
static int fill(struct resolver_answer *a, const struct ares_addrinfo *info, sa_family_t family)
{
    int ttl_s = INT32_MAX;
    for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
        if (n->ai_family != family) continue;
        add_address(a, n->ai_addr);
        if (n->ai_ttl < ttl_s) ttl_s = n->ai_ttl;
    }
    a->result = a->count ? RESOLVER_OK : RESOLVER_NO_NAME;
    return ttl_s < 0 ? 0 : ttl_s;
}

enum resolver_result resolver_result_of(int status)
{
    switch (status) {
    case ARES_SUCCESS: return RESOLVER_OK;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME: return RESOLVER_NO_NAME;
    case ARES_ETIMEOUT: return RESOLVER_TIMEOUT;
    case ARES_ENOMEM: return RESOLVER_FULL;
    default: return RESOLVER_FAILED;
    }
}

static uint64_t lifetime_ms(const struct resolver_conf *conf, const struct resolver_answer *a, int ttl_s)
{
    if (a->result != RESOLVER_OK) return conf->failure_ttl_ms;
    uint64_t ms = (uint64_t)ttl_s * 1000;
    if (ms < conf->min_ttl_ms) return conf->min_ttl_ms;
    return ms > conf->max_ttl_ms ? conf->max_ttl_ms : ms;
}

/* Whoever is told may ask again, or cancel others. The answer stands on the stack: the name may be forgotten meanwhile. */
static void tell(struct name *n)
{
    struct resolver_answer answer = n->answer;
    struct list told;
    list_init(&told);
    struct list *first;
    while ((first = list_pop_front(&n->queries))) list_push_back(&told, first);
    while ((first = list_pop_front(&told))) {
        struct resolver_query *q = container_of(first, struct resolver_query, link);
        q->on_answer(q, &answer);
    }
}

static void on_addrinfo(void *argument, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct name *n = argument;
    struct resolver *r = n->resolver;
    int ttl_s = 0;
    n->answer = (struct resolver_answer){ .result = resolver_result_of(status) };
    if (status == ARES_SUCCESS) ttl_s = fill(&n->answer, info, n->family);
    if (info) ares_freeaddrinfo(info);
    n->is_waiting = false;
    n->expires_ms = loop_now_ms(r->loop) + lifetime_ms(r->conf, &n->answer, ttl_s);
    list_remove(&n->link);
    list_push_front(&r->kept, &n->link);
    if (!r->is_closing) tell(n);
}

/* c-ares on the loop */

static void arm(struct resolver *r)
{
    struct timeval tv;
    if (!r->is_open || !ares_timeout(r->channel, NULL, &tv)) {
        loop_disarm(r->loop, &r->timer);
        return;
    }
    loop_arm(r->loop, &r->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
}

static void on_timer(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, timer);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm(r);
}

/* An edge is told once, and of a TCP stream c-ares takes one message at a time: as long as there is more, again. */
static void process(struct socket *s)
{
    struct resolver *r = s->resolver;
    for (unsigned i = 0; i < READS_A_TURN && s->io.fd >= 0; i++) {
        struct pollfd p = { .fd = s->io.fd, .events = POLLIN | POLLOUT };
        if (poll(&p, 1, 0) <= 0) break;
        ares_socket_t readable = p.revents & (POLLIN | POLLHUP | POLLERR) ? s->io.fd : ARES_SOCKET_BAD;
        /* A UDP socket is always writable: that alone is nothing to do. */
        if (readable == ARES_SOCKET_BAD && i) break;
        ares_process_fd(r->channel, readable, p.revents & POLLOUT ? s->io.fd : ARES_SOCKET_BAD);
        if (i + 1 == READS_A_TURN) loop_defer(r->loop, &r->more);
    }
    arm(r);
}

static void on_more(struct loop_task *t)
{
    struct resolver *r = container_of(t, struct resolver, more);
    for (unsigned i = 0; i < SOCKETS_MAX; i++)
        if (r->sockets[i].io.fd >= 0) process(&r->sockets[i]);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    process(container_of(f, struct socket, io));
}

static struct socket *socket_of(struct resolver *r, int fd)
{
    for (unsigned i = 0; i < SOCKETS_MAX; i++)
        if (r->sockets[i].io.fd == fd) return &r->sockets[i];
    return NULL;
}

/* c-ares wants to hear of a socket, or is about to close it. */
static void on_socket(void *argument, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = argument;
    struct socket *s = socket_of(r, fd);
    if (!readable && !writable) {
        if (!s) return;
        loop_fd_forget(r->loop, &s->io);
        s->io.fd = -1;
        return;
    }
    if (s || !(s = socket_of(r, -1))) return; /* without a seat its query times out */
    s->io = (struct loop_fd){ .fd = fd, .on_ready = on_ready };
    if (loop_fd_register(r->loop, &s->io, EPOLLIN | EPOLLOUT) < 0) s->io.fd = -1;
}

/* "127.0.0.1:53,[::1]:53" */
static int set_servers(struct resolver *r)
{
    char text[16 * ADDRESS_TEXT_MAX];
    struct text t = text_over(text, sizeof(text));
    const struct address *servers = r->conf->servers.data;
    for (uint32_t i = 0; i < r->conf->servers.count; i++) {
        char printed[ADDRESS_TEXT_MAX];
        if (i) text_add_char(&t, ',');
        text_add_slice(&t, slice_of(address_print(&servers[i], printed)));
    }
    if (!t.len) return ARES_SUCCESS;
    return ares_set_servers_ports_csv(r->channel, text_cstr(&t));
}

/* Not before somebody asks: it costs memory that most weirs never need. */
static bool open_channel(struct resolver *r)
{
    struct ares_options o = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = (int)r->conf->timeout_ms,
        .tries = (int)r->conf->attempts,
        .lookups = (char[]){ "b" }, /* DNS alone: /etc/hosts would be a file to wait for */
        .sock_state_cb = on_socket,
        .sock_state_cb_data = r,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB;
    if (r->is_open) return true;
    if (ares_init_options(&r->channel, &o, mask) != ARES_SUCCESS) return false;
    if (set_servers(r) == ARES_SUCCESS) {
        r->is_open = true;
        return true;
    }
    ares_destroy(r->channel);
    return false;
}

ares_channel resolver_channel(struct resolver *r)
{
    return open_channel(r) ? r->channel : NULL;
}

void resolver_watch(struct resolver *r)
{
    arm(r);
}

/* the resolver */

int resolver_new(struct resolver **out, struct loop *l, const struct resolver_conf *conf, struct err *err)
{
    struct resolver *r = calloc(1, sizeof(*r));
    uint32_t buckets = 16;
    while (buckets < conf->names) buckets *= 2;
    if (r) r->buckets = calloc(buckets, sizeof(struct name *));
    if (!r || !r->buckets) {
        free(r);
        return err_set(err, "out of memory for resolving names");
    }
    r->loop = l;
    r->conf = conf;
    r->bucket_mask = buckets - 1;
    list_init(&r->waiting);
    list_init(&r->kept);
    timer_init(&r->timer, on_timer);
    loop_task_init(&r->more, on_more);
    for (unsigned i = 0; i < SOCKETS_MAX; i++) r->sockets[i] = (struct socket){ .io.fd = -1, .resolver = r };
    *out = r;
    return 0;
}

void resolver_free(struct resolver *r)
{
    if (!r) return;
    r->is_closing = true;
    loop_disarm(r->loop, &r->timer);
    loop_cancel(&r->more);
    if (r->is_open) ares_destroy(r->channel);
    while (!list_is_empty(&r->waiting)) forget(container_of(r->waiting.next, struct name, link));
    while (!list_is_empty(&r->kept)) forget(container_of(r->kept.next, struct name, link));
    free(r->buckets);
    free(r);
}

static bool answer_at_once(struct slice name, sa_family_t family, struct resolver_answer *answer)
{
    static const struct ip loopbacks[] = { { .bytes = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 } },
                                           { .bytes = { [15] = 1 } } };
    struct ip ip;
    if (ip_parse(name, &ip)) {
        *answer = (struct resolver_answer){ .result = RESOLVER_OK, .count = 1, .addresses = { ip } };
        return true;
    }
    if (!slice_equal_fold(name, SLICE("localhost"))) return false; /* RFC 6761 6.3 */
    *answer = (struct resolver_answer){ .result = RESOLVER_OK,
                                        .count = 1,
                                        .addresses = { loopbacks[family == AF_INET6] } };
    return true;
}

static bool fail_at_once(struct resolver_answer *answer, enum resolver_result result)
{
    *answer = (struct resolver_answer){ .result = result };
    return true;
}

static void ask(struct resolver *r, struct name *n)
{
    struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT, .ai_family = n->family };
    ares_getaddrinfo(r->channel, n->text, NULL, &hints, on_addrinfo, n);
    arm(r);
}

bool resolver_ask(struct resolver *r, struct slice name, sa_family_t family, struct resolver_query *q,
                  struct resolver_answer *answer)
{
    char folded[RESOLVER_NAME_MAX + 1];
    list_init(&q->link);
    if (answer_at_once(name, family, answer)) return true;
    size_t len = fold(name, folded);
    if (!len) return fail_at_once(answer, RESOLVER_NO_NAME);
    struct slice key = { folded, len };
    uint64_t hash = XXH3_64bits_withSeed(folded, len, family);
    struct name *n = find(r, key, family, hash);
    if (n && !n->is_waiting && loop_now_ms(r->loop) >= n->expires_ms) {
        forget(n);
        n = NULL;
    }
    if (!n) {
        if (!open_channel(r) || !(n = add(r, key, family, hash))) return fail_at_once(answer, RESOLVER_FULL);
        ask(r, n); /* may be answered before it returns */
    }
    if (n->is_waiting) {
        list_push_back(&n->queries, &q->link);
        return false;
    }
    list_remove(&n->link);
    list_push_front(&r->kept, &n->link);
    *answer = n->answer;
    return true;
}

void resolver_cancel(struct resolver_query *q)
{
    if (q->link.next) list_remove(&q->link);
}

void resolver_reach(const struct resolver *r, uint64_t *timers, uint64_t *descriptors)
{
    *timers += timer_is_armed(&r->timer);
    for (uint32_t i = 0; i < SOCKETS_MAX; i++) *descriptors += r->sockets[i].io.fd >= 0;
}
