#include "pool/sticky.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "pool/pool.h"
#include "pool/sticky_conf.h"

#define VALUE_BYTES 16
#define VALUE_DIGITS (2 * VALUE_BYTES)

/* A cookie's value: the first 128 bits of the MAC, big-endian. */
struct value {
    uint64_t high, low;
};

struct entry {
    struct value value;
    struct server *server; /* NULL: free */
    bool is_current;
};

struct cookie {
    const struct server *server; /* NULL: free */
    struct slice text;           /* in sticky->text */
};

struct sticky {
    const struct sticky_conf *conf;
    struct entry *entries; /* open addressing, at most half full */
    uint32_t mask;
    struct cookie *cookies; /* likewise, by server */
    uint32_t cookie_mask;
    struct text text; /* theirs */
};

static uint64_t read_u64(const unsigned char *bytes)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++) n = n << 8 | bytes[i];
    return n;
}

/* Names end with a zero byte, so that no two pairs of them look alike. */
static int sign(const char *secret, const char *pool, const char *server, struct value *out)
{
    char message[512];
    struct text t = text_over(message, sizeof(message));
    text_add(&t, "weir sticky", sizeof("weir sticky"));
    text_add(&t, pool, strlen(pool) + 1);
    text_add(&t, server, strlen(server) + 1);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (t.is_cut ||
        !HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)t.data, t.len, mac, &len))
        return -1;
    *out = (struct value){ read_u64(mac), read_u64(mac + 8) };
    return 0;
}

/* Takes as long for a value that nearly fits as for any other. */
static bool is_same(struct value a, struct value b)
{
    return ((a.high ^ b.high) | (a.low ^ b.low)) == 0;
}

/* The value's own entry, or the free one where it would stand. */
static struct entry *find(const struct sticky *s, struct value value)
{
    uint32_t i = (uint32_t)value.low & s->mask;
    while (s->entries[i].server && !is_same(s->entries[i].value, value)) i = (i + 1) & s->mask;
    return &s->entries[i];
}

/* The server's own place, or the free one where it would be. */
static struct cookie *find_cookie(const struct sticky *s, const struct server *server)
{
    uint32_t i = server->id * UINT32_C(0x9e3779b1) & s->cookie_mask;
    while (s->cookies[i].server && s->cookies[i].server != server) i = (i + 1) & s->cookie_mask;
    return &s->cookies[i];
}

static void write_cookie(struct sticky *s, const struct server *server, struct value value)
{
    static const char *const same_sites[] = { "Lax", "Strict", "None" };
    const struct sticky_conf *conf = s->conf;
    struct text *t = &s->text;
    size_t begin = t->len;
    text_printf(t, "%s=", conf->cookie);
    text_add_hex(t, value.high, 16);
    text_add_hex(t, value.low, 16);
    text_printf(t, "; Path=%s", conf->path);
    if (conf->domain) text_printf(t, "; Domain=%s", conf->domain);
    if (conf->max_age_ms) text_printf(t, "; Max-Age=%llu", (unsigned long long)(conf->max_age_ms / 1000));
    text_printf(t, "; HttpOnly; SameSite=%s%s", same_sites[conf->same_site],
                conf->is_secure ? "; Secure" : "");
    *find_cookie(s, server) = (struct cookie){ server, { t->data + begin, t->len - begin } };
}

static int add_server(struct sticky *s, struct server *server, struct err *err)
{
    const char *pool = server->pool->name;
    const char *const *secrets = s->conf->secrets.data;
    for (uint32_t i = 0; i < s->conf->secrets.count; i++) {
        struct value value;
        if (sign(secrets[i], pool, server->name, &value) < 0)
            return err_set(
                err,
                "there is no memory for the sticky cookies of pool \"%s\", or libcrypto cannot compute them",
                pool);
        if (i == 0) write_cookie(s, server, value);
        struct entry *e = find(s, value);
        if (!e->server) *e = (struct entry){ value, server, i == 0 }; /* else the same secret twice */
    }
    return 0;
}

static uint32_t table_size(uint32_t values)
{
    uint32_t size = 2;
    while (size < 2 * values) size *= 2;
    return size;
}

static size_t cookie_room(const struct sticky_conf *conf)
{
    return strlen(conf->cookie) + strlen(conf->path) + (conf->domain ? strlen(conf->domain) : 0) +
           VALUE_DIGITS + 100;
}

int sticky_new(struct sticky **out, const struct sticky_conf *conf, const struct roster *r, struct err *err)
{
    struct sticky *s = calloc(1, sizeof(*s));
    if (!s) return err_set(err, "out of memory for the sticky cookies of pool \"%s\"", r->pool->name);
    uint32_t size = table_size(r->count * conf->secrets.count), cookies = table_size(r->count);
    size_t room = r->count * cookie_room(conf);
    s->conf = conf;
    s->mask = size - 1;
    s->entries = calloc(size, sizeof(*s->entries));
    s->cookies = calloc(cookies, sizeof(*s->cookies));
    s->cookie_mask = cookies - 1;
    s->text = text_over(malloc(room), room);
    int result = 0;
    if (!s->entries || !s->cookies || !s->text.data)
        result = err_set(err, "out of memory for the sticky cookies of pool \"%s\"", r->pool->name);
    for (uint32_t i = 0; result == 0 && i < r->count; i++) result = add_server(s, r->places[i].server, err);
    if (result < 0) {
        sticky_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

void sticky_free(struct sticky *s)
{
    if (!s) return;
    free(s->entries);
    free(s->cookies);
    free(s->text.data);
    free(s);
}

/* Lower-case hexadecimal, as we write it; false otherwise. */
static bool read_digits(struct slice digits, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.data[i];
        if (c >= '0' && c <= '9')
            n = n << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            n = n << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = n;
    return true;
}

struct server *sticky_server(const struct sticky *s, struct slice value, bool *is_current)
{
    struct value v;
    *is_current = false;
    if (value.len != VALUE_DIGITS) return NULL;
    if (!read_digits((struct slice){ value.data, VALUE_DIGITS / 2 }, &v.high)) return NULL;
    if (!read_digits((struct slice){ value.data + VALUE_DIGITS / 2, VALUE_DIGITS / 2 }, &v.low)) return NULL;
    const struct entry *e = find(s, v);
    if (bug_if(STICKY, e->server && !is_same(e->value, v))) return NULL;
    *is_current = e->is_current;
    return e->server;
}

bool sticky_may_take(const struct sticky *s, const struct server *server, uint64_t now_ms)
{
    if (server_is_usable(server)) return true;
    if (atomic_load(&server->admin) != SERVER_DRAIN || !server_is_healthy(server)) return false;
    uint64_t since_ms = atomic_load(&server->drain_since_ms);
    /* The control thread's clock may be a turn ahead of this worker's. */
    return now_ms < since_ms || now_ms - since_ms < s->conf->drain_ms;
}

struct slice sticky_set_cookie(const struct sticky *s, const struct server *server)
{
    return find_cookie(s, server)->text;
}
