/* Whether a response is compressed, and what its head says then. */
#include "proxy/compression.h"

#include "proxy/exchange_steps.h"
#include "proxy/listener.h"
#include "proxy/route_set.h"
#include "route/route_conf.h"
#include "tls/facts.h"

void compression_add_meters(struct compression_meters *c, struct metric_registry *m, const char *listener)
{
    struct metric_label labels[2] = { { "listener", listener }, { "algorithm", NULL } };
    for (unsigned i = 0; i < CODINGS_MADE; i++) {
        labels[1].value = coding_name((enum coding)i);
        c->responses[i] = metric_counter_rare(m, "weir_compressed_responses_total",
                                              "Responses that were compressed.", labels, 2);
        c->bytes_in[i] = metric_counter_rare(m, "weir_compressed_bytes_in_total",
                                             "Bytes of responses before they were compressed.", labels, 2);
        c->bytes_out[i] = metric_counter_rare(m, "weir_compressed_bytes_out_total", "And after that.", labels,
                                              2);
    }
    for (unsigned i = COMPRESS_YES + 1; i < COMPRESS_VERDICT_COUNT; i++) {
        labels[1] = (struct metric_label){ "reason", compress_verdict_name((enum compress_verdict)i) };
        c->passed[i] = metric_counter_rare(
            m, "weir_uncompressed_responses_total",
            "Responses that passed as they were though their route compresses, "
            "by reason.",
            labels, 2);
    }
}

static const struct compress_conf *conf_of(const struct exchange *x)
{
    const struct route_conf *route = x->route->conf;
    const struct compress_conf *c = route && route->compress ? route->compress : x->routes->conf->compress;
    return c && c->enabled ? c : NULL;
}

static struct compress_query query_of(const struct exchange *x, const struct compress_conf *conf,
                                      const struct http_send *send)
{
    return (struct compress_query){
        .conf = conf,
        .request = &x->head,
        .response = { { send->head->fields, send->head->field_count },
                      { (struct http_field *)(uintptr_t)send->extra, send->extra_count } },
        .status = send->head->status,
        /* A response to HEAD says what one to GET would have. */
        .has_length = send->body == HTTP_BODY_LENGTH || (send->body == HTTP_BODY_NONE && !send->is_bodiless),
        .length = send->body == HTTP_BODY_LENGTH ? send->content_length : 0,
        .has_certificate = x->tls && x->tls->fingerprint.len,
    };
}

/* Room for `more` fields beside those that are there. */
static struct http_field *widen(struct exchange *x, struct http_send *send, uint32_t more)
{
    struct http_field *extra = arena_alloc(&x->arena, (send->extra_count + more) * sizeof(*extra));
    if (!extra) return NULL;
    if (send->extra_count) memcpy(extra, send->extra, send->extra_count * sizeof(*extra));
    send->extra = extra;
    return extra;
}

static void put(struct http_send *send, struct http_field *extra, const char *name, struct slice value)
{
    extra[send->extra_count++] = (struct http_field){ .name = name,
                                                      .name_len = (uint16_t)strlen(name),
                                                      .value = value.data,
                                                      .value_len = (uint32_t)value.len };
}

/* W/"…", in the arena. */
static struct slice weakened(struct exchange *x, const struct http_field *etag)
{
    size_t len = etag->value_len + 2;
    char *memory = arena_alloc(&x->arena, len);
    if (!memory) return SLICE_NONE;
    memory[0] = 'W';
    memory[1] = '/';
    memcpy(memory + 2, etag->value, etag->value_len);
    return (struct slice){ memory, len };
}

/* What a response that is encoded says of itself, besides Vary. */
static int put_fields(struct exchange *x, struct http_send *send, struct http_field *extra,
                      const struct compress_query *q, const struct compress_answer *a, enum coding coding)
{
    struct slice etag = SLICE_NONE;
    if (a->etag && compress_is_strong(http_field_value(a->etag))) {
        etag = weakened(x, a->etag);
        if (!etag.data) return -1;
    }
    compress_drop_untrue(q->response[0]);
    compress_drop_untrue((struct compress_fields){ extra, send->extra_count });
    put(send, extra, "Content-Encoding", slice_of(coding_name(coding)));
    if (etag.len) put(send, extra, "ETag", etag);
    return 0;
}

/* The client's first choice that there is memory for. NULL: none, and *coding says whether it would have any. */
static struct encoder *find_encoder(struct exchange *x, const struct compress_query *q,
                                    const struct compress_answer *a, enum coding *coding)
{
    bool is_small = a->is_live || (q->has_length && q->length <= ENCODER_SMALL_MAX);
    uint8_t without = 0;
    while ((*coding = compress_choose(q, a, without)) != CODING_IDENTITY) {
        struct encoder_shape shape = { .coding = (uint8_t)*coding,
                                       .level = compress_level(q->conf, *coding),
                                       .size = is_small ? ENCODER_SMALL : ENCODER_LARGE };
        /* What comes in small pieces for ever keeps its memory as long. */
        if (a->is_live && *coding == CODING_BR && shape.level > 3) shape.level = 3;
        struct encoder *e = encoder_pool_get(&x->worker->compression.encoders, shape);
        if (e) return e;
        without |= (uint8_t)(1u << *coding);
    }
    return NULL;
}

static void count_passed(const struct exchange *x, enum compress_verdict v)
{
    metric_add(x->worker->metrics, x->listener->listener->compression.passed[v], 1);
}

static void on_pause(struct timer *t)
{
    compression_flush_at_pause(container_of(t, struct compression, pause));
}

static int start(struct exchange *x, struct encoder *e, enum coding coding, bool is_live)
{
    struct compression *c = arena_alloc(&x->arena, sizeof(*c));
    if (!c) return -1;
    *c = (struct compression){ .exchange = x, .encoder = e, .coding = (uint8_t)coding, .is_live = is_live };
    list_init(&c->turn);
    timer_init(&c->pause, on_pause);
    x->compression = c;
    return 0;
}

/* The body goes through an encoder; to HEAD there is none, and its head says what one to GET would. */
static int encode(struct exchange *x, struct http_send *send, struct http_field *extra,
                  const struct compress_query *q, const struct compress_answer *a)
{
    struct encoder *e = NULL;
    enum coding coding = CODING_IDENTITY;
    if (!send->is_bodiless && !(e = find_encoder(x, q, a, &coding))) {
        count_passed(x, COMPRESS_MEMORY);
        return 0;
    }
    if (send->is_bodiless) coding = compress_choose(q, a, 0);
    if (put_fields(x, send, extra, q, a, coding) < 0 || (e && start(x, e, coding, a->is_live) < 0)) {
        encoder_pool_put(&x->worker->compression.encoders, e);
        return -1;
    }
    send->body = send->is_bodiless ? HTTP_BODY_NONE : HTTP_BODY_UNKNOWN;
    if (e) metric_add(x->worker->metrics, x->listener->listener->compression.responses[coding], 1);
    return 0;
}

/* RFC 9110 15.4.5: a 304 has the fields of the 200 that it stands for, and a cache finds that by its entity tag. Of what a
 * client has by another way nothing is known here. */
static int confirm(struct exchange *x, struct http_send *send, const struct compress_query *q,
                   const struct compress_answer *a)
{
    if (!a->etag || !compress_was_weakened(&x->head, http_field_value(a->etag))) return 0;
    struct http_field *extra = widen(x, send, 2);
    struct slice etag = weakened(x, a->etag);
    if (!extra || !etag.data) return -1;
    compress_drop_untrue(q->response[0]);
    compress_drop_untrue((struct compress_fields){ extra, send->extra_count });
    put(send, extra, "ETag", etag);
    if (compress_lacks_vary(q)) put(send, extra, "Vary", SLICE("Accept-Encoding"));
    return 0;
}

int compression_begin(struct exchange *x, struct http_send *send)
{
    const struct compress_conf *conf = conf_of(x);
    if (!conf) return 0;
    struct compress_query q = query_of(x, conf, send);
    struct compress_answer a;
    compress_decide(&q, &a);
    if (send->head->status == 304) return confirm(x, send, &q, &a);
    if (a.verdict != COMPRESS_YES) count_passed(x, a.verdict);
    if (!a.varies) return 0;
    struct http_field *extra = widen(x, send, 3);
    if (!extra) return -1;
    /* Before what is encoded says something else of it. */
    if (compress_lacks_vary(&q)) put(send, extra, "Vary", SLICE("Accept-Encoding"));
    return a.verdict == COMPRESS_YES ? encode(x, send, extra, &q, &a) : 0;
}
