#include "metric/metric.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/text.h"
#include "metric/registry.h"

/* Chunks are mapped and published this many at a time: a group is one mapping of each shard, of which only
 * the pages that are counted on cost memory. */
#define GROUP_CHUNKS 64u
#define HISTOGRAM_SPAN (1 + HISTOGRAM_CELLS)
#define CELLS_MAX (METRIC_CHUNKS_MAX * METRIC_CHUNK_CELLS)
#define LABELS_TEXT_MAX 2048u
#define BUCKETS_FIRST 64u /* powers of two */
#define BUCKETS_MAX 65536u

struct metric_span {
    struct metric_span *next;
    uint32_t id;
};

struct metric_spec {
    const char *family, *help;
    const struct metric_label *labels;
    uint32_t label_count;
    enum metric_kind kind;
    double (*read)(void *ctx);
    void *ctx;
    bool is_rare;
};

static void *map_pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    madvise(p, size, MADV_NOHUGEPAGE); /* one cell must not cost 2 MiB */
    return p;
}

static struct metric_chunk *chunk_of(const struct metric_shard *shard, uint32_t index)
{
    return atomic_load_explicit(&shard->chunks[index], memory_order_acquire);
}

static _Atomic uint64_t *cell_of(const struct metric_shard *shard, uint32_t cell)
{
    return &chunk_of(shard, cell / METRIC_CHUNK_CELLS)->cells[cell % METRIC_CHUNK_CELLS];
}

static uint64_t cell_sum(const struct metric_registry *reg, uint32_t cell)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < reg->shard_count; i++)
        sum += atomic_load_explicit(cell_of(reg->shards[i], cell), memory_order_relaxed);
    return sum;
}

static bool map_group(struct metric_shard *shard, uint32_t first_chunk)
{
    struct metric_chunk *chunks = map_pages(GROUP_CHUNKS * sizeof(*chunks));
    if (!chunks) return false;
    for (uint32_t i = 0; i < GROUP_CHUNKS; i++)
        atomic_store_explicit(&shard->chunks[first_chunk + i], &chunks[i], memory_order_release);
    return true;
}

/* Makes every cell below `end` exist in every shard. */
static bool map_cells(struct metric_registry *reg, uint32_t end)
{
    while (reg->chunk_count * METRIC_CHUNK_CELLS < end) {
        for (uint32_t i = 0; i < reg->shard_count; i++) {
            struct metric_shard *shard = reg->shards[i];
            /* A group mapped before memory ran out in a later shard is found again here. */
            if (!chunk_of(shard, reg->chunk_count) && !map_group(shard, reg->chunk_count)) return false;
        }
        reg->chunk_count += GROUP_CHUNKS;
    }
    return true;
}

static void shard_free(struct metric_shard *shard)
{
    if (!shard) return;
    for (uint32_t i = 0; i < METRIC_CHUNKS_MAX && chunk_of(shard, i); i += GROUP_CHUNKS)
        munmap(chunk_of(shard, i), GROUP_CHUNKS * sizeof(struct metric_chunk));
    munmap(shard, sizeof(*shard));
}

int metric_registry_new(struct metric_registry **out, uint32_t shards, uint32_t series_max, struct err *err)
{
    struct metric_registry *reg = calloc(1, sizeof(*reg));
    if (!reg) goto no_memory;
    list_init(&reg->families);
    reg->series_max = series_max;
    reg->bucket_count = BUCKETS_FIRST;
    reg->by_hash = calloc(reg->bucket_count, sizeof(*reg->by_hash));
    reg->by_id = calloc(reg->bucket_count, sizeof(*reg->by_id));
    reg->shards = calloc(shards ? shards : 1, sizeof(*reg->shards));
    if (!reg->by_hash || !reg->by_id || !reg->shards) goto no_memory;
    for (; reg->shard_count < shards; reg->shard_count++) {
        reg->shards[reg->shard_count] = map_pages(sizeof(struct metric_shard));
        if (!reg->shards[reg->shard_count]) goto no_memory;
    }
    reg->next_cell = HISTOGRAM_SPAN; /* those before it are METRIC_NONE's */
    if (!map_cells(reg, reg->next_cell)) goto no_memory;
    *out = reg;
    return 0;

no_memory:
    metric_registry_free(reg);
    return err_set(err, "no memory for the metrics of %u threads: %s", shards, strerror(errno));
}

static void series_free(struct metric_registry *reg, struct metric_series *series);

void metric_registry_free(struct metric_registry *reg)
{
    if (!reg) return;
    while (!list_is_empty(&reg->families)) {
        struct metric_family *family = container_of(reg->families.next, struct metric_family, in_registry);
        series_free(reg, container_of(family->series.next, struct metric_series, in_family));
    }
    struct metric_span *lists[] = { reg->idle_counters, reg->idle_histograms };
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        for (struct metric_span *span = lists[i], *next; span; span = next) {
            next = span->next;
            free(span);
        }
    }
    for (uint32_t i = 0; i < reg->shard_count; i++) shard_free(reg->shards[i]);
    free(reg->shards);
    exemplars_free(reg->exemplars);
    free(reg->by_hash);
    free(reg->by_id);
    free(reg);
}

struct metric_shard *metric_shard_of(struct metric_registry *reg, uint32_t shard)
{
    return shard < reg->shard_count ? reg->shards[shard] : NULL;
}

/* Names and labels */

static bool is_name(const char *name, bool may_have_colon)
{
    if (!isalpha((unsigned char)*name) && *name != '_') return false;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && !(may_have_colon && *p == ':')) return false;
    return true;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t len = strlen(text), ending_len = strlen(ending);
    return len > ending_len && strcmp(text + len - ending_len, ending) == 0;
}

/* What promtool and OpenMetrics ask of a name, so that a family is right in both formats. */
static bool is_family_name(const char *name, enum metric_kind kind)
{
    if (!is_name(name, true)) return false;
    switch (kind) {
    case METRIC_COUNTER: return ends_with(name, "_total");
    case METRIC_HISTOGRAM: return ends_with(name, "_seconds");
    case METRIC_GAUGE:
        return !ends_with(name, "_total") && !ends_with(name, "_count") && !ends_with(name, "_sum") &&
               !ends_with(name, "_bucket");
    }
    return false;
}

static bool is_label_name(const char *name)
{
    return is_name(name, false) && strncmp(name, "__", 2) != 0 && strcmp(name, "le") != 0 &&
           strcmp(name, "quantile") != 0;
}

static void add_label(struct text *t, const struct metric_label *label)
{
    if (t->len) text_add_char(t, ',');
    text_add(t, label->name, strlen(label->name));
    TEXT_LITERAL(t, "=\"");
    for (const char *p = label->value; *p; p++) {
        if (*p == '\n') {
            TEXT_LITERAL(t, "\\n");
            continue;
        }
        if (*p == '"' || *p == '\\') text_add_char(t, '\\');
        text_add_char(t, *p);
    }
    text_add_char(t, '"');
}

/* Sorted by name, so that the order in which a caller gives them does not matter. */
static bool print_labels(struct text *t, const struct metric_label *labels, uint32_t count)
{
    const struct metric_label *sorted[METRIC_LABELS_MAX];
    if (count > METRIC_LABELS_MAX) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_label_name(labels[i].name)) return false;
        uint32_t at = i;
        for (; at > 0 && strcmp(sorted[at - 1]->name, labels[i].name) > 0; at--) sorted[at] = sorted[at - 1];
        sorted[at] = &labels[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(sorted[i]->name, sorted[i - 1]->name) == 0) return false;
        add_label(t, sorted[i]);
    }
    text_cstr(t);
    return !t->is_cut;
}

/* FNV-1a. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

/* Families and series */

static struct metric_family *family_new(struct list *before, const struct metric_spec *spec)
{
    size_t name_size = strlen(spec->family) + 1;
    struct metric_family *family = calloc(1, sizeof(*family) + name_size);
    char *help = strdup(spec->help);
    if (!family || !help) {
        free(family);
        free(help);
        return NULL;
    }
    memcpy(family->name, spec->family, name_size);
    family->help = help;
    family->kind = spec->kind;
    list_init(&family->series);
    list_insert_before(&family->in_registry, before);
    return family;
}

static void family_free_if_empty(struct metric_family *family)
{
    if (!list_is_empty(&family->series)) return;
    list_remove(&family->in_registry);
    free(family->help);
    free(family);
}

/* The family of that name, made if there is none. NULL if it is of another kind or memory is out. */
static struct metric_family *family_get(struct metric_registry *reg, const struct metric_spec *spec)
{
    struct list *at = reg->families.next;
    for (; at != &reg->families; at = at->next) {
        struct metric_family *family = container_of(at, struct metric_family, in_registry);
        int order = strcmp(family->name, spec->family);
        if (order == 0) return family->kind == spec->kind ? family : NULL;
        if (order > 0) break;
    }
    return is_family_name(spec->family, spec->kind) ? family_new(at, spec) : NULL;
}

static uint32_t cells_take(struct metric_registry *reg, enum metric_kind kind)
{
    struct metric_span **idle = kind == METRIC_HISTOGRAM ? &reg->idle_histograms : &reg->idle_counters;
    if (*idle) {
        struct metric_span *span = *idle;
        uint32_t id = span->id;
        *idle = span->next;
        free(span);
        return id;
    }
    uint32_t count = kind == METRIC_HISTOGRAM ? HISTOGRAM_SPAN : 1;
    uint32_t id = reg->next_cell;
    if (count > CELLS_MAX - id || !map_cells(reg, id + count)) return METRIC_NONE;
    reg->next_cell += count;
    return id;
}

/* Clears the cells and keeps them for the next series of that kind; without memory for the note they are
 * lost. */
static void cells_give(struct metric_registry *reg, uint32_t id, enum metric_kind kind)
{
    uint32_t count = kind == METRIC_HISTOGRAM ? HISTOGRAM_SPAN : 1;
    for (uint32_t i = 0; i < reg->shard_count; i++) {
        for (uint32_t cell = id; cell < id + count; cell++) {
            _Atomic uint64_t *p = cell_of(reg->shards[i], cell);
            /* Reading an untouched page costs nothing, writing one costs a page. */
            if (atomic_load_explicit(p, memory_order_relaxed))
                atomic_store_explicit(p, 0, memory_order_relaxed);
        }
    }
    struct metric_span *span = malloc(sizeof(*span));
    if (!span) return;
    struct metric_span **idle = kind == METRIC_HISTOGRAM ? &reg->idle_histograms : &reg->idle_counters;
    *span = (struct metric_span){ .next = *idle, .id = id };
    *idle = span;
}

static void bucket_add(struct metric_registry *reg, struct metric_series *series)
{
    struct metric_series **bucket = &reg->by_hash[series->hash & (reg->bucket_count - 1)];
    series->next_in_bucket = *bucket;
    *bucket = series;
    bucket = &reg->by_id[series->id & (reg->bucket_count - 1)];
    series->next_by_id = *bucket;
    *bucket = series;
}

/* Tables made for the most series that may be would be touched all over by a few hundred, each on a page of its own. Without
 * memory for larger ones chains grow longer, no more. */
static void buckets_grow(struct metric_registry *reg)
{
    uint32_t count = 2 * reg->bucket_count;
    struct metric_series **by_hash = calloc(count, sizeof(*by_hash)), **by_id = calloc(count, sizeof(*by_id));
    if (!by_hash || !by_id) {
        free(by_hash);
        free(by_id);
        return;
    }
    free(reg->by_hash);
    free(reg->by_id);
    reg->by_hash = by_hash;
    reg->by_id = by_id;
    reg->bucket_count = count;
    for (struct list *f = reg->families.next; f != &reg->families; f = f->next) {
        struct metric_family *family = container_of(f, struct metric_family, in_registry);
        for (struct list *at = family->series.next; at != &family->series; at = at->next)
            bucket_add(reg, container_of(at, struct metric_series, in_family));
    }
}

static struct metric_series *series_find(const struct metric_registry *reg, const struct metric_spec *spec,
                                         uint64_t hash, const char *labels)
{
    struct metric_series *series = reg->by_hash[hash & (reg->bucket_count - 1)];
    while (series && (series->hash != hash || strcmp(series->labels, labels) != 0 ||
                      strcmp(series->family->name, spec->family) != 0))
        series = series->next_in_bucket;
    return series;
}

static uint32_t series_add(struct metric_registry *reg, const struct metric_spec *spec, uint64_t hash,
                           const struct text *labels)
{
    if (reg->series_count == reg->series_max) return METRIC_NONE;
    struct metric_series *series = calloc(1, sizeof(*series) + labels->len + 1);
    if (!series) return METRIC_NONE;
    struct metric_family *family = family_get(reg, spec);
    uint32_t id = family ? cells_take(reg, spec->kind) : METRIC_NONE;
    if (id == METRIC_NONE) {
        if (family) family_free_if_empty(family);
        free(series);
        return METRIC_NONE;
    }
    memcpy(series->labels, labels->data, labels->len);
    series->family = family;
    series->hash = hash;
    series->id = id;
    series->users = 1;
    series->read = spec->read;
    series->is_rare = spec->is_rare;
    series->ctx = spec->ctx;
    list_push_back(&family->series, &series->in_family);
    bucket_add(reg, series);
    if (++reg->series_count > reg->bucket_count && reg->bucket_count < BUCKETS_MAX) buckets_grow(reg);
    return id;
}

/* Without memory for the note the series stays for good: no more than a line too many on the page. */
static void scope_add(struct metric_scope *scope, uint32_t id)
{
    if (scope->count == scope->room) {
        uint32_t room = scope->room ? 2 * scope->room : 16;
        uint32_t *ids = realloc(scope->ids, room * sizeof(*ids));
        if (!ids) return;
        scope->ids = ids;
        scope->room = room;
    }
    scope->ids[scope->count++] = id;
}

static uint32_t series_get(struct metric_registry *reg, const struct metric_spec *spec)
{
    char buffer[LABELS_TEXT_MAX];
    struct text labels = text_over(buffer, sizeof(buffer));
    uint32_t id = METRIC_NONE;
    if (print_labels(&labels, spec->labels, spec->label_count)) {
        uint64_t hash = hash_text(hash_text(UINT64_C(0xcbf29ce484222325), spec->family), buffer);
        struct metric_series *series = series_find(reg, spec, hash, buffer);
        if (!series)
            id = series_add(reg, spec, hash, &labels);
        else if (series->family->kind == spec->kind && series->read == spec->read && series->ctx == spec->ctx)
            id = series->id, series->users++;
    }
    if (id == METRIC_NONE)
        reg->refused++;
    else if (reg->scope)
        scope_add(reg->scope, id);
    return id;
}

static void series_free(struct metric_registry *reg, struct metric_series *series)
{
    struct metric_series **link = &reg->by_hash[series->hash & (reg->bucket_count - 1)];
    while (*link != series) link = &(*link)->next_in_bucket;
    *link = series->next_in_bucket;
    link = &reg->by_id[series->id & (reg->bucket_count - 1)];
    while (*link != series) link = &(*link)->next_by_id;
    *link = series->next_by_id;
    list_remove(&series->in_family);
    family_free_if_empty(series->family);
    free(series);
    reg->series_count--;
}

uint32_t metric_counter(struct metric_registry *reg, const char *family, const char *help,
                        const struct metric_label *labels, uint32_t label_count)
{
    return series_get(
        reg, &(struct metric_spec){ family, help, labels, label_count, METRIC_COUNTER, NULL, NULL, false });
}

uint32_t metric_counter_rare(struct metric_registry *reg, const char *family, const char *help,
                             const struct metric_label *labels, uint32_t label_count)
{
    return series_get(
        reg, &(struct metric_spec){ family, help, labels, label_count, METRIC_COUNTER, NULL, NULL, true });
}

uint32_t metric_histogram(struct metric_registry *reg, const char *family, const char *help,
                          const struct metric_label *labels, uint32_t label_count)
{
    return series_get(
        reg, &(struct metric_spec){ family, help, labels, label_count, METRIC_HISTOGRAM, NULL, NULL, false });
}

uint32_t metric_gauge_fn(struct metric_registry *reg, const char *family, const char *help,
                         const struct metric_label *labels, uint32_t label_count, double (*read)(void *ctx),
                         void *ctx)
{
    return series_get(
        reg, &(struct metric_spec){ family, help, labels, label_count, METRIC_GAUGE, read, ctx, false });
}

uint32_t metric_counter_fn(struct metric_registry *reg, const char *family, const char *help,
                           const struct metric_label *labels, uint32_t label_count, double (*read)(void *ctx),
                           void *ctx)
{
    return series_get(
        reg, &(struct metric_spec){ family, help, labels, label_count, METRIC_COUNTER, read, ctx, false });
}

void metric_retire(struct metric_registry *reg, uint32_t id)
{
    struct metric_series *series = reg->by_id[id & (reg->bucket_count - 1)];
    while (series && series->id != id) series = series->next_by_id;
    if (!series || --series->users) return;
    enum metric_kind kind = series->family->kind;
    if (kind == METRIC_HISTOGRAM) exemplars_forget(reg->exemplars, id);
    series_free(reg, series);
    cells_give(reg, id, kind);
}

int metric_keep_exemplars(struct metric_registry *reg, struct err *err)
{
    return reg->exemplars ? 0 : exemplars_new(&reg->exemplars, reg->shard_count, err);
}

struct exemplars *metric_exemplars(const struct metric_registry *reg)
{
    return reg->exemplars;
}

void metric_scope_open(struct metric_registry *reg, struct metric_scope *scope)
{
    scope->outer = reg->scope;
    reg->scope = scope;
}

void metric_scope_close(struct metric_registry *reg, struct metric_scope *scope)
{
    assert(reg->scope == scope);
    reg->scope = scope->outer;
}

void metric_scope_retire(struct metric_registry *reg, struct metric_scope *scope)
{
    for (uint32_t i = 0; i < scope->count; i++) metric_retire(reg, scope->ids[i]);
    free(scope->ids);
    *scope = (struct metric_scope){ 0 };
}

/* Reading */

uint64_t metric_sum(const struct metric_registry *reg, uint32_t id)
{
    return cell_sum(reg, id);
}

/* From the histogram's cell `cell` on, as many as lie in one chunk. */
static uint32_t cells_in_chunk(const struct metric_shard *shard, uint32_t id, uint32_t cell,
                               const _Atomic uint64_t **cells)
{
    uint32_t at = id + 1 + cell, rest = METRIC_CHUNK_CELLS - at % METRIC_CHUNK_CELLS;
    *cells = cell_of(shard, at);
    return rest < HISTOGRAM_CELLS - cell ? rest : HISTOGRAM_CELLS - cell;
}

/* Nothing was observed there: its cells, which may never have been touched, are all 0. Most histograms of most workers are so
 * where there are many, and reading them all would take seconds. */
static bool is_empty(const struct metric_shard *shard, uint32_t id)
{
    return !atomic_load_explicit(cell_of(shard, id), memory_order_acquire);
}

void metric_merge(const struct metric_registry *reg, uint32_t id, uint64_t cells[HISTOGRAM_CELLS])
{
    for (uint32_t k = 0; k < reg->shard_count; k++) {
        const _Atomic uint64_t *from;
        if (is_empty(reg->shards[k], id)) continue;
        for (uint32_t cell = 0, count; cell < HISTOGRAM_CELLS; cell += count) {
            count = cells_in_chunk(reg->shards[k], id, cell, &from);
            for (uint32_t i = 0; i < count; i++)
                cells[cell + i] += atomic_load_explicit(&from[i], memory_order_relaxed);
        }
    }
}

void metric_count_up_to(const struct metric_registry *reg, uint32_t id, const uint32_t *ends, uint32_t count,
                        uint64_t *counts)
{
    for (uint32_t k = 0; k < reg->shard_count; k++) {
        const _Atomic uint64_t *from;
        uint32_t at = 0;
        if (is_empty(reg->shards[k], id)) continue;
        for (uint32_t cell = 0, length; cell < HISTOGRAM_CELLS; cell += length) {
            length = cells_in_chunk(reg->shards[k], id, cell, &from);
            for (uint32_t i = 0; i < length; i++) {
                while (at < count && cell + i > ends[at]) at++;
                counts[at] += atomic_load_explicit(&from[i], memory_order_relaxed);
            }
        }
    }
}

void metric_fold(const struct metric_registry *reg, uint32_t id, uint32_t bits, uint32_t *groups)
{
    for (uint32_t k = 0; k < reg->shard_count; k++) {
        const _Atomic uint64_t *from;
        if (is_empty(reg->shards[k], id)) continue;
        for (uint32_t cell = 0, count; cell < HISTOGRAM_CELLS; cell += count) {
            count = cells_in_chunk(reg->shards[k], id, cell, &from);
            for (uint32_t i = 0; i < count; i++) {
                uint64_t value = atomic_load_explicit(&from[i], memory_order_relaxed);
                if (value) groups[(cell + i) >> bits] += (uint32_t)value;
            }
        }
    }
}

uint64_t metric_count(const struct metric_registry *reg, uint32_t id)
{
    uint64_t counts[1] = { 0 };
    metric_count_up_to(reg, id, NULL, 0, counts);
    return counts[0];
}

uint64_t metric_quantile(const struct metric_registry *reg, uint32_t id, double q)
{
    uint64_t cells[HISTOGRAM_CELLS] = { 0 };
    metric_merge(reg, id, cells);
    return histogram_quantile(cells, q);
}

uint32_t metric_series_count(const struct metric_registry *reg)
{
    return reg->series_count;
}

uint64_t metric_refused(const struct metric_registry *reg)
{
    return reg->refused;
}
