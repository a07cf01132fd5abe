#include "record/span.h"

#include <inttypes.h>

enum { KIND_SERVER = 2, KIND_CLIENT = 3, STATUS_ERROR = 2 };

/* Attributes, by the names of OpenTelemetry's semantic conventions where they have one. */

static void put_text(struct json *j, const char *key, struct slice value)
{
    if (!value.len) return;
    json_object(j);
    json_key(j, "key");
    json_string(j, key);
    json_key(j, "value");
    json_object(j);
    json_key(j, "stringValue");
    json_slice(j, value);
    json_object_end(j);
    json_object_end(j);
}

/* 64-bit numbers are texts in JSON of protobuf. */
static void put_number(struct json *j, const char *key, uint64_t value)
{
    json_object(j);
    json_key(j, "key");
    json_string(j, key);
    json_key(j, "value");
    json_object(j);
    json_key(j, "intValue");
    json_printf(j, "%" PRIu64, value);
    json_object_end(j);
    json_object_end(j);
}

static void put_name(struct json *j, const struct span_source *source, const char *key, uint32_t id)
{
    put_text(j, key, slice_of(source->names.name_of(source->names.ctx, id)));
}

static void put_id(struct json *j, const char *key, const uint8_t *id, uint32_t bytes)
{
    char text[TRACE_ID_TEXT + 1];
    trace_id_print(id, bytes, text);
    json_key(j, key);
    json_string(j, text);
}

static void put_time(struct json *j, const char *key, uint64_t wall_ns)
{
    json_key(j, key);
    json_printf(j, "%" PRIu64, wall_ns);
}

static void put_status(struct json *j, bool is_failure, enum end_reason end)
{
    json_key(j, "status");
    json_object(j);
    if (is_failure) {
        json_key(j, "code");
        json_u64(j, STATUS_ERROR);
        json_key(j, "message");
        json_string(j, end == END_OK ? "" : end_reason_info(end)->means);
    }
    json_object_end(j);
}

static void begin_span(const struct span_record *s, const uint8_t *id, const uint8_t *parent, unsigned kind,
                       struct json *j)
{
    json_object(j);
    put_id(j, "traceId", s->context.trace_id, TRACE_ID_BYTES);
    put_id(j, "spanId", id, SPAN_ID_BYTES);
    if (parent) put_id(j, "parentSpanId", parent, SPAN_ID_BYTES);
    json_key(j, "flags");
    json_u64(j, s->context.flags);
    json_key(j, "kind");
    json_u64(j, kind);
}

/* Without a query, in which people put what nobody else is to see. */
static struct slice path_of(const struct flight_record *r)
{
    const char *query = memchr(r->target, '?', r->target_len);
    return (struct slice){ r->target, query ? (size_t)(query - r->target) : r->target_len };
}

static void put_exchange(const struct span_source *source, const struct span_record *s, struct json *j)
{
    const struct flight_record *r = &s->flight;
    char id[FLIGHT_ID_TEXT_MAX], client[INET6_ADDRSTRLEN];
    const char *route = source->names.name_of(source->names.ctx, r->route);
    begin_span(s, s->context.span_id, s->has_parent ? s->parent : NULL, KIND_SERVER, j);
    json_key(j, "name");
    json_printf(j, "%s%s%s", http_method_name((enum http_method)r->method), route ? " " : "",
                route ? route : "");
    put_time(j, "startTimeUnixNano", r->start_wall_ns);
    put_time(j, "endTimeUnixNano", flight_end_wall_ns(r));
    json_key(j, "attributes");
    json_array(j);
    put_text(j, "http.request.method", slice_of(http_method_name((enum http_method)r->method)));
    put_text(j, "url.path", path_of(r));
    if (r->status) put_number(j, "http.response.status_code", r->status);
    put_text(j, "client.address", slice_of(ip_print(&r->client, client)));
    put_name(j, source, "http.route", r->route);
    put_name(j, source, "weir.listener", r->listener);
    put_name(j, source, "weir.pool", r->pool);
    put_name(j, source, "weir.variant", r->variant);
    put_text(j, "weir.end", slice_of(end_reason_info((enum end_reason)r->end)->name));
    put_text(j, "weir.id", slice_of(flight_id_print(r->id, id)));
    put_text(j, "weir.request_id", (struct slice){ r->request_id, r->request_id_len });
    put_number(j, "weir.attempts", r->attempt_count);
    json_array_end(j);
    put_status(j, flight_is_failure(r), (enum end_reason)r->end);
    json_object_end(j);
}

/* Until it failed; or, of one that was answered, until the exchange was over. */
static uint64_t attempt_end_us(const struct span_record *s, uint32_t number)
{
    const struct flight_attempt *a = &s->flight.attempts[number];
    uint64_t end_us = s->flight.total_us;
    if (number != s->flight.told && a->first_byte_us != FLIGHT_NEVER)
        end_us = (uint64_t)s->attempts[number].start_us + a->first_byte_us;
    return end_us < s->attempts[number].start_us ? s->attempts[number].start_us : end_us;
}

static void put_attempt(const struct span_source *source, const struct span_record *s, uint32_t number,
                        struct json *j)
{
    const struct flight_attempt *a = &s->flight.attempts[number];
    const struct span_attempt *own = &s->attempts[number];
    const char *server = source->names.name_of(source->names.ctx, a->server);
    uint64_t start_ns = s->flight.start_wall_ns;
    bool is_last = number + 1 == flight_kept_attempts(&s->flight); /* some before it may not be kept */
    begin_span(s, own->id, s->context.span_id, KIND_CLIENT, j);
    json_key(j, "name");
    json_string(j, server ? server : "server");
    put_time(j, "startTimeUnixNano", start_ns + own->start_us * UINT64_C(1000));
    put_time(j, "endTimeUnixNano", start_ns + attempt_end_us(s, number) * 1000);
    json_key(j, "attributes");
    json_array(j);
    if (a->status) put_number(j, "http.response.status_code", a->status);
    if (number) put_number(j, "http.request.resend_count", is_last ? s->flight.attempt_count - 1u : number);
    put_name(j, source, "weir.server", a->server);
    put_text(j, "weir.end", slice_of(end_reason_info((enum end_reason)a->end)->name));
    put_text(j, "weir.connection", a->is_reused ? SLICE("reused") : SLICE("new"));
    json_array_end(j);
    put_status(j, a->status >= 500 || (a->end != END_OK && a->end != END_NONE), (enum end_reason)a->end);
    json_object_end(j);
}

static bool was_begun(const struct span_attempt *a)
{
    static const uint8_t none[SPAN_ID_BYTES];
    return memcmp(a->id, none, sizeof(none)) != 0;
}

void span_print(const struct span_source *source, const struct span_record *s, struct json *out)
{
    put_exchange(source, s, out);
    for (uint32_t i = 0; i < flight_kept_attempts(&s->flight); i++)
        if (was_begun(&s->attempts[i])) put_attempt(source, s, i, out);
}

void span_request_begin(const struct span_source *source, struct json *out)
{
    json_object(out);
    json_key(out, "resourceSpans");
    json_array(out);
    json_object(out);
    json_key(out, "resource");
    json_object(out);
    json_key(out, "attributes");
    json_array(out);
    put_text(out, "service.name", slice_of(source->service));
    put_text(out, "service.version", slice_of(source->version));
    put_text(out, "host.name", slice_of(source->host));
    put_number(out, "process.pid", (uint64_t)source->pid);
    json_array_end(out);
    json_object_end(out);
    json_key(out, "scopeSpans");
    json_array(out);
    json_object(out);
    json_key(out, "scope");
    json_object(out);
    json_key(out, "name");
    json_string(out, "weir");
    json_key(out, "version");
    json_string(out, source->version);
    json_object_end(out);
    json_key(out, "spans");
    json_array(out);
}

void span_request_end(struct json *out)
{
    json_array_end(out);
    json_object_end(out);
    json_array_end(out);
    json_object_end(out);
    json_array_end(out);
    json_object_end(out);
}
