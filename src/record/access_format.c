#include "record/access_format.h"

#include <string.h>

#include "base/clock.h"
#include "record/access_escape.h"
#include "record/access_line.h"
#include "record/access_tls.h"
#include "record/trace_context.h"

/* Values */

void access_line_missing(const struct access_line *l)
{
    if (l->format->escape == ACCESS_ESCAPE_DEFAULT) text_add_char(l->out, '-');
}

/* Without data: missing, which is not the same as empty. */
static void add_value(const struct access_line *l, struct slice s)
{
    if (!s.data) {
        access_line_missing(l);
        return;
    }
    bool is_cut = s.len > ACCESS_VALUE_MAX;
    if (is_cut) s.len = ACCESS_VALUE_MAX;
    access_escape_add(l->out, l->format->escape, s);
    if (is_cut) TEXT_LITERAL(l->out, "...");
}

void access_line_name(const struct access_line *l, struct slice name)
{
    add_value(l, name.len ? name : SLICE_NONE);
}

/* Seconds with three digits, as nginx writes durations. */
static void add_seconds(struct text *out, uint64_t us)
{
    uint64_t ms = us / 1000;
    unsigned part = (unsigned)(ms % 1000);
    text_add_u64(out, ms / 1000);
    text_add(out,
             (const char[]){ '.', (char)('0' + part / 100), (char)('0' + part / 10 % 10),
                             (char)('0' + part % 10) },
             4);
}

/* The request */

static struct slice find_field(const struct http_head *head, uint8_t id, struct slice name)
{
    if (!head) return SLICE_NONE;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (f->id != id ||
            (id == HTTP_FIELD_OTHER && !slice_equal_fold((struct slice){ f->name, f->name_len }, name)))
            continue;
        /* A present but empty value is not a missing one. */
        return (struct slice){ f->value ? f->value : "", f->value_len };
    }
    return SLICE_NONE;
}

static struct slice target_of(const struct access_entry *e)
{
    if (e->request && e->request->target.data) return e->request->target;
    return e->record->target_len ? (struct slice){ e->record->target, e->record->target_len } : SLICE_NONE;
}

static struct slice path_of(struct slice target, struct slice *args)
{
    const char *mark = target.data ? memchr(target.data, '?', target.len) : NULL;
    *args = SLICE_NONE;
    if (!mark) return target;
    size_t len = (size_t)(mark - target.data);
    *args = (struct slice){ mark + 1, target.len - len - 1 };
    return (struct slice){ target.data, len };
}

static struct slice protocol_of(const struct access_entry *e)
{
    static const struct slice names[] = { { "HTTP/1.0", 8 }, { "HTTP/1.1", 8 }, { "HTTP/2", 6 } };
    if (e->record->flags & FLIGHT_UDP) return SLICE("UDP");
    unsigned version = e->request ? (unsigned)e->request->version : e->record->version;
    bool is_known = e->request || e->record->target_len;
    return is_known && version < sizeof(names) / sizeof(*names) ? names[version] : SLICE_NONE;
}

static struct slice method_of(const struct access_entry *e)
{
    static const struct slice names[] = {
#define X(id, text, is_safe, is_idempotent) [HTTP_##id] = { text, sizeof(text) - 1 },
        HTTP_METHODS(X)
#undef X
    };
    if (e->request && e->request->method_text.len) return e->request->method_text;
    bool is_known = e->record->target_len && e->record->method < sizeof(names) / sizeof(*names);
    return is_known ? names[e->record->method] : SLICE_NONE;
}

static void add_request(const struct access_line *l)
{
    struct slice method = method_of(l->entry);
    if (!method.data) {
        access_line_missing(l);
        return;
    }
    const struct http_head *head = l->entry->request;
    add_value(l, method);
    text_add_char(l->out, ' ');
    if (head && head->scheme.len) {
        add_value(l, head->scheme);
        TEXT_LITERAL(l->out, "://");
        add_value(l, head->authority);
    }
    add_value(l, target_of(l->entry));
    text_add_char(l->out, ' ');
    add_value(l, protocol_of(l->entry));
}

/* Without the port and in lower case, as nginx has it. */
static void add_host(const struct access_line *l)
{
    const struct http_head *head = l->entry->request;
    struct slice host = head && head->authority.len ? head->authority
                                                    : find_field(head, HTTP_FIELD_HOST, SLICE_NONE);
    char low[256];
    if (!host.data || !host.len || host.len > sizeof(low)) {
        access_line_missing(l);
        return;
    }
    const char *bracket = memrchr(host.data, ']', host.len);
    const char *from = bracket ? bracket : host.data;
    const char *colon = memchr(from, ':', host.len - (size_t)(from - host.data));
    if (colon) host.len = (size_t)(colon - host.data);
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        low[i] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
    }
    access_line_name(l, (struct slice){ low, host.len });
}

static void add_client(const struct access_line *l)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    const uint8_t *bytes = l->entry->record->client.bytes;
    char printed[INET6_ADDRSTRLEN];
    if (memcmp(bytes, mapped, sizeof(mapped)) != 0) {
        text_add_slice(l->out, slice_of(ip_print(&l->entry->record->client, printed)));
        return;
    }
    char *p = printed;
    for (unsigned i = 12; i < 16; i++) {
        unsigned byte = bytes[i];
        if (byte >= 100) *p++ = (char)('0' + byte / 100);
        if (byte >= 10) *p++ = (char)('0' + byte / 10 % 10);
        *p++ = (char)('0' + byte % 10);
        *p++ = '.';
    }
    text_add(l->out, printed, (size_t)(p - printed) - 1);
}

static void add_status(const struct access_line *l)
{
    unsigned status = l->entry->record->status;
    if (status < 100 && l->format->escape == ACCESS_ESCAPE_DEFAULT)
        TEXT_LITERAL(l->out, "000"); /* as nginx has it; JSON knows no such number */
    else
        text_add_u64(l->out, status);
}

/* The attempts */

static struct slice server_of(const struct access_entry *e, uint32_t attempt)
{
    return e->servers[attempt].len ? e->servers[attempt] : SLICE_NONE;
}

static void add_attempt_addr(const struct access_line *l, const struct flight_attempt *a, uint32_t i)
{
    (void)a;
    add_value(l, server_of(l->entry, i));
}

/* What did not come has the status that weir gives for it, as with nginx. */
static void add_attempt_status(const struct access_line *l, const struct flight_attempt *a, uint32_t i)
{
    (void)i;
    unsigned status = a->status ? a->status : end_reason_info((enum end_reason)a->end)->status;
    if (status)
        text_add_u64(l->out, status);
    else
        text_add_char(l->out, '-');
}

static void add_us(const struct access_line *l, uint32_t us)
{
    if (us == FLIGHT_NEVER)
        text_add_char(l->out, '-');
    else
        add_seconds(l->out, us);
}

static void add_attempt_connect(const struct access_line *l, const struct flight_attempt *a, uint32_t i)
{
    (void)i;
    add_us(l, a->connect_us);
}

static void add_attempt_header(const struct access_line *l, const struct flight_attempt *a, uint32_t i)
{
    (void)i;
    add_us(l, a->status ? a->first_byte_us : FLIGHT_NEVER);
}

/* The one that answered goes on to the end; the others ended when they failed, or were outrun. */
static void add_attempt_response(const struct access_line *l, const struct flight_attempt *a, uint32_t i)
{
    const struct flight_record *r = l->entry->record;
    if (i == r->told && a->status && r->picked_us != FLIGHT_NEVER && r->total_us >= r->picked_us)
        add_seconds(l->out, r->total_us - r->picked_us);
    else
        add_us(l, a->first_byte_us);
}

static void add_attempts(const struct access_line *l,
                         void (*add)(const struct access_line *, const struct flight_attempt *, uint32_t))
{
    const struct flight_record *r = l->entry->record;
    uint32_t count = flight_kept_attempts(r);
    if (count == 0) access_line_missing(l);
    for (uint32_t i = 0; i < count; i++) {
        if (i) TEXT_LITERAL(l->out, ", ");
        add(l, &r->attempts[i], i);
    }
}

/* One function a variable */

static void add_literal(const struct access_line *l)
{
    text_add(l->out, l->format->text + l->op->at, l->op->len);
}

static void add_request_field(const struct access_line *l)
{
    struct slice name = { l->format->text + l->op->at, l->op->len };
    add_value(l, find_field(l->entry->request, l->op->field_id, name));
}

static void add_response_field(const struct access_line *l)
{
    struct slice name = { l->format->text + l->op->at, l->op->len };
    add_value(l, find_field(l->entry->response, l->op->field_id, name));
}

static void add_args(const struct access_line *l)
{
    struct slice args;
    path_of(target_of(l->entry), &args);
    add_value(l, args);
}

static void add_uri(const struct access_line *l)
{
    struct slice args;
    add_value(l, path_of(target_of(l->entry), &args));
}

static void add_body_bytes(const struct access_line *l)
{
    text_add_u64(l->out, l->entry->body_bytes);
}

static void add_compression(const struct access_line *l)
{
    add_value(l, l->entry->compression);
}

/* As nginx has it, also of other algorithms: how many times as large it was. */
static void add_gzip_ratio(const struct access_line *l)
{
    const struct access_entry *e = l->entry;
    char text[32];
    struct text t = text_over(text, sizeof(text));
    if (e->encoded_bytes) text_printf(&t, "%.2f", (double)e->plain_bytes / (double)e->encoded_bytes);
    add_value(l, t.len ? text_slice(&t) : SLICE_NONE);
}

static void add_grpc_status(const struct access_line *l)
{
    const struct flight_record *r = l->entry->record;
    if (r->grpc)
        text_add_u64(l->out, r->grpc - 1u);
    else
        access_line_missing(l);
}

static void add_bytes_sent(const struct access_line *l)
{
    text_add_u64(l->out, l->entry->record->bytes_out);
}

static void add_request_length(const struct access_line *l)
{
    text_add_u64(l->out, l->entry->record->bytes_in);
}

/* 0 of what is no session of datagrams. */
static void add_datagrams(const struct access_line *l, uint32_t count)
{
    text_add_u64(l->out, l->entry->record->flags & FLIGHT_UDP ? count : 0);
}

static void add_datagrams_in(const struct access_line *l)
{
    add_datagrams(l, l->entry->record->datagrams_in);
}

static void add_datagrams_out(const struct access_line *l)
{
    add_datagrams(l, l->entry->record->datagrams_out);
}

static void add_connection(const struct access_line *l)
{
    text_add_u64(l->out, l->entry->connection_id);
}

static void add_connection_requests(const struct access_line *l)
{
    text_add_u64(l->out, l->entry->connection_requests);
}

static void add_hostname(const struct access_line *l)
{
    access_line_name(l, slice_of(l->clock->hostname));
}

static void add_pid(const struct access_line *l)
{
    text_add_slice(l->out, slice_of(l->clock->pid));
}

static void add_msec(const struct access_line *l)
{
    add_seconds(l->out, l->entry->now_wall_ns / 1000);
}

static void add_remote_port(const struct access_line *l)
{
    text_add_u64(l->out, l->entry->record->client_port);
}

static void add_user(const struct access_line *l)
{
    access_line_name(l, l->entry->user);
}

static void add_request_id(const struct access_line *l)
{
    access_line_name(l, (struct slice){ l->entry->record->request_id, l->entry->record->request_id_len });
}

static void add_method(const struct access_line *l)
{
    add_value(l, method_of(l->entry));
}

static void add_request_time(const struct access_line *l)
{
    add_seconds(l->out, l->entry->record->total_us);
}

static void add_request_uri(const struct access_line *l)
{
    add_value(l, target_of(l->entry));
}

static void add_scheme(const struct access_line *l)
{
    uint16_t flags = l->entry->record->flags;
    if (flags & FLIGHT_TCP)
        access_line_missing(l);
    else if (flags & FLIGHT_CLIENT_TLS)
        TEXT_LITERAL(l->out, "https");
    else
        TEXT_LITERAL(l->out, "http");
}

static void add_protocol(const struct access_line *l)
{
    add_value(l, protocol_of(l->entry));
}

static void add_time_iso8601(const struct access_line *l)
{
    text_add(l->out, l->clock->iso8601, l->clock->iso8601_len);
}

static void add_time_local(const struct access_line *l)
{
    text_add(l->out, l->clock->local, l->clock->local_len);
}

static void add_upstream_addr(const struct access_line *l)
{
    add_attempts(l, add_attempt_addr);
}

static void add_upstream_status(const struct access_line *l)
{
    add_attempts(l, add_attempt_status);
}

static void add_upstream_connect_time(const struct access_line *l)
{
    add_attempts(l, add_attempt_connect);
}

static void add_upstream_header_time(const struct access_line *l)
{
    add_attempts(l, add_attempt_header);
}

static void add_upstream_response_time(const struct access_line *l)
{
    add_attempts(l, add_attempt_response);
}

static void add_weir_end(const struct access_line *l)
{
    text_add_slice(l->out, slice_of(end_reason_info((enum end_reason)l->entry->record->end)->name));
}

static void add_weir_id(const struct access_line *l)
{
    text_add_hex(l->out, l->entry->record->id, 16);
}

static void add_weir_listener(const struct access_line *l)
{
    access_line_name(l, l->entry->listener);
}

static void add_weir_origin(const struct access_line *l)
{
    text_add_slice(l->out, slice_of(end_origin_name(flight_origin(l->entry->record))));
}

static void add_weir_pool(const struct access_line *l)
{
    access_line_name(l, l->entry->pool);
}

static void add_weir_reason(const struct access_line *l)
{
    const struct flight_record *r = l->entry->record;
    uint32_t count = flight_kept_attempts(r);
    if (count)
        text_add_slice(l->out,
                       slice_of(balance_reason_name((enum balance_reason)r->attempts[count - 1].reason)));
    else
        access_line_missing(l);
}

static void add_weir_route(const struct access_line *l)
{
    access_line_name(l, l->entry->route);
}

static void add_weir_server(const struct access_line *l)
{
    access_line_name(l, l->entry->server);
}

static void add_weir_trace_id(const struct access_line *l)
{
    char id[TRACE_ID_TEXT + 1];
    if (l->entry->trace_id) trace_id_print(l->entry->trace_id, TRACE_ID_BYTES, id);
    access_line_name(l, l->entry->trace_id ? (struct slice){ id, TRACE_ID_TEXT } : SLICE_NONE);
}

static void add_weir_split(const struct access_line *l)
{
    access_line_name(l, l->entry->split);
}

static void add_weir_variant(const struct access_line *l)
{
    access_line_name(l, l->entry->variant);
}

/* RFC 3339 in UTC with milliseconds. */
static void add_weir_time(const struct access_line *l)
{
    unsigned ms = (unsigned)(l->entry->now_wall_ns % NS_PER_S / NS_PER_MS);
    text_add(l->out, l->clock->utc, l->clock->utc_len);
    text_add(
        l->out,
        (const char[]){ '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z' },
        5);
}

static void (*const adders[ACCESS_CODE_COUNT])(const struct access_line *) = {
    [ACCESS_LITERAL] = add_literal,
    [ACCESS_REQUEST_FIELD] = add_request_field,
    [ACCESS_RESPONSE_FIELD] = add_response_field,
    [ACCESS_ARGS] = add_args,
    [ACCESS_BODY_BYTES_SENT] = add_body_bytes,
    [ACCESS_GZIP_RATIO] = add_gzip_ratio,
    [ACCESS_WEIR_COMPRESSION] = add_compression,
    [ACCESS_WEIR_GRPC_STATUS] = add_grpc_status,
    [ACCESS_BYTES_SENT] = add_bytes_sent,
    [ACCESS_CONNECTION] = add_connection,
    [ACCESS_CONNECTION_REQUESTS] = add_connection_requests,
    [ACCESS_HOST] = add_host,
    [ACCESS_HOSTNAME] = add_hostname,
    [ACCESS_MSEC] = add_msec,
    [ACCESS_PID] = add_pid,
    [ACCESS_QUERY_STRING] = add_args,
    [ACCESS_REMOTE_ADDR] = add_client,
    [ACCESS_REMOTE_PORT] = add_remote_port,
    [ACCESS_REMOTE_USER] = add_user,
    [ACCESS_REQUEST] = add_request,
    [ACCESS_REQUEST_ID] = add_request_id,
    [ACCESS_REQUEST_LENGTH] = add_request_length,
    [ACCESS_REQUEST_METHOD] = add_method,
    [ACCESS_REQUEST_TIME] = add_request_time,
    [ACCESS_REQUEST_URI] = add_request_uri,
    [ACCESS_SCHEME] = add_scheme,
    [ACCESS_SERVER_PROTOCOL] = add_protocol,
    [ACCESS_SSL_CIPHER] = access_tls_cipher,
    [ACCESS_SSL_CLIENT_S_DN] = access_tls_client_subject,
    [ACCESS_SSL_CLIENT_VERIFY] = access_tls_client_verify,
    [ACCESS_SSL_PROTOCOL] = access_tls_protocol,
    [ACCESS_SSL_SERVER_NAME] = access_tls_server_name,
    [ACCESS_SSL_SESSION_REUSED] = access_tls_session_reused,
    [ACCESS_STATUS] = add_status,
    [ACCESS_TIME_ISO8601] = add_time_iso8601,
    [ACCESS_TIME_LOCAL] = add_time_local,
    [ACCESS_UPSTREAM_ADDR] = add_upstream_addr,
    [ACCESS_UPSTREAM_CONNECT_TIME] = add_upstream_connect_time,
    [ACCESS_UPSTREAM_HEADER_TIME] = add_upstream_header_time,
    [ACCESS_UPSTREAM_RESPONSE_TIME] = add_upstream_response_time,
    [ACCESS_UPSTREAM_STATUS] = add_upstream_status,
    [ACCESS_URI] = add_uri,
    [ACCESS_WEIR_CLIENT_FINGERPRINT] = access_tls_client_fingerprint,
    [ACCESS_WEIR_CLIENT_NAMES] = access_tls_client_names,
    [ACCESS_WEIR_DATAGRAMS_IN] = add_datagrams_in,
    [ACCESS_WEIR_DATAGRAMS_OUT] = add_datagrams_out,
    [ACCESS_WEIR_END] = add_weir_end,
    [ACCESS_WEIR_ID] = add_weir_id,
    [ACCESS_WEIR_LISTENER] = add_weir_listener,
    [ACCESS_WEIR_ORIGIN] = add_weir_origin,
    [ACCESS_WEIR_POOL] = add_weir_pool,
    [ACCESS_WEIR_REASON] = add_weir_reason,
    [ACCESS_WEIR_ROUTE] = add_weir_route,
    [ACCESS_WEIR_SPLIT] = add_weir_split,
    [ACCESS_WEIR_TRACE_ID] = add_weir_trace_id,
    [ACCESS_WEIR_VARIANT] = add_weir_variant,
    [ACCESS_WEIR_SERVER] = add_weir_server,
    [ACCESS_WEIR_TIME] = add_weir_time,
};

bool access_format_wants_response(const struct access_format *format)
{
    for (uint32_t i = 0; i < format->op_count; i++)
        if (format->ops[i].code == ACCESS_RESPONSE_FIELD) return true;
    return false;
}

void access_format_line(const struct access_format *format, const struct access_clock *clock,
                        const struct access_entry *entry, struct text *out)
{
    struct access_line line = { .format = format, .clock = clock, .entry = entry, .out = out };
    for (line.op = format->ops; line.op < format->ops + format->op_count; line.op++)
        adders[line.op->code](&line);
}
