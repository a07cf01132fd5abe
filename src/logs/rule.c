#define XXH_INLINE_ALL
#include <xxhash.h>

#include "logs/rule.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "base/rng.h"
#include "logs/entry_value.h"
#include "logs/filter.h"

#define WAYS 8u
#define PARTS 8u
#define EXAMPLE "write it like: rate(status==401) by client > 30/m"

struct key {
    uint64_t hash; /* 0: free */
    uint64_t part; /* number of the eighth that counts[part % PARTS] is */
    uint64_t quiet_until_s;
    uint32_t counts[PARTS];
};

struct rule {
    struct filter *filter;
    bool is_network;
    uint64_t threshold; /* this many are too many */
    uint64_t over_ms;
    uint64_t seed; /* of the hash, so that nobody can choose addresses that share a set */
    struct key keys[RULE_KEYS];
};

/* compiling */

struct parts {
    struct slice filter;
    bool is_network;
    uint64_t threshold, over_ms;
};

static void skip_blanks(struct slice *s)
{
    while (s->len && (*s->data == ' ' || *s->data == '\t')) s->data++, s->len--;
}

static bool take_rule_word(struct slice *s, const char *word)
{
    size_t len = strlen(word);
    skip_blanks(s);
    if (s->len < len || memcmp(s->data, word, len) != 0) return false;
    bool is_word = isalpha((unsigned char)*word);
    if (is_word && s->len > len && isalnum((unsigned char)s->data[len])) return false;
    s->data += len;
    s->len -= len;
    return true;
}

/* What stands up to the bracket that closes, quotes heeded. False: none does. */
static bool take_brackets(struct slice *s, struct slice *inner)
{
    unsigned depth = 1;
    bool is_quoted = false;
    for (size_t i = 0; i < s->len; i++) {
        char c = s->data[i];
        if (is_quoted && c == '\\') {
            i++;
        } else if (c == '"') {
            is_quoted = !is_quoted;
        } else if (!is_quoted && (c == '(' || c == ')')) {
            depth = c == '(' ? depth + 1 : depth - 1;
            if (depth) continue;
            *inner = (struct slice){ s->data, i };
            *s = (struct slice){ s->data + i + 1, s->len - i - 1 };
            return true;
        }
    }
    return false;
}

/* "30/m", "100/10m" */
static int parse_rate(struct slice s, bool is_more, struct parts *out, struct err *err)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = { { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
    const char *slash = s.len ? memchr(s.data, '/', s.len) : NULL;
    struct slice number = s, unit = SLICE_NONE;
    if (slash) {
        number.len = (size_t)(slash - s.data);
        unit = (struct slice){ slash + 1, s.len - number.len - 1 };
    }
    for (unsigned i = 0; i < 3; i++)
        if (slice_equal(unit, slice_of(units[i].name))) out->over_ms = units[i].ms;
    if (unit.len && !out->over_ms && quantity_parse_ms(unit, &out->over_ms, NULL) < 0) out->over_ms = 0;
    if (out->over_ms < 1000 || out->over_ms > 86400000 || !entry_u64(slice_trim(number), &out->threshold) ||
        out->threshold > RULE_COUNT_MAX) {
        err_set(err,
                "\"%.*s\" is no rate; write a number of at most %u and a time of a second to a day: 30/m, "
                "100/10m",
                SLICE_ARGS(s), RULE_COUNT_MAX);
        return -1;
    }
    out->threshold += is_more;
    if (out->threshold) return 0;
    err_set(err, "a rate of >= 0 is everybody's; write at least 1");
    return -1;
}

static int parse(struct slice when, struct parts *out, struct err *err)
{
    struct slice s = when;
    memset(out, 0, sizeof(*out));
    if (when.len > RULE_TEXT_MAX) {
        err_set(err, "it has more than %u bytes", RULE_TEXT_MAX);
        return -1;
    }
    if (!take_rule_word(&s, "rate") || !take_rule_word(&s, "(") || !take_brackets(&s, &out->filter)) {
        err_set(err, "it is no condition; " EXAMPLE);
        return -1;
    }
    if (!take_rule_word(&s, "by")) {
        err_set(err, "after rate(…) it does not say `by client` or `by network`; " EXAMPLE);
        return -1;
    }
    out->is_network = take_rule_word(&s, "network");
    if (!out->is_network && !take_rule_word(&s, "client")) {
        err_set(err, "rates are by client or by network; " EXAMPLE);
        return -1;
    }
    bool is_at_least = take_rule_word(&s, ">=");
    if (!is_at_least && !take_rule_word(&s, ">")) {
        err_set(err, "there is no > or >= before the rate; " EXAMPLE);
        return -1;
    }
    return parse_rate(slice_trim(s), !is_at_least, out, err);
}

int rule_check(struct slice when, struct err *err)
{
    struct parts p;
    struct filter *f = NULL;
    if (parse(when, &p, err) < 0 || filter_compile(&f, p.filter, err) < 0) return -1;
    filter_free(f);
    return 0;
}

int rule_compile(struct rule **out, struct slice when, struct err *err)
{
    struct parts p;
    struct rng rng;
    if (parse(when, &p, err) < 0) return -1;
    struct rule *r = calloc(1, sizeof(*r));
    if (!r) {
        err_set(err, "out of memory for a rule");
        return -1;
    }
    if (filter_compile(&r->filter, p.filter, err) < 0) {
        rule_free(r);
        return -1;
    }
    r->is_network = p.is_network;
    r->threshold = p.threshold;
    r->over_ms = p.over_ms;
    rng_seed_random(&rng);
    r->seed = rng_next(&rng);
    *out = r;
    return 0;
}

void rule_free(struct rule *r)
{
    if (!r) return;
    filter_free(r->filter);
    free(r);
}

void rule_bind(struct rule *r, enum log_field (*field_of)(const void *context, struct slice name),
               const void *context)
{
    filter_bind(r->filter, field_of, context);
}

uint64_t rule_gave_up(const struct rule *r)
{
    return filter_gave_up(r->filter);
}

void rule_tell_anew(struct rule *r)
{
    for (uint32_t i = 0; i < RULE_KEYS; i++)
        if (r->keys[i].quiet_until_s) r->keys[i].quiet_until_s = 0; /* pages that were never used stay so */
}

/* counting */

static struct rule_hit who(const struct rule *r, const struct log_entry *e)
{
    struct rule_hit hit = { .ip = e->client, .bits = 128 };
    if (!r->is_network) return hit;
    hit.bits = ip_is_v4(&hit.ip) ? 120 : 64;
    memset(hit.ip.bytes + hit.bits / 8, 0, 16 - hit.bits / 8);
    return hit;
}

/* Makes the key's counts those of the eighths up to `part`. */
static void slide(struct key *k, uint64_t part)
{
    uint64_t steps = part > k->part ? part - k->part : 0;
    for (uint64_t i = 1; i <= steps && i <= PARTS; i++) k->counts[(k->part + i) % PARTS] = 0;
    if (steps) k->part = part;
}

static uint64_t sum(const struct key *k)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < PARTS; i++) total += k->counts[i];
    return total;
}

/* The key's seat: its own, a free one, or that of the one with the fewest records. */
static struct key *seat_of(struct rule *r, uint64_t hash, uint64_t part)
{
    struct key *set = &r->keys[(hash % (RULE_KEYS / WAYS)) * WAYS], *least = &set[0];
    uint64_t fewest = UINT64_MAX;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].hash == hash) return &set[i];
        if (set[i].hash) slide(&set[i], part);
        uint64_t count = set[i].hash ? sum(&set[i]) : 0;
        if (count >= fewest) continue;
        fewest = count;
        least = &set[i];
    }
    *least = (struct key){ .hash = hash, .part = part };
    return least;
}

bool rule_count(struct rule *r, const struct log_entry *e, uint64_t now_s, uint64_t quiet_s,
                struct rule_hit *out)
{
    static const struct ip nobody;
    uint64_t time_s = e->time_s && e->time_s < now_s ? e->time_s : now_s;
    if (memcmp(&e->client, &nobody, sizeof(nobody)) == 0 || !filter_takes(r->filter, e)) return false;
    if ((now_s - time_s) * 1000 >= r->over_ms) return false;
    struct rule_hit hit = who(r, e);
    uint64_t hash = XXH3_64bits_withSeed(hit.ip.bytes, sizeof(hit.ip.bytes), r->seed);
    uint64_t part = time_s * 1000 / (r->over_ms / PARTS);
    struct key *k = seat_of(r, hash ? hash : 1, part);
    slide(k, part);
    if (part + PARTS <= k->part) return false; /* lines may come late */
    if (k->counts[part % PARTS] < UINT32_MAX) k->counts[part % PARTS]++;
    hit.count = sum(k);
    if (hit.count < r->threshold || now_s < k->quiet_until_s) return false;
    k->quiet_until_s = now_s + quiet_s;
    *out = hit;
    return true;
}
