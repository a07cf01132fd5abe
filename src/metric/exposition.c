#include "metric/exposition.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "metric/bucket.h"
#include "metric/exposition_protobuf.h"
#include "metric/registry.h"

/* Text that grows; once memory is out, everything after is ignored. */
struct output {
    char *data;
    size_t len, cap;
    bool is_failed;
};

/* Of a number, and of a line without its name and labels: an ending, a bound with what stands around it, a number. */
#define NUMBER_MAX 32u
#define LINE_REST_MAX 80u
/* Of what stands behind a bucket: a trace and two numbers. */
#define EXEMPLAR_TEXT_MAX 128u

static bool make_room(struct output *o, size_t room)
{
    size_t cap = o->cap ? o->cap * 2 : 16384;
    while (cap - o->len < room) cap *= 2;
    char *data = o->is_failed ? NULL : realloc(o->data, cap);
    if (!data) {
        o->is_failed = true;
        return false;
    }
    o->data = data;
    o->cap = cap;
    return true;
}

static inline bool reserve(struct output *o, size_t room)
{
    return !o->is_failed && (room <= o->cap - o->len || make_room(o, room));
}

/* There must be room. */
static inline void put(struct output *o, const char *data, size_t len)
{
    if (len) memcpy(o->data + o->len, data, len);
    o->len += len;
}

#define PUT(o, literal) put((o), (literal), sizeof(literal) - 1)

static void add_bytes(struct output *o, const char *data, size_t len)
{
    if (reserve(o, len + 1)) put(o, data, len);
}

static void add_plain(struct output *o, const char *text)
{
    add_bytes(o, text, strlen(text));
}

/* At most 20 digits, for which there must be room. */
static void put_u64(struct output *o, uint64_t value)
{
    struct text t = text_over(o->data + o->len, NUMBER_MAX);
    text_add_u64(&t, value);
    o->len += t.len;
}

/* The shortest of two forms that reads back as the same number; at most NUMBER_MAX bytes. */
static void put_double(struct output *o, double value)
{
    char text[NUMBER_MAX + 1];
    if (value > 0 && value < 1e15 &&
        value == (double)(uint64_t)value) { /* most of them, and printf is slow */
        put_u64(o, (uint64_t)value);
        return;
    }
    if (isnan(value)) {
        PUT(o, "NaN");
    } else if (isinf(value)) {
        put(o, value > 0 ? "+Inf" : "-Inf", 4);
    } else {
        int len = snprintf(text, sizeof(text), "%.15g", value);
        if (strtod(text, NULL) != value) len = snprintf(text, sizeof(text), "%.17g", value);
        put(o, text, (size_t)len);
    }
}

static void add_help(struct output *o, const char *help, bool escapes_quotes)
{
    for (; *help; help++) {
        if (*help == '\n') {
            add_plain(o, "\\n");
            continue;
        }
        if (*help == '\\' || (escapes_quotes && *help == '"')) add_bytes(o, "\\", 1);
        add_bytes(o, help, 1);
    }
}

/* What the lines of a series have in common, measured once. */
struct line {
    struct slice name, labels;
};

/* name{labels,le="bound"} with a space behind it; bound NULL: without. There must be room. */
static void put_sample(struct output *o, const struct line *l, struct slice ending, const char *bound,
                       size_t bound_len)
{
    put(o, l->name.data, l->name.len);
    put(o, ending.data, ending.len);
    if (l->labels.len || bound) {
        PUT(o, "{");
        put(o, l->labels.data, l->labels.len);
        if (bound) {
            if (l->labels.len) PUT(o, ",");
            PUT(o, "le=\"");
            put(o, bound, bound_len);
            PUT(o, "\"");
        }
        PUT(o, "}");
    }
    PUT(o, " ");
}

/* With so many digits behind the point as `unit` has zeros. */
static void put_fraction(struct output *o, uint64_t value, uint64_t unit)
{
    put_u64(o, value / unit);
    PUT(o, ".");
    for (unit /= 10; unit; unit /= 10) o->data[o->len++] = (char)('0' + value / unit % 10);
}

/* Behind a bucket (OpenMetrics 1.0, "Exemplars"): " # {trace_id="…"} seconds time". */
static void put_exemplar(struct output *o, const struct exemplar *x)
{
    PUT(o, " # {trace_id=\"");
    for (unsigned i = 0; i < 2 * EXEMPLAR_TRACE_BYTES; i++)
        o->data[o->len++] = "0123456789abcdef"[x->trace_id[i / 2] >> (i % 2 ? 0 : 4) & 15];
    PUT(o, "\"} ");
    put_fraction(o, x->us, 1000000);
    PUT(o, " ");
    put_fraction(o, x->wall_ms, 1000);
}

static void put_bucket(struct output *o, const struct line *l, const char *bound, uint64_t count,
                       const struct exemplar *x)
{
    put_sample(o, l, SLICE("_bucket"), bound, strlen(bound));
    put_u64(o, count);
    if (x) put_exemplar(o, x);
    PUT(o, "\n");
}

static void put_histogram(struct output *o, const struct metric_registry *reg, uint32_t id,
                          const struct line *l, enum exposition_format format)
{
    uint64_t counts[BUCKET_COUNT] = { 0 };
    uint32_t cells[BUCKET_BOUNDS];
    bool is_text = format == EXPOSITION_TEXT;
    const struct exemplars *exemplars = is_text ? NULL : reg->exemplars;
    for (uint32_t i = 0; i < BUCKET_BOUNDS; i++) cells[i] = histogram_index(bucket_bounds[i].us);
    /* The sum first: what is observed meanwhile may be in the buckets and not in the sum, never the reverse.
     */
    uint64_t sum_us = metric_sum(reg, id), count = 0;
    metric_count_up_to(reg, id, cells, BUCKET_BOUNDS, counts);
    for (uint32_t i = 0; i < BUCKET_BOUNDS; i++) {
        count += counts[i];
        put_bucket(o, l, is_text ? bucket_bounds[i].text : bucket_bounds[i].text_openmetrics, count,
                   exemplars_find(exemplars, id, i));
    }
    count += counts[BUCKET_BOUNDS];
    put_bucket(o, l, "+Inf", count, exemplars_find(exemplars, id, BUCKET_BOUNDS));
    put_sample(o, l, SLICE("_sum"), NULL, 0);
    put_fraction(o, sum_us, 1000000);
    PUT(o, "\n");
    put_sample(o, l, SLICE("_count"), NULL, 0);
    put_u64(o, count);
    PUT(o, "\n");
}

static void add_series(struct output *o, const struct metric_registry *reg,
                       const struct metric_series *series, enum exposition_format format)
{
    const struct line l = { slice_of(series->family->name), slice_of(series->labels) };
    bool is_histogram = series->family->kind == METRIC_HISTOGRAM;
    size_t line_max = l.name.len + l.labels.len + LINE_REST_MAX + (reg->exemplars ? EXEMPLAR_TEXT_MAX : 0);
    if (!reserve(o, line_max * (is_histogram ? BUCKET_COUNT + 2 : 1))) return;
    if (is_histogram) {
        put_histogram(o, reg, series->id, &l, format);
        return;
    }
    put_sample(o, &l, SLICE_NONE, NULL, 0);
    if (series->read)
        put_double(o, series->read(series->ctx));
    else
        put_u64(o, metric_sum(reg, series->id));
    PUT(o, "\n");
}

static void add_family(struct output *o, const struct metric_registry *reg,
                       const struct metric_family *family, enum exposition_format format)
{
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter", [METRIC_HISTOGRAM] = "histogram", [METRIC_GAUGE] = "gauge"
    };
    size_t name_len = strlen(family->name);
    if (!metric_has_shown(reg, family)) return;
    /* OpenMetrics names a counter's family without the ending that its sample has. */
    if (format == EXPOSITION_OPENMETRICS && family->kind == METRIC_COUNTER) name_len -= strlen("_total");
    add_plain(o, "# HELP ");
    add_bytes(o, family->name, name_len);
    add_plain(o, " ");
    add_help(o, family->help, format == EXPOSITION_OPENMETRICS);
    add_plain(o, "\n# TYPE ");
    add_bytes(o, family->name, name_len);
    add_plain(o, " ");
    add_plain(o, kinds[family->kind]);
    add_plain(o, "\n");
    for (const struct list *at = family->series.next; at != &family->series; at = at->next) {
        const struct metric_series *series = container_of(at, struct metric_series, in_family);
        if (metric_is_shown(reg, series)) add_series(o, reg, series, format);
    }
}

static char *print_text(const struct metric_registry *reg, enum exposition_format format, size_t *len)
{
    struct output o = { 0 };
    for (const struct list *at = reg->families.next; at != &reg->families; at = at->next)
        add_family(&o, reg, container_of(at, struct metric_family, in_registry), format);
    if (format == EXPOSITION_OPENMETRICS) add_plain(&o, "# EOF\n");
    if (!reserve(&o, 1)) {
        free(o.data);
        return NULL;
    }
    o.data[o.len] = 0;
    *len = o.len;
    return o.data;
}

char *exposition_print(const struct metric_registry *reg, enum exposition_format format, size_t *len)
{
    struct exemplars *exemplars = format == EXPOSITION_TEXT ? NULL : reg->exemplars;
    exemplars_hold(exemplars); /* lest it be for nothing that workers leave some out */
    char *all = format == EXPOSITION_PROTOBUF ? exposition_print_protobuf(reg, len)
                                              : print_text(reg, format, len);
    exemplars_let_go(exemplars);
    return all;
}

const char *exposition_content_type(enum exposition_format format)
{
    static const char *const types[EXPOSITION_FORMATS] = {
        [EXPOSITION_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
        [EXPOSITION_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
        [EXPOSITION_PROTOBUF] =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    };
    return types[format];
}

/* Cuts `rest` at its next ';' and returns what was before it, trimmed. */
static struct slice next_part(struct slice *rest)
{
    const char *end = memchr(rest->data, ';', rest->len);
    struct slice part = { rest->data, end ? (size_t)(end - rest->data) : rest->len };
    size_t used = part.len + (end != NULL);
    *rest = (struct slice){ rest->data + used, rest->len - used };
    return slice_trim(part);
}

/* "0", "0.75", "1.000" as thousandths; what is malformed counts as 0. */
static unsigned parse_weight(struct slice s)
{
    if (s.len == 0 || s.len > 5 || (s.len > 1 && s.data[1] != '.')) return 0;
    unsigned weight = 0, digit = 1000;
    for (size_t i = 0; i < s.len; i++) {
        if (i == 1) continue;
        if (s.data[i] < '0' || s.data[i] > '9') return 0;
        weight += (unsigned)(s.data[i] - '0') * digit;
        digit /= 10;
    }
    return weight <= 1000 ? weight : 0;
}

/* One range of Accept, with what its parameters say. */
struct wanted {
    struct slice type;
    unsigned weight; /* thousandths */
    struct slice version, proto, encoding;
};

/* Without quotes. False: the part is no parameter of that name, whose case does not matter. */
static bool read_parameter(struct slice part, struct slice name, struct slice *value)
{
    if (part.len <= name.len || !slice_equal_fold((struct slice){ part.data, name.len }, name)) return false;
    *value = (struct slice){ part.data + name.len, part.len - name.len };
    if (value->len >= 2 && value->data[0] == '"' && value->data[value->len - 1] == '"')
        *value = (struct slice){ value->data + 1, value->len - 2 };
    return true;
}

static struct wanted read_range(struct slice element)
{
    struct wanted w = { .type = next_part(&element), .weight = 1000 };
    struct slice weight;
    while (element.len) {
        struct slice part = next_part(&element);
        if (read_parameter(part, SLICE("q="), &weight))
            w.weight = parse_weight(weight);
        else if (!read_parameter(part, SLICE("version="), &w.version) &&
                 !read_parameter(part, SLICE("proto="), &w.proto))
            (void)read_parameter(part, SLICE("encoding="), &w.encoding);
    }
    return w;
}

/* False: none of these. */
static bool find_format(const struct wanted *w, enum exposition_format *format)
{
    if (slice_equal_fold(w->type, SLICE("application/vnd.google.protobuf"))) {
        *format = EXPOSITION_PROTOBUF;
        return slice_equal(w->proto, SLICE("io.prometheus.client.MetricFamily")) &&
               slice_equal_fold(w->encoding, SLICE("delimited"));
    }
    if (slice_equal_fold(w->type, SLICE("application/openmetrics-text"))) {
        *format = EXPOSITION_OPENMETRICS;
        return !w->version.len || slice_equal(w->version, SLICE("1.0.0"));
    }
    *format = EXPOSITION_TEXT;
    return slice_equal_fold(w->type, SLICE("text/plain")) || slice_equal_fold(w->type, SLICE("text/*")) ||
           slice_equal_fold(w->type, SLICE("*/*"));
}

enum exposition_format exposition_choose(struct slice accept)
{
    unsigned weights[EXPOSITION_FORMATS] = { 0 };
    struct slice element;
    enum exposition_format format, best = EXPOSITION_TEXT;
    while (slice_next_element(&accept, &element)) {
        struct wanted w = read_range(element);
        if (find_format(&w, &format) && w.weight > weights[format]) weights[format] = w.weight;
    }
    for (format = EXPOSITION_OPENMETRICS; format < EXPOSITION_FORMATS; format++)
        if (weights[format] && weights[format] >= weights[best]) best = format;
    return best;
}
