#include "metric/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

#define CHUNK_POINTS 60u
#define BUCKETS 4096u
#define ROUNDS_MISSED_MAX 3u
#define RECENT_SECONDS 10
#define CODES 3 /* quantiles of a point */
/* Chunks of a step that a series can have at a time: those that are kept, and the one that has begun. */
#define CHUNKS_SECOND 6u
#define CHUNKS_TEN 7u
#define CHUNKS_MINUTE 25u
#define CHUNKS_ALL (CHUNKS_SECOND + CHUNKS_TEN + CHUNKS_MINUTE)

static const struct {
    uint32_t seconds, points;
    uint32_t first_chunk, chunks; /* in a series' */
} steps[HISTORY_STEPS] = {
    [HISTORY_SECOND] = { 1, 300, 0, CHUNKS_SECOND },
    [HISTORY_TEN] = { 10, 360, CHUNKS_SECOND, CHUNKS_TEN },
    [HISTORY_MINUTE] = { 60, 1440, CHUNKS_SECOND + CHUNKS_TEN, CHUNKS_MINUTE },
};

static const double shares[CODES] = { 0.5, 0.95, 0.99 };

/* Points of one series that lie together in time. A quantile is the number of its group, from 1; 0: none. */
struct chunk {
    struct list in_order; /* of its step and kind of owner: by age */
    struct history_series *series;
    int64_t number; /* its first point's over CHUNK_POINTS */
    enum history_step step;
    uint32_t requests[CHUNK_POINTS], errors[CHUNK_POINTS];
    uint16_t codes[CODES][CHUNK_POINTS];
};

/* Rows of counts by group, of the groups from `low` on that have been met. */
enum row { ROW_COUNTED, ROW_TEN, ROW_LAST_TEN, ROW_MINUTE, ROWS };
struct rows {
    uint32_t low, count; /* of groups */
    uint32_t *cells;     /* ROWS times count */
};

/* What a step has not finished. */
struct running {
    int64_t number;
    uint64_t requests, errors;
};

struct history_series {
    struct list link;
    struct history_series *next_in_bucket;
    struct history_key key;
    uint32_t round;                        /* in which it was last named */
    uint64_t requests, errors, sum_us;     /* since the beginning, as last seen */
    struct running running[HISTORY_STEPS]; /* of HISTORY_SECOND none */
    struct rows rows;
    struct chunk *chunks[CHUNKS_ALL];
};

enum owner { SERVERS, OTHERS, OWNERS };

struct history {
    size_t used, max;
    uint64_t given_up, lost;
    int64_t second; /* that the round is of */
    uint32_t round;
    bool has_begun;
    struct list series;
    struct list chunks[OWNERS][HISTORY_STEPS];
    uint32_t chunk_counts[OWNERS][HISTORY_STEPS];
    struct history_series *buckets[BUCKETS];
};

static enum owner owner_of(const struct history_series *s)
{
    return s->key.kind == HISTORY_SERVER ? SERVERS : OTHERS;
}

/* memory */

static struct chunk **place_of(struct history_series *s, enum history_step step, int64_t number)
{
    return &s->chunks[steps[step].first_chunk + (uint64_t)number % steps[step].chunks];
}

static void drop_chunk(struct history *h, struct chunk *c)
{
    *place_of(c->series, c->step, c->number) = NULL;
    h->chunk_counts[owner_of(c->series)][c->step]--;
    list_remove(&c->in_order);
    h->used -= sizeof(*c);
    free(c);
}

/* The oldest of that step of which most is kept, so that all three go back as far in proportion. */
static bool give_up_one(struct history *h)
{
    for (int owner = 0; owner < OWNERS; owner++) {
        struct list *from = NULL;
        double most = 0;
        for (int step = 0; step < HISTORY_STEPS; step++) {
            double kept = (double)h->chunk_counts[owner][step] / steps[step].chunks;
            if (kept <= most) continue;
            most = kept;
            from = &h->chunks[owner][step];
        }
        if (!from) continue;
        drop_chunk(h, container_of(from->next, struct chunk, in_order)); /* NOLINT: as in list.h */
        h->given_up++;
        return true;
    }
    return false;
}

/* Zeroed; NULL: the bound is reached, or memory is out. */
static void *take(struct history *h, size_t size)
{
    while (h->used + size > h->max)
        if (!give_up_one(h)) return NULL;
    void *memory = calloc(1, size);
    if (memory) h->used += size;
    return memory;
}

static size_t rows_size(const struct rows *r)
{
    return (size_t)ROWS * r->count * sizeof(*r->cells);
}

static uint32_t *row_of(const struct rows *r, enum row row)
{
    return r->cells + (size_t)row * r->count;
}

/* So that the groups of [low, end) are among them, an octave's at a time. */
static bool widen(struct history *h, struct rows *r, uint32_t low, uint32_t end)
{
    if (r->count && low >= r->low && end <= r->low + r->count) return true;
    uint32_t octave = 1u << (HISTOGRAM_SUB_BITS - HISTORY_GROUP_BITS);
    low = low / octave * octave;
    end = (end + octave - 1) / octave * octave;
    if (r->count && r->low < low) low = r->low;
    if (r->count && r->low + r->count > end) end = r->low + r->count;
    struct rows wider = { low, end - low, NULL };
    wider.cells = take(h, rows_size(&wider));
    if (!wider.cells) return false;
    for (int row = 0; row < ROWS && r->count; row++)
        memcpy(row_of(&wider, (enum row)row) + (r->low - low), row_of(r, (enum row)row),
               r->count * sizeof(*r->cells));
    h->used -= rows_size(r);
    free(r->cells);
    *r = wider;
    return true;
}

static void free_series(struct history *h, struct history_series *s)
{
    for (uint32_t i = 0; i < CHUNKS_ALL; i++)
        if (s->chunks[i]) drop_chunk(h, s->chunks[i]);
    h->used -= rows_size(&s->rows) + sizeof(*s);
    free(s->rows.cells);
    list_remove(&s->link);
    free(s);
}

int history_new(struct history **out, size_t memory_max, struct err *err)
{
    struct history *h = calloc(1, sizeof(*h));
    if (!h) return err_set(err, "out of memory for the history of traffic");
    h->max = memory_max;
    list_init(&h->series);
    for (int owner = 0; owner < OWNERS; owner++)
        for (int step = 0; step < HISTORY_STEPS; step++) list_init(&h->chunks[owner][step]);
    *out = h;
    return 0;
}

void history_free(struct history *h)
{
    if (!h) return;
    while (!list_is_empty(&h->series))
        free_series(h, container_of(h->series.next, struct history_series, link));
    free(h);
}

size_t history_memory(const struct history *h)
{
    return h->used;
}

uint64_t history_given_up(const struct history *h)
{
    return h->given_up;
}

uint64_t history_lost(const struct history *h)
{
    return h->lost;
}

/* series */

static uint32_t bucket_of(const struct history_key *key)
{
    uint64_t hash = ((uint64_t)key->of << 32 | key->id) * UINT64_C(0x9e3779b97f4a7c15) + key->kind;
    return (uint32_t)((hash * UINT64_C(0x9e3779b97f4a7c15)) >> 52) % BUCKETS;
}

struct history_series *history_find(const struct history *h, const struct history_key *key)
{
    struct history_series *s = h->buckets[bucket_of(key)];
    while (s && (s->key.kind != key->kind || s->key.of != key->of || s->key.id != key->id))
        s = s->next_in_bucket;
    return s;
}

struct history_series *history_open(struct history *h, const struct history_key *key)
{
    struct history_series *s = history_find(h, key);
    if (!s) {
        s = take(h, sizeof(*s));
        if (!s) {
            h->lost++;
            return NULL;
        }
        s->key = *key;
        for (int step = HISTORY_TEN; step < HISTORY_STEPS; step++)
            s->running[step].number = h->second / steps[step].seconds;
        struct history_series **bucket = &h->buckets[bucket_of(key)];
        s->next_in_bucket = *bucket;
        *bucket = s;
        list_push_back(&h->series, &s->link);
    }
    s->round = h->round;
    return s;
}

static void forget(struct history *h, struct history_series *s)
{
    struct history_series **link = &h->buckets[bucket_of(&s->key)];
    while (*link != s) link = &(*link)->next_in_bucket;
    *link = s->next_in_bucket;
    free_series(h, s);
}

/* points */

static int64_t chunk_number(int64_t point)
{
    return point / (int64_t)CHUNK_POINTS;
}

/* For the point of that number; NULL: there is no memory. */
static struct chunk *chunk_for(struct history *h, struct history_series *s, enum history_step step,
                               int64_t point)
{
    int64_t number = chunk_number(point);
    struct chunk *c = *place_of(s, step, number);
    if (c && c->number == number) return c;
    if (c) drop_chunk(h, c);
    c = take(h, sizeof(*c));
    if (!c) {
        h->lost++;
        return NULL;
    }
    c->series = s;
    c->number = number;
    c->step = step;
    *place_of(s, step, number) = c;
    list_push_back(&h->chunks[owner_of(s)][step], &c->in_order);
    h->chunk_counts[owner_of(s)][step]++;
    return c;
}

static uint32_t saturated(uint64_t count)
{
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

/* Codes of the quantiles: by nearest rank, as histogram_quantile() has it. `other` is counted with it, or NULL. */
static void find_codes(const uint32_t *cells, const uint32_t *other, uint32_t count, uint32_t low,
                       uint16_t codes[CODES])
{
    uint64_t sum = 0, seen = 0;
    int next = 0;
    for (uint32_t i = 0; i < count; i++) sum += (uint64_t)cells[i] + (other ? other[i] : 0);
    memset(codes, 0, CODES * sizeof(*codes));
    for (uint32_t i = 0; i < count && sum; i++) {
        seen += (uint64_t)cells[i] + (other ? other[i] : 0);
        while (next < CODES && (double)seen >= shares[next] * (double)sum && seen)
            codes[next++] = (uint16_t)(low + i + 1);
    }
}

static uint64_t value_of(uint16_t code)
{
    if (!code) return 0;
    uint32_t cell = (code - 1u) << HISTORY_GROUP_BITS;
    return histogram_cell_low(cell) + (histogram_cell_width(cell) << HISTORY_GROUP_BITS) / 2;
}

static void put_point(struct history *h, struct history_series *s, enum history_step step, int64_t point,
                      const struct running *counts, const uint16_t codes[CODES])
{
    if (!counts->requests && !counts->errors && !codes[0]) return;
    struct chunk *c = chunk_for(h, s, step, point);
    if (!c) return;
    uint32_t i = (uint32_t)(point % (int64_t)CHUNK_POINTS);
    c->requests[i] = saturated(counts->requests);
    c->errors[i] = saturated(counts->errors);
    for (int k = 0; k < CODES; k++) c->codes[k][i] = codes[k];
}

/* The step's running point is over: it is kept, and another begins. */
static void finish(struct history *h, struct history_series *s, enum history_step step)
{
    struct running *r = &s->running[step];
    int64_t now = h->second / steps[step].seconds;
    if (r->number == now) return;
    uint32_t *cells = row_of(&s->rows, step == HISTORY_TEN ? ROW_TEN : ROW_MINUTE);
    size_t size = s->rows.count * sizeof(*cells);
    uint16_t codes[CODES];
    find_codes(cells, NULL, s->rows.count, s->rows.low, codes);
    put_point(h, s, step, r->number, r, codes);
    if (size && step == HISTORY_TEN && now == r->number + 1)
        memcpy(row_of(&s->rows, ROW_LAST_TEN), cells, size);
    else if (size && step == HISTORY_TEN)
        memset(row_of(&s->rows, ROW_LAST_TEN), 0, size);
    if (size) memset(cells, 0, size);
    *r = (struct running){ .number = now };
}

/* writing */

void history_begin(struct history *h, uint64_t second)
{
    h->second = (int64_t)second;
    h->has_begun = true;
    h->round++;
}

bool history_has_moved(struct history_series *s, uint64_t requests, uint64_t errors, uint64_t sum_us)
{
    if (s->requests == requests && s->errors == errors && s->sum_us == sum_us) return false;
    if (requests < s->requests || errors < s->errors || sum_us < s->sum_us) {
        s->requests = s->errors = 0;
        if (s->rows.count) memset(row_of(&s->rows, ROW_COUNTED), 0, s->rows.count * sizeof(*s->rows.cells));
    }
    s->sum_us = sum_us;
    return true;
}

/* The groups that are not 0: [low, end). */
static void find_range(const uint32_t groups[HISTORY_GROUPS], uint32_t *low, uint32_t *end)
{
    *low = 0;
    *end = HISTORY_GROUPS;
    while (*low < *end && !groups[*low]) (*low)++;
    while (*end > *low && !groups[*end - 1]) (*end)--;
}

bool history_since(struct history *h, struct history_series *s, const struct history_tally *counted,
                   struct history_tally *come)
{
    uint32_t low, end;
    memset(come, 0, sizeof(*come));
    find_range(counted->groups, &low, &end);
    if (low < end && !widen(h, &s->rows, low, end)) {
        h->lost++;
        return false;
    }
    come->requests = counted->requests - s->requests;
    come->errors = counted->errors - s->errors;
    s->requests = counted->requests;
    s->errors = counted->errors;
    uint32_t *before = s->rows.count ? row_of(&s->rows, ROW_COUNTED) : NULL;
    for (uint32_t i = 0; i < s->rows.count; i++) {
        uint32_t now = counted->groups[s->rows.low + i];
        come->groups[s->rows.low + i] = now - before[i];
        before[i] = now;
    }
    return true;
}

static void add_to_rows(struct history_series *s, const struct history_tally *come)
{
    static const enum row rows[] = { ROW_TEN, ROW_MINUTE };
    for (int k = 0; k < 2; k++) {
        uint32_t *cells = row_of(&s->rows, rows[k]);
        for (uint32_t i = 0; i < s->rows.count; i++) cells[i] += come->groups[s->rows.low + i];
    }
}

void history_add(struct history *h, struct history_series *s, const struct history_tally *come)
{
    finish(h, s, HISTORY_TEN);
    finish(h, s, HISTORY_MINUTE);
    if (!come) return;
    uint32_t low, end;
    uint16_t codes[CODES] = { 0 };
    find_range(come->groups, &low, &end);
    if (low < end) {
        find_codes(come->groups + low, NULL, end - low, low, codes);
        if (widen(h, &s->rows, low, end))
            add_to_rows(s, come);
        else
            h->lost++;
    }
    struct running now = { h->second, come->requests, come->errors };
    put_point(h, s, HISTORY_SECOND, h->second, &now, codes);
    for (int step = HISTORY_TEN; step < HISTORY_STEPS; step++) {
        s->running[step].requests += come->requests;
        s->running[step].errors += come->errors;
    }
}

static bool is_over(const struct history *h, const struct chunk *c)
{
    int64_t end = (c->number + 1) * CHUNK_POINTS;
    return end + steps[c->step].points <= h->second / steps[c->step].seconds;
}

static void drop_old(struct history *h, struct list *chunks)
{
    struct list *next;
    for (struct list *at = chunks->next; at != chunks; at = next) {
        next = at->next;
        struct chunk *c = container_of(at, struct chunk, in_order);
        if (!is_over(h, c)) return;
        drop_chunk(h, c);
    }
}

void history_end(struct history *h)
{
    for (int owner = 0; owner < OWNERS; owner++)
        for (int step = 0; step < HISTORY_STEPS; step++) drop_old(h, &h->chunks[owner][step]);
    struct list *next;
    for (struct list *at = h->series.next; at != &h->series; at = next) {
        next = at->next;
        struct history_series *s = container_of(at, struct history_series, link);
        if (h->round - s->round >= ROUNDS_MISSED_MAX) forget(h, s);
    }
}

/* reading */

uint32_t history_step_seconds(enum history_step step)
{
    return steps[step].seconds;
}

uint32_t history_step_points(enum history_step step)
{
    return steps[step].points;
}

int64_t history_latest(const struct history *h, enum history_step step)
{
    return h->has_begun ? (h->second + 1) / steps[step].seconds - 1 : -1;
}

/* A point whose step is over, but not yet kept: nothing has come since. */
static bool is_running(const struct history_series *s, enum history_step step, int64_t point)
{
    return step != HISTORY_SECOND && s->running[step].number == point;
}

static struct history_point point_of(uint64_t requests, uint64_t errors, const uint16_t codes[CODES])
{
    return (struct history_point){ requests, errors, value_of(codes[0]), value_of(codes[1]),
                                   value_of(codes[2]) };
}

static struct history_point read_one(const struct history *h, const struct history_series *s,
                                     enum history_step step, int64_t point)
{
    uint16_t codes[CODES] = { 0 };
    if (point < 0 || point > history_latest(h, step)) return point_of(0, 0, codes);
    if (is_running(s, step, point)) {
        const uint32_t *cells = row_of(&s->rows, step == HISTORY_TEN ? ROW_TEN : ROW_MINUTE);
        find_codes(cells, NULL, s->rows.count, s->rows.low, codes);
        return point_of(s->running[step].requests, s->running[step].errors, codes);
    }
    int64_t number = chunk_number(point);
    const struct chunk *c = s->chunks[steps[step].first_chunk + (uint64_t)number % steps[step].chunks];
    uint32_t i = (uint32_t)(point % (int64_t)CHUNK_POINTS);
    if (!c || c->number != number) return point_of(0, 0, codes);
    for (int k = 0; k < CODES; k++) codes[k] = c->codes[k][i];
    return point_of(c->requests[i], c->errors[i], codes);
}

void history_read(const struct history *h, const struct history_series *s, enum history_step step,
                  int64_t first, uint32_t count, struct history_point *out)
{
    for (uint32_t i = 0; i < count; i++) out[i] = read_one(h, s, step, first + i);
}

struct history_point history_recent_counts(const struct history *h, const struct history_series *s)
{
    struct history_point sum = { 0 };
    for (int64_t i = 0; i < RECENT_SECONDS; i++) {
        struct history_point p = read_one(h, s, HISTORY_SECOND, h->second - i);
        sum.requests += p.requests;
        sum.errors += p.errors;
    }
    return sum;
}

struct history_point history_recent(const struct history *h, const struct history_series *s)
{
    struct history_point sum = history_recent_counts(h, s);
    uint16_t codes[CODES] = { 0 };
    if (!s->rows.count) return sum;
    find_codes(row_of(&s->rows, ROW_TEN), row_of(&s->rows, ROW_LAST_TEN), s->rows.count, s->rows.low, codes);
    sum.p50_us = value_of(codes[0]);
    sum.p95_us = value_of(codes[1]);
    sum.p99_us = value_of(codes[2]);
    return sum;
}
