#define XXH_INLINE_ALL
#include "tls/store.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "tls/server_context.h"
#include "tls/tickets.h"

#define NAME_MAX_BYTES 253u

/* A name of the table; of "*.example.com" it is ".example.com". */
struct named {
    const char *name; /* the certificate's; NULL: a free place */
    uint32_t len;
    struct tls_choice choice;
};

struct tls_store {
    _Atomic uint32_t refs;
    struct tls_certificate *certificates;
    uint32_t count;
    struct named *names; /* a power of two, at most half of them in use */
    uint32_t mask;
    struct tls_choice first; /* of each kind the first */
    bool serves_unknown;
    struct secret_store *secrets;
    struct tls_tickets *tickets; /* NULL: the process's */
    SSL_CTX *context;
};

/* Where it is, or would be. */
static struct named *place_of(const struct tls_store *s, struct slice name)
{
    uint64_t at = XXH3_64bits(name.data, name.len);
    for (;; at++) {
        struct named *n = &s->names[at & s->mask];
        if (!n->name || (n->len == name.len && memcmp(n->name, name.data, name.len) == 0)) return n;
    }
}

/* A name that several certificates of a kind have is the first one's. */
static void add_names(struct tls_store *s, struct tls_certificate *c)
{
    const char *at = c->names;
    for (uint32_t i = 0; i < c->name_count; i++, at += strlen(at) + 1) {
        struct slice name = slice_of(at[0] == '*' ? at + 1 : at);
        struct named *n = place_of(s, name);
        n->name = name.data;
        n->len = (uint32_t)name.len;
        if (!n->choice.by_kind[c->kind]) n->choice.by_kind[c->kind] = c;
    }
    if (!s->first.by_kind[c->kind]) s->first.by_kind[c->kind] = c;
}

static int make_table(struct tls_store *s)
{
    uint64_t names = 1;
    for (uint32_t i = 0; i < s->count; i++) names += s->certificates[i].name_count;
    uint64_t places = 4;
    while (places < 2 * names) places *= 2;
    s->names = calloc(places, sizeof(*s->names));
    if (!s->names) return -1;
    s->mask = (uint32_t)(places - 1);
    for (uint32_t i = 0; i < s->count; i++) add_names(s, &s->certificates[i]);
    return 0;
}

struct reading {
    struct tls_store *store;
    const struct tls_conf *conf;
    void (*on_fault)(void *context, const struct tls_store_fault *);
    void *context;
    uint32_t fault_count;
};

static void tell(struct reading *r, const struct tls_store_fault *fault)
{
    r->fault_count++;
    r->on_fault(r->context, fault);
}

static void read_certificates(struct reading *r)
{
    struct tls_store *s = r->store;
    const struct tls_certificate_conf *confs = r->conf->certificates.data;
    for (uint32_t i = 0; i < r->conf->certificates.count; i++) {
        struct tls_store_fault fault = { .certificate = i, .is_certificate = true };
        struct tls_certificate *c = &s->certificates[s->count];
        if (tls_certificate_read(c, confs[i].cert, confs[i].key, s->secrets, &fault.err) == 0)
            s->count++;
        else
            tell(r, &fault);
    }
}

/* What is besides the certificates. */
static void read_rest(struct reading *r)
{
    struct tls_store *s = r->store;
    struct tls_store_fault fault = { .key = "ticket_keys" };
    if (r->conf->ticket_keys && tls_tickets_read(&s->tickets, r->conf->ticket_keys, &fault.err) < 0)
        tell(r, &fault);
    fault.key = NULL;
    if (make_table(s) < 0) {
        err_set(&fault.err, "out of memory for certificates");
        tell(r, &fault);
    }
    if (tls_server_context_new(&s->context, r->conf, &fault.key, &fault.err) < 0) tell(r, &fault);
}

struct tls_store *tls_store_new(const struct tls_conf *conf,
                                void (*on_fault)(void *context, const struct tls_store_fault *),
                                void *context)
{
    struct tls_store *s = calloc(1, sizeof(*s));
    struct reading r = { .store = s, .conf = conf, .on_fault = on_fault, .context = context };
    if (!s) abort();
    atomic_init(&s->refs, 1);
    s->serves_unknown = conf->unknown_name == TLS_UNKNOWN_FIRST;
    s->certificates = calloc(conf->certificates.count + 1, sizeof(*s->certificates));
    s->secrets = secret_store_new();
    if (!s->certificates) abort();
    read_certificates(&r);
    read_rest(&r);
    if (!r.fault_count) return s;
    tls_store_put(s);
    return NULL;
}

struct tls_store *tls_store_get(struct tls_store *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void tls_store_put(struct tls_store *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    SSL_CTX_free(s->context);
    tls_tickets_free(s->tickets);
    for (uint32_t i = 0; i < s->count; i++) tls_certificate_fini(&s->certificates[i]);
    free(s->certificates);
    free(s->names);
    secret_store_free(s->secrets);
    free(s);
}

const struct tls_choice *tls_store_find(const struct tls_store *s, struct slice name)
{
    char folded[NAME_MAX_BYTES];
    if (!name.len) return &s->first;
    if (name.len > sizeof(folded)) return NULL;
    size_t dot = name.len;
    for (size_t i = 0; i < name.len; i++) {
        folded[i] = (char)tolower((unsigned char)name.data[i]);
        if (folded[i] == '.' && dot == name.len) dot = i;
    }
    /* One that begins with a dot would be taken for a wildcard's. */
    if (dot == 0) return NULL;
    const struct named *n = place_of(s, (struct slice){ folded, name.len });
    /* A wildcard stands for one whole label, the leftmost (RFC 9525 6.3). */
    if (!n->name && dot < name.len) n = place_of(s, (struct slice){ folded + dot, name.len - dot });
    return n->name ? &n->choice : NULL;
}

uint32_t tls_store_count(const struct tls_store *s)
{
    return s->count;
}

const struct tls_certificate *tls_store_certificate(const struct tls_store *s, uint32_t n)
{
    return &s->certificates[n];
}

SSL_CTX *tls_store_context(const struct tls_store *s)
{
    return s->context;
}

bool tls_store_serves_unknown(const struct tls_store *s)
{
    return s->serves_unknown;
}

struct tls_tickets *tls_store_tickets(const struct tls_store *s)
{
    return s->tickets;
}

struct tls_slot {
    pthread_mutex_t lock; /* held for a few instructions, once a connection */
    struct tls_store *store;
};

struct tls_slot *tls_slot_new(struct tls_store *store)
{
    struct tls_slot *slot = calloc(1, sizeof(*slot));
    if (!slot) abort();
    pthread_mutex_init(&slot->lock, NULL);
    slot->store = store;
    return slot;
}

void tls_slot_free(struct tls_slot *slot)
{
    tls_store_put(slot->store);
    pthread_mutex_destroy(&slot->lock);
    free(slot);
}

struct tls_store *tls_slot_get(struct tls_slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    struct tls_store *store = tls_store_get(slot->store);
    pthread_mutex_unlock(&slot->lock);
    return store;
}

void tls_slot_set(struct tls_slot *slot, struct tls_store *store)
{
    pthread_mutex_lock(&slot->lock);
    struct tls_store *before = slot->store;
    slot->store = store;
    pthread_mutex_unlock(&slot->lock);
    tls_store_put(before);
}
