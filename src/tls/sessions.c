#include "tls/sessions.h"

#include <string.h>
#include <time.h>

struct kept {
    SSL_SESSION *session;
    int64_t until_s;
};

struct entry {
    struct list in_bucket, in_latest;
    struct tls_session_key key;
    uint32_t count;
    struct kept kept[TLS_SESSIONS_EACH]; /* the latest last */
};

void tls_sessions_init(struct tls_sessions *s, struct loop *l)
{
    *s = (struct tls_sessions){ .loop = l };
    slab_init(&s->entries, &l->blocks, sizeof(struct entry));
    for (uint32_t i = 0; i < TLS_SESSION_BUCKETS; i++) list_init(&s->buckets[i]);
    list_init(&s->latest);
}

static int64_t now_s(const struct tls_sessions *s)
{
    return (int64_t)(loop_wall_ns(s->loop) / NS_PER_S);
}

static struct list *bucket_of(struct tls_sessions *s, const struct tls_session_key *key)
{
    return &s->buckets[key->low % TLS_SESSION_BUCKETS];
}

static struct entry *find(struct tls_sessions *s, const struct tls_session_key *key)
{
    struct list *bucket = bucket_of(s, key);
    for (struct list *at = bucket->next; at != bucket; at = at->next) {
        struct entry *e = container_of(at, struct entry, in_bucket);
        if (e->key.low == key->low && e->key.high == key->high) return e;
    }
    return NULL;
}

/* The session goes to whoever asked. */
static SSL_SESSION *take_at(struct tls_sessions *s, struct entry *e, uint32_t i)
{
    SSL_SESSION *session = e->kept[i].session;
    memmove(&e->kept[i], &e->kept[i + 1], (e->count - i - 1) * sizeof(e->kept[0]));
    e->count--;
    s->count--;
    block_pool_refund(&s->loop->blocks, TLS_SESSION_BYTES);
    return session;
}

static void drop(struct tls_sessions *s, struct entry *e)
{
    while (e->count) SSL_SESSION_free(take_at(s, e, e->count - 1));
    list_remove(&e->in_bucket);
    list_remove(&e->in_latest);
    slab_put(&s->entries, e);
}

static void drop_oldest(struct tls_sessions *s)
{
    drop(s, container_of(s->latest.prev, struct entry, in_latest));
}

void tls_sessions_fini(struct tls_sessions *s)
{
    if (!s->loop) return;
    while (!list_is_empty(&s->latest)) drop_oldest(s);
    slab_fini(&s->entries);
}

static void touch(struct tls_sessions *s, struct entry *e)
{
    list_remove(&e->in_latest);
    list_push_front(&s->latest, &e->in_latest);
}

SSL_SESSION *tls_sessions_take(struct tls_sessions *s, const struct tls_session_key *key)
{
    struct entry *e = find(s, key);
    SSL_SESSION *found = NULL;
    if (!e) return NULL;
    touch(s, e);
    while (e->count && !found) {
        const struct kept *last = &e->kept[e->count - 1];
        bool is_good = last->until_s > now_s(s) && SSL_SESSION_is_resumable(last->session);
        bool is_for_once = SSL_SESSION_get_protocol_version(last->session) >= TLS1_3_VERSION;
        if (is_good) {
            found = last->session;
            SSL_SESSION_up_ref(found);
        }
        if (!is_good || is_for_once) SSL_SESSION_free(take_at(s, e, e->count - 1));
    }
    if (!e->count) drop(s, e);
    return found;
}

static int64_t end_of(const ASN1_TIME *time)
{
    struct tm tm = { 0 };
    return time && ASN1_TIME_to_tm(time, &tm) ? (int64_t)timegm(&tm) : 0;
}

/* A certificate that has expired is not to be resumed with, either. */
static int64_t until_s(const struct tls_sessions *s, SSL_SESSION *session)
{
    unsigned long said_s = SSL_SESSION_get_ticket_lifetime_hint(session);
    X509 *peer = SSL_SESSION_get0_peer(session);
    int64_t life_s = said_s && said_s < TLS_SESSION_LIFE_S ? (int64_t)said_s : TLS_SESSION_LIFE_S;
    int64_t until = now_s(s) + life_s, end = peer ? end_of(X509_get0_notAfter(peer)) : until;
    return end < until ? end : until;
}

static struct entry *add_entry(struct tls_sessions *s, const struct tls_session_key *key)
{
    struct entry *e = slab_get(&s->entries);
    if (!e) return NULL;
    e->key = *key;
    list_push_front(bucket_of(s, key), &e->in_bucket);
    list_push_front(&s->latest, &e->in_latest);
    return e;
}

bool tls_sessions_keep(struct tls_sessions *s, const struct tls_session_key *key, SSL_SESSION *session)
{
    bool is_for_once = SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
    uint32_t each = is_for_once ? TLS_SESSIONS_EACH : 1;
    if (!SSL_SESSION_is_resumable(session) || !block_pool_charge(&s->loop->blocks, TLS_SESSION_BYTES))
        return false;
    struct entry *e = find(s, key);
    while (e && e->count >= each) SSL_SESSION_free(take_at(s, e, 0));
    if (e) touch(s, e);
    while (s->count >= TLS_SESSIONS_MAX)
        drop_oldest(s); /* `e` is the latest, and may be one of few: not the last */
    if (!e && !(e = add_entry(s, key))) {
        block_pool_refund(&s->loop->blocks, TLS_SESSION_BYTES);
        return false;
    }
    e->kept[e->count++] = (struct kept){ session, until_s(s, session) };
    s->count++;
    return true;
}

void tls_sessions_forget(struct tls_sessions *s, const struct tls_session_key *key)
{
    struct entry *e = find(s, key);
    if (e) drop(s, e);
}
