/* The same key goes to the same server, and hardly any other key moves when servers come and go. */
#include "balance/hash.h"

#include <stdlib.h>

#include "conf/decode.h"

static const struct hash_kind *const kinds[] = {
    [HASH_MAGLEV] = &hash_maglev,
    [HASH_RING] = &hash_ring,
    [HASH_RENDEZVOUS] = &hash_rendezvous,
    [HASH_MOD] = &hash_mod,
};

static const struct hash_conf preset = { .size = HASH_SIZE, .replicas = HASH_REPLICAS };

bool hash_is_prime(uint32_t n)
{
    for (uint32_t i = 2; (uint64_t)i * i <= n; i++)
        if (n % i == 0) return false;
    return n > 1;
}

/* building */

static struct hash_servers *servers_new(const struct balance_set *set)
{
    uint32_t n = set->count, gcd = balance_weights_gcd(set);
    struct hash_servers *s = malloc(sizeof(*s) + n * sizeof(*s->at));
    if (!s) return NULL;
    s->count = n;
    s->total = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->at[i] = (struct hash_server){ set->name_hashes[i], set->weights[i] / gcd };
        s->total += s->at[i].weight;
    }
    s->is_even = s->total == n;
    return s;
}

struct named {
    uint64_t name_hash;
    uint32_t server;
};

static int compare_names(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    return (a->name_hash > b->name_hash) - (a->name_hash < b->name_hash);
}

uint16_t *hash_order_by_name(const struct hash_servers *servers)
{
    struct named *names = malloc(servers->count * sizeof(*names));
    uint16_t *order = malloc(servers->count * sizeof(*order));
    if (names && order) {
        for (uint32_t i = 0; i < servers->count; i++)
            names[i] = (struct named){ servers->at[i].name_hash, i };
        qsort(names, servers->count, sizeof(*names), compare_names);
        for (uint32_t i = 0; i < servers->count; i++) order[i] = (uint16_t)names[i].server;
    } else {
        free(order);
        order = NULL;
    }
    free(names);
    return order;
}

static void drop(void *table)
{
    struct hash_table *t = table;
    if (!t) return;
    free(t->places);
    free(t->servers);
    free(t);
}

static int build_hash(const struct balance_set *set, const void *conf, void **table, struct err *err)
{
    const struct hash_conf *c = conf ? conf : &preset;
    if (set->count > HASH_SERVERS_MAX)
        return err_set(err, "a pool with method hash may have %u servers, this one has %u", HASH_SERVERS_MAX,
                       set->count);
    struct hash_table *t = calloc(1, sizeof(*t));
    if (t) t->servers = servers_new(set);
    if (!t || !t->servers) {
        free(t);
        return err_set(err, "out of memory for the table of %u servers", set->count);
    }
    t->kind = kinds[c->table];
    t->bounded_percent = c->bounded_percent;
    if (t->servers->count && t->kind->build && t->kind->build(t, c, err) < 0) {
        drop(t);
        return -1;
    }
    *table = t;
    return 0;
}

static size_t table_bytes(const void *table)
{
    const struct hash_table *t = table;
    size_t servers = sizeof(*t->servers) + t->servers->count * sizeof(*t->servers->at);
    return sizeof(*t) + servers + (t->places ? t->kind->places_bytes(t) : 0);
}

/* picking */

static uint32_t load_of(const struct hash_demand *d, uint32_t peer)
{
    return atomic_load_explicit(&d->q->peers[peer]->in_flight, memory_order_relaxed);
}

/* Load and weight are those of the servers that may take the request: what the others have left undone is
 * theirs to do, so that one of them is always below its bound. */
static void measure_load(const struct hash_table *t, struct hash_demand *d)
{
    d->bounded_percent = t->bounded_percent;
    for (uint32_t i = 0; i < d->q->peer_count; i++) {
        if (!balance_may_take(d->q, i)) continue;
        d->load += load_of(d, i);
        d->weight += t->servers->at[i].weight;
    }
}

/* Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2016): with this request a
 * server has at most ceil(factor * (in flight + 1) * weight share). Load + 1 is at most the ceiling of a
 * number if load is less than the number. */
bool hash_may_take(const struct hash_table *t, const struct hash_demand *d, uint32_t peer)
{
    if (!balance_may_take(d->q, peer)) return false;
    if (!d->bounded_percent) return true;
    unsigned __int128 load = (unsigned __int128)load_of(d, peer) * 100 * d->weight;
    return load < (unsigned __int128)(d->load + 1) * d->bounded_percent * t->servers->at[peer].weight;
}

/* Other workers place requests too: between the sum and the look at a server all may have reached their
 * bounds. Then the bound is waived. */
static void pick_next(const struct hash_table *t, struct hash_demand *d, uint32_t own,
                      struct balance_choice *out)
{
    bool is_usable = balance_may_take(d->q, own);
    uint32_t peer = t->kind->next(t, d, own);
    if (bug_if(BALANCE, peer == own)) peer = BALANCE_NONE; /* which it was not to be */
    if (peer == BALANCE_NONE && d->bounded_percent) {
        d->bounded_percent = 0;
        peer = is_usable ? own : t->kind->next(t, d, own);
    }
    if (peer == BALANCE_NONE)
        balance_pick_none(d->q, out);
    else
        *out = (struct balance_choice){ peer, BALANCE_NONE, is_usable ? BALANCE_BOUNDED : BALANCE_FALLBACK };
}

static void pick_hash(const void *table, void *state, const struct balance_query *q,
                      struct balance_choice *out)
{
    const struct hash_table *t = table;
    struct hash_demand d = { .q = q };
    (void)state;
    if (balance_pick_trivial(q, out)) return;
    uint32_t second = BALANCE_NONE, own = t->kind->own(t, q->hash, &second);
    if (bug_if(BALANCE, t->servers->count != q->peer_count || own >= q->peer_count)) {
        balance_pick_none(q, out);
        return;
    }
    if (t->bounded_percent) measure_load(t, &d);
    if (!hash_may_take(t, &d, own)) {
        pick_next(t, &d, own, out);
        return;
    }
    if (second != BALANCE_NONE && !balance_may_take(q, second)) second = BALANCE_NONE;
    *out = (struct balance_choice){ own, second, BALANCE_HASHED };
}

/* options */

#define BOUNDED_MIN 101
#define BOUNDED_MAX 1000

/* Digits, and at most two more behind a point, in hundredths; -1 if it is anything else. */
static int read_hundredths(struct slice text)
{
    int value = 0, unit = 100;
    bool has_point = false;
    if (!text.len || text.len > 6) return -1;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '.' && !has_point && i && i + 1 < text.len) {
            has_point = true;
            continue;
        }
        if (c < '0' || c > '9' || unit == 1) return -1;
        if (has_point) unit /= 10;
        value = has_point ? value + (c - '0') * unit : value * 10 + (c - '0') * unit;
    }
    return value;
}

static int parse_bounded(struct slice text, void *out, struct err *err)
{
    uint32_t *percent = out;
    *percent = 0;
    if (slice_equal(text, SLICE("off"))) return 0;
    int value = read_hundredths(text);
    if (value < BOUNDED_MIN || value > BOUNDED_MAX)
        return err_set(
            err,
            "\"%.*s\" is no factor of the mean load; write off, or a number from 1.01 to 10 with at "
            "most two decimals",
            text.len < 20 ? (int)text.len : 20, text.data);
    *percent = (uint32_t)value;
    return 0;
}

static void print_bounded(const void *value, struct text *out)
{
    uint32_t percent = *(const uint32_t *)value;
    if (percent)
        text_printf(out, "%u.%02u", percent / 100, percent % 100);
    else
        TEXT_LITERAL(out, "off");
}

static const struct conf_type bounded_type = {
    .name = "factor",
    .size = sizeof(uint32_t),
    .parse = parse_bounded,
    .print = print_bounded,
    .pattern_help = "off, 1.25",
};

static const char *const table_names[] = { "maglev", "ring", "rendezvous", "mod", NULL };
static const struct conf_type table_type = { .name = "table", .names = table_names };

static const struct conf_field fields[] = {
    { "key", CONF_CUSTOM(struct hash_conf, key, &http_source_type), .preset = "client",
      .help =
          "What is hashed: `client` (the client's address), `host`, `path`, `header:NAME`, `cookie:NAME`, "
          "`arg:NAME`, or text with several of them in braces." },
    { "table", CONF_ENUM(struct hash_conf, table, &table_type), .preset = "maglev",
      .help =
          "How a hash becomes a server. `maglev`: one look, even to one place in `size`, and hardly any key "
          "moves when servers come or go; `ring`: points on a ring; `rendezvous`: no table, exact, time in "
          "proportion to the number of servers; `mod`: modulo the sum of the weights, most keys move after "
          "a change." },
    { "size", CONF_U32(struct hash_conf, size), .min = 3, .max = HASH_SIZE_MAX, .preset = "65537",
      .help =
          "Places in the maglev table: a prime, at least a hundred times as many as servers. Each takes two "
          "bytes." },
    { "replicas", CONF_U32(struct hash_conf, replicas), .min = 1, .max = 1000, .preset = "160",
      .help =
          "Points on the ring for a server of mean weight. Each takes 16 bytes and four to eight of index." },
    { "bounded", CONF_CUSTOM(struct hash_conf, bounded_percent, &bounded_type), .preset = "off",
      .help = "How far above the mean load for its weight a server may get, as a factor from 1.01 to 10, "
              "before the key's next server takes over; off, or for instance 1.25. Costs a look at every "
              "server." },
    { 0 },
};

static void check(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct hash_conf *conf = object;
    char remedy[64];
    uint32_t prime = conf->size;
    while (!hash_is_prime(prime)) prime++;
    if (prime == conf->size) return;
    struct text text = text_over(remedy, sizeof(remedy));
    text_printf(&text, "the next prime is %u", prime);
    conf_decode_fault(d, node, "size", text_cstr(&text),
                      "a maglev table has a prime number of places, %u is none", conf->size);
}

static const struct conf_type hash_conf_type = {
    .name = "hash", .size = sizeof(struct hash_conf), .fields = fields, .check = check
};

BALANCE_METHOD(hash, "By a hash of something in the request: the same key goes to the same server.",
               &hash_conf_type, .has_key = true, .keeps_out = true, .build = build_hash, .drop = drop,
               .table_bytes = table_bytes, .pick = pick_hash);
