#define XXH_INLINE_ALL
#include "tls/store.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/refs.h"
#include "tls/server_context.h"
#include "tls/staple.h"
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
    struct tls_certificate **certificates;
    uint32_t count;
    struct named *names; /* a power of two, at most half of them in use */
    uint32_t mask;
    struct tls_choice first; /* of each kind the first */
    bool serves_unknown;
    struct tls_tickets *tickets; /* NULL: the process's */
    SSL_CTX *context;
    struct file_stamp tickets_stamp, ca_stamp;
    uint64_t stamp;  /* of all files, those at fault as well */
    int64_t again_s; /* tls_store_again() */
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
    for (uint32_t i = 0; i < s->count; i++) {
        const struct tls_certificate *c = s->certificates[i];
        if (c) names += c->name_count;
    }
    uint64_t places = 4;
    while (places < 2 * names) places *= 2;
    s->names = calloc(places, sizeof(*s->names));
    if (!s->names) return -1;
    s->mask = (uint32_t)(places - 1);
    for (uint32_t i = 0; i < s->count; i++)
        if (s->certificates[i]) add_names(s, s->certificates[i]);
    return 0;
}

/* reading */

/* Of each certificate: the pair, and what its issuer says. */
#define CERTIFICATE_FILES (TLS_CERTIFICATE_FILES + 1)

/* Files of a store: those of each certificate, then the keys of tickets and the CA of clients. */
static uint32_t count_files(const struct tls_conf *conf)
{
    return CERTIFICATE_FILES * conf->certificates.count + 2;
}

struct reading {
    struct tls_store *store;
    struct tls_store *before; /* NULL: there is none, and a mistake refuses all of it */
    const struct tls_conf *conf;
    const struct tls_store_asked *asked;
    struct file_stamp *stamps;
    uint32_t fault_count;
};

static void tell(struct reading *r, const struct tls_store_fault *fault)
{
    r->fault_count++;
    r->asked->on_fault(r->asked->context, fault);
}

static void note_again(struct reading *r, int64_t from_s)
{
    int64_t *again_s = &r->store->again_s;
    if (!*again_s || from_s < *again_s) *again_s = from_s;
}

/* 0: of a moment that may not be over. */
static uint64_t sum_of(const struct file_stamp *stamps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (stamps[i].is_fresh) return 0;
    return XXH3_64bits(stamps, count * sizeof(*stamps)) | 1;
}

static bool is_unchanged(const struct reading *r, const struct file_stamp *read, const char *path)
{
    struct file_stamp now = file_stamp_take(path);
    return !r->asked->reads_all && file_stamp_is_same(read, &now);
}

/* One that clients refuse takes the place of none that they take. */
static bool is_of_now(struct reading *r, const struct tls_certificate *c,
                      const struct tls_certificate *before, const char *path, struct err *err)
{
    char date[16];
    enum tls_age age = tls_certificate_age(c, r->asked->now_s);
    enum tls_age age_before = tls_certificate_age(before, r->asked->now_s);
    if (age == TLS_AGE_GOOD || age == TLS_AGE_ENDING) return true;
    if (age_before == TLS_AGE_EXPIRED || age_before == TLS_AGE_FUTURE) return true;
    if (age == TLS_AGE_EXPIRED) {
        err_set(err, "the certificate in %s expired on %s, and the one that is served has not", path,
                tls_date_print(c->not_after, date));
    } else {
        note_again(r, c->not_before);
        err_set(err, "the certificate in %s is not valid before %s, and the one that is served is", path,
                tls_date_print(c->not_before, date));
    }
    return false;
}

/* While weir starts one that has expired is not shown, and no reason not to start. */
static bool is_of_use(const struct reading *r, const struct tls_staple *s, const char *path, struct err *err)
{
    char date[16];
    if (!r->before || s->until > r->asked->now_s) return true;
    err_set(err, "the OCSP response in %s expired on %s; fetch a new one", path,
            tls_date_print(s->until, date));
    return false;
}

/* Beside a pair that is new or as it was. With a mistake in it what is served stays, if it is of the same certificate; of
 * another's renewal it may be the part that is still to come. */
static void read_staple(struct reading *r, uint32_t i, struct tls_certificate *c,
                        const struct tls_certificate *before, struct file_stamp *stamp)
{
    const char *path = ((const struct tls_certificate_conf *)r->conf->certificates.data + i)->ocsp;
    struct tls_store_fault fault = { .certificate = i, .is_certificate = true, .key = "ocsp" };
    if (!path) return;
    struct tls_staple *staple = NULL;
    int64_t from_s;
    if (tls_staple_read(&staple, path, c, r->asked->now_s, stamp, &from_s, &fault.err) == 0 &&
        is_of_use(r, staple, path, &fault.err)) {
        c->staple = staple;
        c->staple_stamp = *stamp;
        return;
    }
    tls_staple_put(staple);
    if (from_s) note_again(r, from_s);
    if (before && tls_certificate_is_same(before, c)) c->staple = tls_staple_get(before->staple);
    tell(r, &fault);
}

/* It is still to be issued: that is no mistake, but nothing that was served is let go of for it. */
static bool is_to_come(const struct tls_certificate_conf *conf, struct file_stamp *stamps)
{
    stamps[0] = stamps[1] = file_stamp_take(tls_certificate_conf_cert(conf));
    return conf->file && !stamps[0].inode;
}

/* With a mistake in it, the one before stays. */
static struct tls_certificate *read_one(struct reading *r, uint32_t i, struct file_stamp *stamps)
{
    const struct tls_certificate_conf *conf =
        (const struct tls_certificate_conf *)r->conf->certificates.data + i;
    struct tls_store_fault fault = { .certificate = i, .is_certificate = true };
    struct tls_certificate *before = r->before ? r->before->certificates[i] : NULL, *c = NULL;
    const char *cert = tls_certificate_conf_cert(conf), *key = tls_certificate_conf_key(conf);
    if (is_to_come(conf, stamps)) return before ? tls_certificate_get(before) : NULL;
    if (before && is_unchanged(r, &before->cert_stamp, cert) && is_unchanged(r, &before->key_stamp, key) &&
        (!conf->ocsp || is_unchanged(r, &before->staple_stamp, conf->ocsp))) {
        stamps[0] = before->cert_stamp;
        stamps[1] = before->key_stamp;
        stamps[TLS_CERTIFICATE_FILES] = before->staple_stamp;
        return tls_certificate_get(before);
    }
    if (tls_certificate_read(&c, cert, key, stamps, &fault.err) == 0) {
        c->since_s = before && tls_certificate_is_same(before, c) ? before->since_s : r->asked->now_s;
        if (!before || is_of_now(r, c, before, cert, &fault.err)) {
            read_staple(r, i, c, before, &stamps[TLS_CERTIFICATE_FILES]);
            return c;
        }
    }
    tls_certificate_put(c);
    tell(r, &fault);
    return before ? tls_certificate_get(before) : NULL;
}

static void read_certificates(struct reading *r)
{
    struct tls_store *s = r->store;
    /* In their order, with a place for each, also where there is none. */
    s->count = r->conf->certificates.count;
    for (uint32_t i = 0; i < s->count; i++)
        s->certificates[i] = read_one(r, i, &r->stamps[CERTIFICATE_FILES * i]);
}

static void read_tickets(struct reading *r, struct file_stamp *stamp)
{
    struct tls_store *s = r->store;
    struct tls_store_fault fault = { .key = "ticket_keys" };
    const char *path = r->conf->ticket_keys;
    if (!path) return;
    if (r->before && is_unchanged(r, &r->before->tickets_stamp, path)) {
        *stamp = r->before->tickets_stamp;
    } else if (tls_tickets_read(&s->tickets, path, stamp, &fault.err) < 0) {
        tell(r, &fault);
    }
    if (!s->tickets && r->before) s->tickets = tls_tickets_get(r->before->tickets);
    s->tickets_stamp = *stamp;
}

static int make_context(struct reading *r, struct file_stamp *stamp, struct tls_store_fault *fault)
{
    struct small_file ca = { 0 };
    const char *path = r->conf->client ? r->conf->client->ca : NULL;
    fault->key = path ? "client" : NULL;
    if (path && small_file_read(&ca, path, stamp, &fault->err) < 0) return -1;
    int result = tls_server_context_new(&r->store->context, r->conf, &ca, &fault->key, &fault->err);
    small_file_wipe(&ca);
    return result;
}

/* What clients are asked for; it is OpenSSL's to keep, and what else a context has does not change. */
static void read_context(struct reading *r, struct file_stamp *stamp)
{
    struct tls_store *s = r->store;
    struct tls_store_fault fault = { .key = NULL };
    if (r->before && (!r->conf->client || is_unchanged(r, &r->before->ca_stamp, r->conf->client->ca)))
        *stamp = r->before->ca_stamp;
    else if (make_context(r, stamp, &fault) < 0)
        tell(r, &fault);
    if (!s->context && r->before) {
        s->context = r->before->context;
        SSL_CTX_up_ref(s->context);
    }
    s->ca_stamp = *stamp;
}

static struct tls_store *without_memory(const struct tls_store_asked *asked)
{
    struct tls_store_fault fault = { .key = NULL };
    err_set(&fault.err, "there is no memory for its certificates");
    asked->on_fault(asked->context, &fault);
    return NULL;
}

static struct tls_store *read_store(const struct tls_conf *conf, struct tls_store *before,
                                    const struct tls_store_asked *asked)
{
    struct tls_store *s = calloc(1, sizeof(*s));
    uint32_t files = count_files(conf);
    struct reading r = { .store = s, .before = before, .conf = conf, .asked = asked };
    r.stamps = calloc(files, sizeof(*r.stamps));
    if (s) s->certificates = calloc(conf->certificates.count + 1, sizeof(struct tls_certificate *));
    if (!s || !r.stamps || !s->certificates) {
        if (s) free(s->certificates);
        free(s);
        free(r.stamps);
        return without_memory(asked);
    }
    atomic_init(&s->refs, 1);
    s->serves_unknown = conf->unknown_name == TLS_UNKNOWN_FIRST;
    read_certificates(&r);
    read_tickets(&r, &r.stamps[files - 2]);
    read_context(&r, &r.stamps[files - 1]);
    bool has_table = make_table(s) == 0;
    s->stamp = sum_of(r.stamps, files);
    free(r.stamps);
    if (has_table && (before || !r.fault_count)) return s;
    tls_store_put(s);
    return has_table ? NULL : without_memory(asked);
}

struct tls_store *tls_store_new(const struct tls_conf *conf, const struct tls_store_asked *asked)
{
    return read_store(conf, NULL, asked);
}

struct tls_store *tls_store_renew(struct tls_store *before, const struct tls_conf *conf,
                                  const struct tls_store_asked *asked)
{
    return read_store(conf, before, asked);
}

struct tls_store *tls_store_of(struct tls_certificate *c)
{
    struct tls_store *s = calloc(1, sizeof(*s));
    if (s && (s->certificates = calloc(1, sizeof(struct tls_certificate *)))) {
        atomic_init(&s->refs, 1);
        s->certificates[s->count++] = c;
        if (make_table(s) == 0) return s;
        tls_store_put(s);
        return NULL;
    }
    free(s);
    tls_certificate_put(c);
    return NULL;
}

uint64_t tls_store_stamp(const struct tls_store *s)
{
    return s->stamp;
}

int64_t tls_store_again(const struct tls_store *s)
{
    return s->again_s;
}

void tls_conf_each_file(const struct tls_conf *conf, void (*each)(void *context, const char *path),
                        void *context)
{
    const struct tls_certificate_conf *c = conf->certificates.data;
    for (uint32_t i = 0; i < conf->certificates.count; i++) {
        each(context, tls_certificate_conf_cert(&c[i]));
        each(context, tls_certificate_conf_key(&c[i]));
        each(context, c[i].ocsp);
    }
    each(context, conf->ticket_keys);
    each(context, conf->client ? conf->client->ca : NULL);
}

struct stamping {
    struct file_stamp *stamps;
    uint32_t count;
};

static void stamp_file(void *context, const char *path)
{
    struct stamping *s = context;
    struct file_stamp *stamp = &s->stamps[s->count++];
    if (path) *stamp = file_stamp_take(path);
    stamp->is_fresh = false;
}

uint64_t tls_conf_stamp(const struct tls_conf *conf)
{
    struct stamping s = { .stamps = calloc(count_files(conf), sizeof(struct file_stamp)) };
    if (!s.stamps) return 0;
    tls_conf_each_file(conf, stamp_file, &s);
    uint64_t sum = sum_of(s.stamps, s.count);
    free(s.stamps);
    return sum;
}

struct tls_store *tls_store_get(struct tls_store *s)
{
    refs_get(TLS, &s->refs);
    return s;
}

void tls_store_put(struct tls_store *s)
{
    if (!s || !refs_put(TLS, &s->refs)) return;
    SSL_CTX_free(s->context);
    tls_tickets_put(s->tickets);
    for (uint32_t i = 0; i < s->count; i++) tls_certificate_put(s->certificates[i]);
    free(s->certificates);
    free(s->names);
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
    return s->certificates[n];
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
    if (!slot) return NULL;
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
