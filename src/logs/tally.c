#define XXH_INLINE_ALL
#include <xxhash.h>

#include "logs/tally.h"

#include <stdlib.h>
#include <string.h>

#include "http/message.h"
#include "logs/agent.h"
#include "logs/path_template.h"
#include "logs/period_state.h"

/* A ring of slices: the last SECONDS * COUNT seconds. */
#define SHORT_S 6u
#define SHORT_COUNT 51u /* five minutes, and the one that is being filled */
#define LONG_S 60u
#define LONG_COUNT 61u /* likewise an hour */

#define PATHS_CACHED 8192u /* powers of two */
#define AGENTS_CACHED 4096u
#define KEY_MAX 128u
#define SAMPLE_MAX 256u

/* What a text was made into the last time it came: most lines repeat. Direct-mapped by the text's hash, which is looked at
 * in an array of its own, as that stays near. */
struct path_cache {
    uint64_t hashes[PATHS_CACHED];
    struct cached_path {
        uint64_t made_hash;
        uint16_t made_len;
        char made[KEY_MAX];
    } items[PATHS_CACHED];
};

struct agent_cache {
    uint64_t hashes[AGENTS_CACHED];
    struct cached_agent {
        uint64_t made_hash;
        struct slice family;
    } items[AGENTS_CACHED];
};

struct ring {
    uint32_t slice_s, count;
    uint64_t numbers[SHORT_COUNT > LONG_COUNT ? SHORT_COUNT
                                              : LONG_COUNT]; /* of the slice: time / slice_s; 0: empty */
    struct period *slices[SHORT_COUNT > LONG_COUNT ? SHORT_COUNT : LONG_COUNT]; /* NULL: was never used */
    char *memory; /* of all of them, zeroed: what is not used is not touched */
};

struct tally {
    bool has_windows;
    struct period *all, *sum; /* sum: of the window that was asked for last */
    struct ring shorts, longs;
    struct path_cache *paths;
    struct agent_cache *agents;
    uint64_t first_s, last_s;
    uint64_t malformed;
    uint32_t sample_count;
    uint16_t sample_lens[8];
    char samples[8][SAMPLE_MAX];
    char network[48]; /* the key of the record in hand */
};

/* clang-format off */
static const struct period_size all_size = {
    .distinct_bits = 16,
    .tops = { [PERIOD_CLIENT] = { 16384, 16 },  [PERIOD_NETWORK] = { 8192, 16 }, [PERIOD_PATH] = { 8192, KEY_MAX },
              [PERIOD_HOST] = { 1024, 64 },     [PERIOD_AGENT] = { 64, 24 },     [PERIOD_REFERER] = { 2048, KEY_MAX },
              [PERIOD_UPSTREAM] = { 512, 64 },  [PERIOD_VARIANT] = { 128, 64 },  [PERIOD_ERROR_PATH] = { 1024, KEY_MAX } },
};
/* Of a size with the windows' sum, so that they add up. */
static const struct period_size slice_size = {
    .distinct_bits = 12,
    .tops = { [PERIOD_CLIENT] = { 256, 16 },    [PERIOD_NETWORK] = { 128, 16 },  [PERIOD_PATH] = { 256, 96 },
              [PERIOD_HOST] = { 32, 64 },       [PERIOD_AGENT] = { 64, 24 },     [PERIOD_REFERER] = { 32, 96 },
              [PERIOD_UPSTREAM] = { 64, 64 },   [PERIOD_VARIANT] = { 32, 64 },   [PERIOD_ERROR_PATH] = { 32, 96 } },
};
static const struct period_size sum_size = {
    .distinct_bits = 12,
    .tops = { [PERIOD_CLIENT] = { 4096, 16 },   [PERIOD_NETWORK] = { 2048, 16 }, [PERIOD_PATH] = { 4096, 96 },
              [PERIOD_HOST] = { 256, 64 },      [PERIOD_AGENT] = { 64, 24 },     [PERIOD_REFERER] = { 1024, 96 },
              [PERIOD_UPSTREAM] = { 256, 64 },  [PERIOD_VARIANT] = { 128, 64 },  [PERIOD_ERROR_PATH] = { 512, 96 } },
};
/* clang-format on */

static const char *const window_names[] = { "1m", "5m", "1h", "all" };

const char *tally_window_name(enum tally_window w)
{
    return window_names[w];
}

enum tally_window tally_window_by_name(struct slice name)
{
    unsigned w = 0;
    while (w < TALLY_WINDOW_COUNT && !slice_equal(slice_of(window_names[w]), name)) w++;
    return (enum tally_window)w;
}

static int ring_init(struct ring *r, uint32_t slice_s, uint32_t count)
{
    r->slice_s = slice_s;
    r->count = count;
    r->memory = calloc(count, period_bytes(&slice_size));
    return r->memory ? 0 : -1;
}

int tally_new(struct tally **out, bool has_windows, struct err *err)
{
    struct tally *t = calloc(1, sizeof(*t));
    if (!t) return err_set(err, "out of memory for what is kept of a log");
    t->has_windows = has_windows;
    t->all = period_new(&all_size);
    t->paths = calloc(1, sizeof(*t->paths));
    t->agents = calloc(1, sizeof(*t->agents));
    bool has_failed = !t->all || !t->paths || !t->agents;
    if (has_windows && !has_failed)
        has_failed = !(t->sum = period_new(&sum_size)) || ring_init(&t->shorts, SHORT_S, SHORT_COUNT) < 0 ||
                     ring_init(&t->longs, LONG_S, LONG_COUNT) < 0;
    if (has_failed) {
        tally_free(t);
        return err_set(err, "out of memory for what is kept of a log");
    }
    *out = t;
    return 0;
}

void tally_free(struct tally *t)
{
    if (!t) return;
    free(t->shorts.memory);
    free(t->longs.memory);
    period_free(t->all);
    period_free(t->sum);
    free(t->paths);
    free(t->agents);
    free(t);
}

size_t tally_bytes(const struct tally *t)
{
    size_t bytes = sizeof(*t) + period_bytes(&all_size) + sizeof(struct path_cache) +
                   sizeof(struct agent_cache);
    if (t->has_windows)
        bytes += period_bytes(&sum_size) + (SHORT_COUNT + LONG_COUNT) * period_bytes(&slice_size);
    return bytes;
}

/* facts */

/* Never 0, which stands for none. */
static uint64_t hash_of(struct slice s)
{
    uint64_t hash = XXH3_64bits(s.data, s.len);
    return hash ? hash : 1;
}

/* splitmix64's finaliser (Steele, Lea, Flood, 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return x ? x : 1;
}

static uint64_t hash_of_ip(const uint8_t bytes[16])
{
    uint64_t high, low;
    memcpy(&high, bytes, 8);
    memcpy(&low, bytes + 8, 8);
    return mix(high ? low ^ mix(high) : low); /* 0 in front of every IPv4 address */
}

static void set_path(struct period_facts *f, struct path_cache *cache, struct slice path)
{
    uint64_t hash = hash_of(path);
    uint32_t at = (uint32_t)hash & (PATHS_CACHED - 1);
    struct cached_path *c = &cache->items[at];
    if (cache->hashes[at] != hash) {
        struct text made = text_over(c->made, sizeof(c->made));
        path_template(path, &made);
        cache->hashes[at] = hash;
        c->made_len = (uint16_t)made.len;
        c->made_hash = hash_of(text_slice(&made));
    }
    f->keys[PERIOD_PATH].hash = c->made_hash;
    f->keys[PERIOD_PATH].key = (struct slice){ c->made, c->made_len };
}

static void set_agent(struct period_facts *f, struct agent_cache *cache, struct slice agent)
{
    uint64_t hash = hash_of(agent);
    uint32_t at = (uint32_t)hash & (AGENTS_CACHED - 1);
    struct cached_agent *c = &cache->items[at];
    if (cache->hashes[at] != hash) {
        cache->hashes[at] = hash;
        c->family = agent_family(agent);
        c->made_hash = hash_of(c->family);
    }
    f->keys[PERIOD_AGENT].hash = c->made_hash;
    f->keys[PERIOD_AGENT].key = c->family;
}

static void set_key(struct period_facts *f, enum period_dimension d, struct slice value)
{
    if (!value.len || slice_equal(value, SLICE("-"))) return;
    f->keys[d].hash = hash_of(value);
    f->keys[d].key = value;
}

/* The client, and its network: /24 of IPv4, /64 of IPv6. */
static void set_client(struct tally *t, struct period_facts *f, const struct log_entry *e)
{
    static const struct ip none;
    if (memcmp(&e->client, &none, sizeof(none)) == 0) return;
    f->client_hash = hash_of_ip(e->client.bytes);
    f->keys[PERIOD_CLIENT].hash = f->client_hash;
    f->keys[PERIOD_CLIENT].key = (struct slice){ (const char *)e->client.bytes, sizeof(e->client.bytes) };
    memcpy(t->network, e->client.bytes, 16);
    if (ip_is_v4(&e->client))
        t->network[15] = 0;
    else
        memset(t->network + 8, 0, 8);
    f->keys[PERIOD_NETWORK].hash = hash_of_ip((const uint8_t *)t->network);
    f->keys[PERIOD_NETWORK].key = (struct slice){ t->network, 16 };
    top_prefetch(t->all->tops[PERIOD_CLIENT], f->keys[PERIOD_CLIENT].hash);
    top_prefetch(t->all->tops[PERIOD_NETWORK], f->keys[PERIOD_NETWORK].hash);
}

static void find_facts(struct tally *t, const struct log_entry *e, struct period_facts *f)
{
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++)
        f->keys[d].hash = 0; /* all that is asked of those without */
    f->status = e->status;
    f->method = e->method.len ? http_method_of(e->method) : HTTP_OTHER;
    f->is_binary = e->is_binary;
    f->bytes = e->bytes;
    f->request_us = e->request_us;
    f->upstream_us = e->upstream_us;
    f->client_hash = 0;
    set_client(t, f, e);
    if (e->path.len) set_path(f, t->paths, e->path);
    if (e->path.len && e->status >= 500) f->keys[PERIOD_ERROR_PATH] = f->keys[PERIOD_PATH];
    if (e->values[LOG_AGENT].data) set_agent(f, t->agents, e->values[LOG_AGENT]);
    set_key(f, PERIOD_REFERER, e->values[LOG_REFERER]);
    set_key(f, PERIOD_HOST, e->values[LOG_HOST]);
    set_key(f, PERIOD_UPSTREAM, e->values[LOG_UPSTREAM]);
    set_key(f, PERIOD_VARIANT, e->values[LOG_VARIANT]);
}

/* counting */

static struct period *use_slice(struct ring *r, uint32_t at)
{
    r->slices[at] = period_place(r->memory + at * period_bytes(&slice_size), &slice_size);
    return r->slices[at];
}

/* The slice for that time; NULL if it has gone by. */
static struct period *slice_of_time(struct ring *r, uint64_t time_s)
{
    uint64_t number = time_s / r->slice_s;
    uint32_t at = (uint32_t)(number % r->count);
    if (r->numbers[at] == number) return r->slices[at];
    if (r->numbers[at] > number) return NULL;
    r->numbers[at] = number;
    if (!r->slices[at]) return use_slice(r, at);
    period_clear(r->slices[at]);
    return r->slices[at];
}

void tally_add(struct tally *t, const struct log_entry *e, uint64_t now_s)
{
    struct period_facts f;
    find_facts(t, e, &f);
    period_add(t->all, &f);
    if (e->time_s) {
        if (!t->first_s || e->time_s < t->first_s) t->first_s = e->time_s;
        if (e->time_s > t->last_s) t->last_s = e->time_s;
    }
    if (!t->has_windows) return;
    uint64_t time_s = e->time_s ? e->time_s : now_s;
    if (time_s > now_s) time_s = now_s; /* a clock that runs ahead */
    struct period *in_short = slice_of_time(&t->shorts, time_s), *in_long = slice_of_time(&t->longs, time_s);
    if (in_short) period_add(in_short, &f);
    if (in_long) period_add(in_long, &f);
}

void tally_add_malformed(struct tally *t, struct slice line)
{
    uint64_t count = ++t->malformed;
    if (count & (count - 1)) return;
    uint32_t at = t->sample_count < 8 ? t->sample_count++ : 7;
    size_t len = line.len < SAMPLE_MAX ? line.len : SAMPLE_MAX;
    if (len) memcpy(t->samples[at], line.data, len);
    t->sample_lens[at] = (uint16_t)len;
}

/* reading */

void tally_malformed(const struct tally *t, struct tally_malformed *out)
{
    out->count = t->malformed;
    out->sample_count = t->sample_count;
    for (uint32_t i = 0; i < t->sample_count; i++)
        out->samples[i] = (struct slice){ t->samples[i], t->sample_lens[i] };
}

static void add_up(struct period *sum, const struct ring *r, uint64_t now_s, uint64_t seconds)
{
    uint64_t last = now_s / r->slice_s, first = last - seconds / r->slice_s + 1;
    for (uint32_t i = 0; i < r->count; i++)
        if (r->slices[i] && r->numbers[i] >= first && r->numbers[i] <= last) period_merge(sum, r->slices[i]);
}

const struct period *tally_period(struct tally *t, enum tally_window w, uint64_t now_s)
{
    if (w == TALLY_ALL) return t->all;
    if (!t->has_windows) return NULL;
    period_clear(t->sum);
    switch (w) {
    case TALLY_1M: add_up(t->sum, &t->shorts, now_s, 60); break;
    case TALLY_5M: add_up(t->sum, &t->shorts, now_s, 300); break;
    default: add_up(t->sum, &t->longs, now_s, 3600);
    }
    return t->sum;
}

uint64_t tally_first_s(const struct tally *t)
{
    return t->first_s;
}

uint64_t tally_last_s(const struct tally *t)
{
    return t->last_s;
}

uint32_t tally_series(const struct tally *t, uint64_t now_s, uint64_t records[60], uint64_t errors[60])
{
    const struct ring *r = &t->longs;
    if (!t->has_windows) return 0;
    uint64_t last = now_s / LONG_S;
    for (uint32_t i = 0; i < 60; i++) {
        uint64_t number = last - 59 + i;
        const struct period *p = r->slices[number % r->count];
        bool is_there = p && r->numbers[number % r->count] == number;
        records[i] = is_there ? p->records : 0;
        errors[i] = 0;
        for (unsigned s = 500; is_there && s < PERIOD_STATUSES; s++) errors[i] += p->statuses[s];
    }
    return 60;
}

/* checkpoints */

/* Another number whenever what is written, or the size of a sketch, changes. */
#define STATE_VERSION 4u
#define STATE_WITHOUT_ERROR_PATHS 3u /* is read, too */

static void save_ring(const struct ring *r, struct state_out *out)
{
    for (uint32_t i = 0; i < r->count; i++) {
        state_put_u64(out, r->numbers[i]);
        if (r->numbers[i]) period_save(r->slices[i], out);
    }
}

static void load_ring(struct ring *r, bool has_error_paths, struct state_in *in)
{
    for (uint32_t i = 0; i < r->count && !in->is_failed; i++) {
        r->numbers[i] = state_get_u64(in);
        if (r->numbers[i]) period_load(r->slices[i] ? r->slices[i] : use_slice(r, i), has_error_paths, in);
    }
}

void tally_save(const struct tally *t, struct state_out *out)
{
    state_put_u64(out, STATE_VERSION);
    state_put_u64(out, t->has_windows);
    state_put_u64(out, t->first_s);
    state_put_u64(out, t->last_s);
    state_put_u64(out, t->malformed);
    state_put_u64(out, t->sample_count);
    for (uint32_t i = 0; i < t->sample_count; i++)
        state_put_slice(out, (struct slice){ t->samples[i], t->sample_lens[i] });
    period_save(t->all, out);
    if (!t->has_windows) return;
    save_ring(&t->shorts, out);
    save_ring(&t->longs, out);
}

int tally_load(struct tally *t, struct state_in *in, struct err *err)
{
    uint64_t version = state_get_u64(in);
    bool has_error_paths = version == STATE_VERSION;
    if ((!has_error_paths && version != STATE_WITHOUT_ERROR_PATHS) || state_get_u64(in) != t->has_windows)
        return err_set(err, "it was written by another version of weir");
    t->first_s = state_get_u64(in);
    t->last_s = state_get_u64(in);
    t->malformed = state_get_u64(in);
    t->sample_count = (uint32_t)state_get_bounded(in, 8);
    for (uint32_t i = 0; i < t->sample_count; i++) {
        struct slice sample = state_get_slice(in, SAMPLE_MAX);
        if (sample.len) memcpy(t->samples[i], sample.data, sample.len);
        t->sample_lens[i] = (uint16_t)sample.len;
    }
    period_load(t->all, has_error_paths, in);
    if (t->has_windows) {
        load_ring(&t->shorts, has_error_paths, in);
        load_ring(&t->longs, has_error_paths, in);
    }
    return in->is_failed ? err_set(err, "it is damaged") : 0;
}
