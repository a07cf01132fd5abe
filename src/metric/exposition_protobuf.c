#include "metric/exposition_protobuf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/protobuf.h"
#include "metric/bucket.h"
#include "metric/native_histogram.h"
#include "metric/registry.h"

/* Fields of io/prometheus/client/metrics.proto. */
enum { FAMILY_NAME = 1, FAMILY_HELP = 2, FAMILY_TYPE = 3, FAMILY_METRIC = 4 };
enum { TYPE_COUNTER = 0, TYPE_GAUGE = 1, TYPE_HISTOGRAM = 4 };
enum { METRIC_LABEL = 1, METRIC_OF_GAUGE = 2, METRIC_OF_COUNTER = 3, METRIC_OF_HISTOGRAM = 7 };
enum { LABEL_NAME = 1, LABEL_VALUE = 2 };
enum { NUMBER_VALUE = 1 }; /* of a gauge, of a counter */
enum {
    HISTOGRAM_SAMPLE_COUNT = 1,
    HISTOGRAM_SAMPLE_SUM = 2,
    HISTOGRAM_BUCKET = 3,
    HISTOGRAM_SCHEMA = 5,
    HISTOGRAM_ZERO_THRESHOLD = 6,
    HISTOGRAM_ZERO_COUNT = 7,
    HISTOGRAM_POSITIVE_SPAN = 12,
    HISTOGRAM_POSITIVE_DELTA = 13,
};
enum { BUCKET_CUMULATIVE_COUNT = 1, BUCKET_UPPER_BOUND = 2, BUCKET_EXEMPLAR = 3 };
enum { SPAN_OFFSET = 1, SPAN_LENGTH = 2 };
enum { EXEMPLAR_LABEL = 1, EXEMPLAR_VALUE = 2, EXEMPLAR_TIMESTAMP = 3 };
enum { TIMESTAMP_SECONDS = 1, TIMESTAMP_NANOS = 2 };

#define US_PER_S 1e6
#define MS_PER_S 1000u
#define NS_PER_MS 1000000u

/* A message is made before the one that it is a part of, since its length comes first: one for each depth. */
struct parts {
    struct protobuf all, family, metric, kind, inner, innermost, text, deltas;
    int32_t native[HISTOGRAM_CELLS]; /* buckets of cells */
};

static void put_label(struct parts *p, struct protobuf *into, unsigned field, const char *name,
                      size_t name_len)
{
    protobuf_message(&p->inner, LABEL_NAME, name, name_len);
    protobuf_part(&p->inner, LABEL_VALUE, &p->text);
    protobuf_part(into, field, &p->inner);
}

/* From a="b",c="d", whose values are escaped as text has them. */
static void put_labels(struct parts *p, const char *labels)
{
    while (*labels) {
        const char *name = labels;
        size_t name_len = strcspn(name, "=");
        for (labels = name + name_len + 2; *labels != '"'; labels++) {
            char byte = *labels;
            if (byte == '\\') byte = *++labels == 'n' ? '\n' : *labels;
            protobuf_add(&p->text, &byte, 1);
        }
        put_label(p, &p->metric, METRIC_LABEL, name, name_len);
        labels++;
        if (*labels == ',') labels++;
    }
}

static void put_exemplar(struct parts *p, const struct exemplar *x)
{
    struct protobuf *e = &p->innermost;
    for (unsigned i = 0; i < 2 * EXEMPLAR_TRACE_BYTES; i++)
        protobuf_add(&p->text, &"0123456789abcdef"[x->trace_id[i / 2] >> (i % 2 ? 0 : 4) & 15], 1);
    put_label(p, e, EXEMPLAR_LABEL, "trace_id", strlen("trace_id"));
    protobuf_double(e, EXEMPLAR_VALUE, (double)x->us / US_PER_S);
    protobuf_number(&p->text, TIMESTAMP_SECONDS, x->wall_ms / MS_PER_S);
    protobuf_number(&p->text, TIMESTAMP_NANOS, x->wall_ms % MS_PER_S * NS_PER_MS);
    protobuf_part(e, EXEMPLAR_TIMESTAMP, &p->text);
}

static void put_bucket(struct parts *p, double bound, uint64_t count, const struct exemplar *x)
{
    if (x) put_exemplar(p, x);
    protobuf_number(&p->inner, BUCKET_CUMULATIVE_COUNT, count);
    protobuf_double(&p->inner, BUCKET_UPPER_BOUND, bound);
    if (x) protobuf_part(&p->inner, BUCKET_EXEMPLAR, &p->innermost);
    protobuf_part(&p->kind, HISTOGRAM_BUCKET, &p->inner);
}

/* How many there are. */
static uint64_t put_classic(struct parts *p, const struct exemplars *exemplars, uint32_t id,
                            const uint64_t *cells)
{
    uint64_t count = 0;
    uint32_t cell = 0;
    for (uint32_t i = 0; i <= BUCKET_BOUNDS; i++) {
        uint32_t end = i < BUCKET_BOUNDS ? histogram_index(bucket_bounds[i].us) + 1 : HISTOGRAM_CELLS;
        while (cell < end) count += cells[cell++];
        put_bucket(p, i < BUCKET_BOUNDS ? (double)bucket_bounds[i].us / US_PER_S : INFINITY, count,
                   exemplars_find(exemplars, id, i));
    }
    return count;
}

static void put_span(struct parts *p, int32_t offset, uint32_t length)
{
    protobuf_signed_number(&p->inner, SPAN_OFFSET, offset);
    protobuf_number(&p->inner, SPAN_LENGTH, length);
    protobuf_part(&p->kind, HISTOGRAM_POSITIVE_SPAN, &p->inner);
}

/* Spans of buckets that follow each other, by how many are between them, the first by its own number; counts as what they
 * are more than the one before. */
static void put_native(struct parts *p, const uint64_t *cells)
{
    int32_t first = 0, end = 0, span_end = 0; /* of the span that grows, and of the one before */
    int64_t before = 0;
    for (uint32_t cell = 1; cell < HISTOGRAM_CELLS; cell++) {
        if (!cells[cell]) continue;
        int32_t bucket = p->native[cell];
        if (bucket != end || first == end) {
            if (first != end) {
                put_span(p, first - span_end, (uint32_t)(end - first));
                span_end = end;
            }
            first = bucket;
        }
        end = bucket + 1;
        protobuf_signed(&p->deltas, (int64_t)cells[cell] - before);
        before = (int64_t)cells[cell];
    }
    if (first == end) return;
    put_span(p, first - span_end, (uint32_t)(end - first));
    protobuf_part(&p->kind, HISTOGRAM_POSITIVE_DELTA, &p->deltas);
}

static void put_histogram(struct parts *p, const struct metric_registry *reg, uint32_t id)
{
    uint64_t cells[HISTOGRAM_CELLS] = { 0 };
    /* The sum first, as text has it. Classic and native buckets are of the same look at the cells: Prometheus refuses a count that is
     * not their sum. */
    uint64_t sum_us = metric_sum(reg, id);
    if (sum_us) metric_merge(reg, id, cells);
    uint64_t count = put_classic(p, reg->exemplars, id, cells);
    protobuf_number(&p->kind, HISTOGRAM_SAMPLE_COUNT, count);
    protobuf_double(&p->kind, HISTOGRAM_SAMPLE_SUM, (double)sum_us / US_PER_S);
    protobuf_signed_number(&p->kind, HISTOGRAM_SCHEMA, NATIVE_SCHEMA);
    protobuf_double(&p->kind, HISTOGRAM_ZERO_THRESHOLD, NATIVE_ZERO_THRESHOLD);
    protobuf_number(&p->kind, HISTOGRAM_ZERO_COUNT, cells[0]);
    if (count > cells[0]) put_native(p, cells);
}

static const struct {
    unsigned type, field;
} kinds[] = {
    [METRIC_COUNTER] = { TYPE_COUNTER, METRIC_OF_COUNTER },
    [METRIC_GAUGE] = { TYPE_GAUGE, METRIC_OF_GAUGE },
    [METRIC_HISTOGRAM] = { TYPE_HISTOGRAM, METRIC_OF_HISTOGRAM },
};

static void put_series(struct parts *p, const struct metric_registry *reg, const struct metric_series *series)
{
    put_labels(p, series->labels);
    if (series->family->kind == METRIC_HISTOGRAM)
        put_histogram(p, reg, series->id);
    else
        protobuf_double(&p->kind, NUMBER_VALUE,
                        series->read ? series->read(series->ctx) : (double)metric_sum(reg, series->id));
    protobuf_part(&p->metric, kinds[series->family->kind].field, &p->kind);
    protobuf_part(&p->family, FAMILY_METRIC, &p->metric);
}

static void put_family(struct parts *p, const struct metric_registry *reg, const struct metric_family *family)
{
    if (!metric_has_shown(reg, family)) return;
    protobuf_message(&p->family, FAMILY_NAME, family->name, strlen(family->name));
    protobuf_message(&p->family, FAMILY_HELP, family->help, strlen(family->help));
    protobuf_number(&p->family, FAMILY_TYPE, kinds[family->kind].type);
    for (const struct list *at = family->series.next; at != &family->series; at = at->next) {
        const struct metric_series *series = container_of(at, struct metric_series, in_family);
        if (metric_is_shown(reg, series)) put_series(p, reg, series);
    }
    protobuf_varint(&p->all, p->family.len);
    protobuf_add(&p->all, p->family.data, p->family.len);
    p->all.is_failed |= p->family.is_failed;
    p->family.len = 0;
}

static void free_parts(struct parts *p)
{
    struct protobuf *const each[] = { &p->family, &p->metric,    &p->kind,  &p->inner,
                                      &p->text,   &p->innermost, &p->deltas };
    for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++) free(each[i]->data);
    free(p);
}

char *exposition_print_protobuf(const struct metric_registry *reg, size_t *len)
{
    struct parts *p = calloc(1, sizeof(*p));
    if (!p) return NULL;
    for (uint32_t cell = 1; cell < HISTOGRAM_CELLS; cell++) p->native[cell] = native_bucket_of(cell);
    for (const struct list *at = reg->families.next; at != &reg->families; at = at->next)
        put_family(p, reg, container_of(at, struct metric_family, in_registry));
    *len = p->all.len;
    protobuf_add(&p->all, "", 1);
    uint8_t *all = p->all.data;
    if (p->all.is_failed) {
        free(all);
        all = NULL;
    }
    free_parts(p);
    return (char *)all;
}
