/* The same key goes to the same server, for as long as the set of servers stays as it is. */
#include <stdlib.h>

#include "balance/method.h"

/* Table `mod`: the hash modulo the sum of the weights is a place in a row in which each peer has as many
 * places as it weighs. A 64-bit hash modulo at most 4096 * 10000 is uneven by less than one in 10^11. */
struct hash_table {
    uint32_t count, total;
    uint32_t ends[]; /* of peer i: the place after its last; none if every peer has one place */
};

static int build(const struct balance_set *set, const void *conf, void **table, struct err *err)
{
    (void)conf;
    uint32_t n = set->count, gcd = balance_weights_gcd(set);
    struct hash_table *t = malloc(sizeof(*t) + n * sizeof(uint32_t));
    if (!t) return err_set(err, "out of memory for the table of %u servers", n);
    t->count = n;
    t->total = 0;
    for (uint32_t i = 0; i < n; i++) t->ends[i] = t->total += set->weights[i] / gcd;
    *table = t;
    return 0;
}

static uint32_t peer_at(const struct hash_table *t, uint32_t place)
{
    if (t->total == t->count) return place;
    uint32_t low = 0, count = t->count;
    while (count > 1) {
        uint32_t half = count / 2;
        low += t->ends[low + half - 1] <= place ? half : 0;
        count -= half;
    }
    return low;
}

static void pick(const void *table, void *state, const struct balance_query *q, struct balance_choice *out)
{
    const struct hash_table *t = table;
    (void)state;
    if (balance_pick_trivial(q, out)) return;
    uint32_t own = peer_at(t, (uint32_t)(q->hash % t->total)), peer = own;
    enum balance_reason reason = BALANCE_HASHED;
    while (!balance_may_take(q, peer)) {
        reason = BALANCE_FALLBACK;
        peer = peer + 1 == t->count ? 0 : peer + 1;
        if (peer != own) continue;
        balance_pick_none(q, out);
        return;
    }
    *out = (struct balance_choice){ peer, BALANCE_NONE, reason };
}

/* options */

static bool is_token_char(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return true;
    return c && strchr("!#$%&'*+-.^_`|~", c); /* RFC 9110 5.6.2 */
}

static int parse_header(struct slice name, struct balance_key *key, struct err *err)
{
    key->kind = BALANCE_KEY_HEADER;
    if (!name.len) return err_set(err, "\"header:\" names no header; write one, like header:X-User");
    if (name.len >= sizeof(key->header))
        return err_set(err, "the name of a header to hash may have %zu bytes, this one has %zu",
                       sizeof(key->header) - 1, name.len);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        key->header[i] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
        if (!is_token_char(key->header[i]))
            return err_set(err, "\"%.*s\" cannot be the name of a header", SLICE_ARGS(name));
    }
    return 0;
}

static const struct {
    const char *name;
    enum balance_key_kind kind;
} keys[] = { { "client", BALANCE_KEY_CLIENT }, { "path", BALANCE_KEY_PATH }, { "host", BALANCE_KEY_HOST } };

static int parse_key(struct slice text, void *out, struct err *err)
{
    struct balance_key *key = out;
    struct slice header = SLICE("header:");
    *key = (struct balance_key){ 0 };
    if (text.len >= header.len && slice_equal_fold((struct slice){ text.data, header.len }, header))
        return parse_header((struct slice){ text.data + header.len, text.len - header.len }, key, err);
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if (!slice_equal(text, slice_of(keys[i].name))) continue;
        key->kind = keys[i].kind;
        return 0;
    }
    return err_set(err, "\"%.*s\" is nothing to hash; write client, path, host or header:NAME",
                   SLICE_ARGS(text));
}

static void print_key(const void *value, struct text *out)
{
    const struct balance_key *key = value;
    if (key->kind == BALANCE_KEY_HEADER) {
        TEXT_LITERAL(out, "header:");
        text_add_slice(out, slice_of(key->header));
        return;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (keys[i].kind == key->kind) text_add_slice(out, slice_of(keys[i].name));
}

static const struct conf_type key_type = {
    .name = "key",
    .size = sizeof(struct balance_key),
    .parse = parse_key,
    .print = print_key,
    .pattern_help = "client, path, host or header:NAME",
};

static const char *const table_names[] = { [HASH_TABLE_MOD] = "mod", NULL };
static const struct conf_type table_type = { .name = "table", .names = table_names };

static const struct conf_field fields[] = {
    { "key", CONF_CUSTOM(struct hash_conf, key, &key_type), .preset = "client",
      .help = "What is hashed: the client's address, the path without its query, the host, or a header's "
              "value." },
    { "table", CONF_ENUM(struct hash_conf, table, &table_type), .preset = "mod",
      .help = "How a hash becomes a server. `mod`: modulo the sum of the weights; when the set of servers "
              "changes, "
              "most keys move." },
    { 0 },
};

static const struct conf_type hash_conf_type = { .name = "hash",
                                                 .size = sizeof(struct hash_conf),
                                                 .fields = fields };

BALANCE_METHOD(hash, "By a hash of something in the request: the same key goes to the same server.",
               &hash_conf_type, .has_key = true, .build = build, .drop = free, .pick = pick);
