#include "proxy/fault.h"

#include "base/json.h"
#include "base/text.h"
#include "http/h1_parse.h"
#include "proxy/choose.h"
#include "proxy/fault_page.h"
#include "proxy/grpc.h"
#include "proxy/headers.h"
#include "route/maintenance_conf.h"

#define SENTENCE_MAX 640
#define BODY_MAX 2048
/* A target may have 64 KiB, and stand in it more than once; a block of the arena holds this. */
#define LOCATION_MAX (120u << 10)
#define ALLOWED_OF_FILES "GET, HEAD"
#define ALLOWED "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH"

/* "0.42 ms", "12 ms", "1.50 s". */
static void add_duration(struct text *t, uint64_t ns)
{
    if (ns < 10 * NS_PER_MS)
        text_printf(t, "%.2f ms", (double)ns / 1e6);
    else if (ns < NS_PER_S)
        text_printf(t, "%llu ms", (unsigned long long)(ns / NS_PER_MS));
    else
        text_printf(t, "%.2f s", (double)ns / 1e9);
}

static const char *phase_of(const struct exchange *x)
{
    const struct flight_record *r = &x->record;
    if (r->connected_us == FLIGHT_NEVER) return "while connecting";
    if (r->sent_us == FLIGHT_NEVER) return "while the request was being sent";
    if (r->first_byte_us == FLIGHT_NEVER) return "while waiting for its response";
    return "within its response";
}

const struct server *fault_server(const struct exchange *x)
{
    const struct flight_attempt *last = attempt_kept(&x->attempt);
    return last && x->view ? roster_server_by_id(x->view->set->roster, last->server) : NULL;
}

static void add_server_part(const struct exchange *x, struct text *t)
{
    const struct end_reason_info *info = end_reason_info((enum end_reason)x->end);
    const struct server *s = fault_server(x);
    bool is_servers = info->origin == ORIGIN_SERVER && s;
    if (is_servers) {
        text_printf(t, " Server \"%s\"", s->name);
        if (strcmp(s->name, s->address_text) != 0) text_printf(t, " (%s)", s->address_text);
        text_printf(t, " of pool \"%s\" failed %s, after ", x->pool->pool->name, phase_of(x));
        add_duration(t, x->worker->loop.now_ns - x->attempt.start_ns);
        if (x->attempts > 1) text_printf(t, "; it was attempt %u", x->attempts);
        text_add_char(t, '.');
    } else if (x->pool) {
        text_printf(t, " This was pool \"%s\", after ", x->pool->pool->name);
        add_duration(t, x->worker->loop.now_ns - x->start_ns);
        text_add_char(t, '.');
    }
}

static void add_detail(const struct exchange *x, struct text *t)
{
    if (x->end == END_RESPONSE_HEAD_TOO_LARGE && x->pool) {
        text_printf(t, " (%u bytes have come, %u are allowed)", x->detail_number, x->pool->limits.head_max);
        return;
    }
    if (x->end == END_BODY_TOO_LARGE) {
        uint64_t limit = choose_body_limit(x->routes, x->route);
        text_printf(t, " (%llu bytes are allowed)", (unsigned long long)limit);
        return;
    }
    if (x->detail) text_printf(t, ": %s", x->detail);
}

const struct maintenance_conf *fault_maintenance(const struct exchange *x)
{
    if (x->end != END_MAINTENANCE) return NULL;
    return choose_maintenance(x->routes, x->route, &x->record.client);
}

/* Of weir's own. */
static uint16_t status_of_reason(const struct exchange *x)
{
    const struct maintenance_conf *m = fault_maintenance(x);
    return m ? (uint16_t)m->status : end_reason_info((enum end_reason)x->end)->status;
}

/* What head and body say: a service that refuses who it is has the word. */
static uint16_t status_of(const struct exchange *x)
{
    uint16_t of_service = x->auth ? exchange_auth_status(x) : 0;
    return of_service ? of_service : status_of_reason(x);
}

/* Whether those outside are told what is inside: servers, pools, what a library said of a file. */
static bool is_open(const struct exchange *x)
{
    return x->routes->conf->faults.detail == FAULTS_FULL;
}

static void add_sentence(const struct exchange *x, struct text *t)
{
    const struct end_reason_info *info = end_reason_info((enum end_reason)x->end);
    const char *means = info->means;
    text_add_char(t, (char)(means[0] >= 'a' && means[0] <= 'z' ? means[0] - 32 : means[0]));
    text_add_slice(t, slice_of(means + 1));
    /* What is wrong with a request, its sender is told. */
    if (is_open(x) || info->origin == ORIGIN_CLIENT) add_detail(x, t);
    text_add_char(t, '.');
    if (is_open(x)) add_server_part(x, t);
}

/* q of one element's parameters, in thousandths. */
static unsigned quality_of(struct slice element)
{
    for (size_t i = 0; i + 2 < element.len; i++) {
        if (element.data[i] != ';') continue;
        size_t at = i + 1;
        while (at < element.len && (element.data[at] == ' ' || element.data[at] == '\t')) at++;
        if (at + 2 >= element.len || (element.data[at] | 32) != 'q' || element.data[at + 1] != '=') continue;
        unsigned quality = 0;
        unsigned scale = 1000;
        for (at += 2; at < element.len && scale; at++) {
            char c = element.data[at];
            if (c == '.') continue;
            if (c < '0' || c > '9') break;
            quality += (unsigned)(c - '0') * scale;
            scale /= 10;
        }
        return quality;
    }
    return 1000;
}

static bool is_type(struct slice element, struct slice type)
{
    size_t end = 0;
    while (end < element.len && element.data[end] != ';' && element.data[end] != ' ') end++;
    return slice_equal_fold((struct slice){ element.data, end }, type);
}

bool fault_wants_json(const struct http_head *head)
{
    unsigned json = 0;
    unsigned text = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id != HTTP_FIELD_ACCEPT) continue;
        struct slice rest = http_field_value(&head->fields[i]);
        struct slice element;
        while (slice_next_element(&rest, &element)) {
            unsigned quality = quality_of(element);
            bool is_json = is_type(element, SLICE("application/json")) ||
                           is_type(element, SLICE("application/problem+json"));
            bool is_text = is_type(element, SLICE("text/html")) || is_type(element, SLICE("text/plain")) ||
                           is_type(element, SLICE("text/*"));
            if (is_json && quality > json) json = quality;
            if (is_text && quality > text) text = quality;
        }
    }
    return json > text;
}

static void write_json(const struct exchange *x, struct slice sentence, struct json *j)
{
    const struct end_reason_info *info = end_reason_info((enum end_reason)x->end);
    char id[FLIGHT_ID_TEXT_MAX];
    json_object(j);
    json_key(j, "type");
    json_string(j, "about:blank");
    json_key(j, "title");
    json_string(j, http_status_text(status_of(x)));
    json_key(j, "status");
    json_u64(j, status_of(x));
    json_key(j, "detail");
    json_slice(j, sentence);
    json_key(j, "end");
    json_string(j, info->name);
    json_key(j, "origin");
    json_string(j, end_origin_name(info->origin));
    json_key(j, "request_id");
    json_string(j, x->request_id);
    json_key(j, "id");
    json_string(j, flight_id_print(x->record.id, id));
    if (x->pool && is_open(x)) {
        json_key(j, "pool");
        json_string(j, x->pool->pool->name);
    }
    const struct server *s = fault_server(x);
    if (s && info->origin == ORIGIN_SERVER && is_open(x)) {
        json_key(j, "server");
        json_string(j, s->name);
    }
    json_object_end(j);
}

/* *page NULL: there is none, and weir says it in its own words; so it does where there is no memory for the page. */
static bool write_body(struct exchange *x, const struct page **page, bool is_json, struct slice *out)
{
    char memory_of_sentence[SENTENCE_MAX];
    struct text t = text_over(memory_of_sentence, sizeof(memory_of_sentence));
    add_sentence(x, &t);
    if (*page && fault_page_fill(x, *page, status_of(x), text_slice(&t), is_open(x), out) == 0) return true;
    *page = NULL;
    if (is_json) {
        struct json j;
        json_init(&j, BODY_MAX, false);
        write_json(x, text_slice(&t), &j);
        *out = j.is_failed ? SLICE_NONE : arena_copy(&x->arena, (struct slice){ j.data, j.len });
        json_fini(&j);
        return out->data;
    }
    char *memory = arena_alloc(&x->arena, BODY_MAX);
    if (!memory) return false;
    struct text body = text_over(memory, BODY_MAX);
    uint16_t status = status_of(x);
    text_printf(&body, "%u %s\n", status, http_status_text(status));
    text_add_slice(&body, text_slice(&t));
    text_printf(&body, "\nReason: %s. Request id: %s\n", end_reason_info((enum end_reason)x->end)->name,
                x->request_id);
    *out = text_slice(&body);
    return true;
}

static struct http_field make_field(const char *name, struct slice value)
{
    return (struct http_field){ .name = name,
                                .name_len = (uint16_t)strlen(name),
                                .value = value.data,
                                .value_len = (uint32_t)value.len };
}

/* What weir says in every answer. */
static void add_common(struct exchange *x, struct fault_reply *out)
{
    struct worker *w = x->worker;
    struct slice hsts = headers_hsts(x);
    out->fields[out->field_count++] = make_field("Date", http_date_at(&w->date, loop_wall_ns(&w->loop)));
    if (hsts.len) out->fields[out->field_count++] = make_field("Strict-Transport-Security", hsts);
    out->field_count += cors_fields(x, &out->fields[out->field_count]);
}

void fault_reply_to_preflight(struct exchange *x, struct fault_reply *out)
{
    *out = (struct fault_reply){ 0 };
    out->head.version = HTTP_VERSION_1_1;
    out->head.status = 204;
    out->head.reason = slice_of(http_status_text(204));
    add_common(x, out);
    out->field_count += cors_preflight_fields(x, &out->fields[out->field_count]);
    out->fields[out->field_count++] = make_field("X-Request-Id", slice_of(x->request_id));
}

enum end_reason fault_make_location(struct exchange *x, struct slice *location)
{
    const struct route_redirect_conf *conf = x->route->conf->redirect;
    const struct route_https_conf *https = x->route->conf->https;
    char *memory = arena_alloc(&x->arena, LOCATION_MAX);
    if (!memory) return END_NO_MEMORY;
    struct text t = text_over(memory, LOCATION_MAX);
    struct http_template_input in = { .head = &x->head,
                                      .client = &x->record.client,
                                      .request_id = slice_of(x->request_id),
                                      .user = exchange_user_text(x),
                                      .is_secure = exchange_is_secure(x) };
    bool is_made = !https || route_https_location(https, &x->head, &t);
    if (!https) http_template_expand(&conf->to, &in, &t);
    *location = text_slice(&t);
    if (t.is_cut) return END_REWRITE_TOO_LONG;
    if (!is_made) return END_BAD_REQUEST;
    return http_location_is_whole(*location) ? END_OK : END_BAD_REQUEST;
}

/* RFC 9110 9.3.8: the request as it came, without what tells who somebody is. */
static bool reflect(struct exchange *x, struct slice *out)
{
    static const char *const secrets[] = { "authorization", "cookie", "proxy-authorization",
                                           "weir-pin-token" };
    const struct http_head *head = &x->head;
    size_t size = head->method_text.len + head->target.len + 32;
    for (uint32_t i = 0; i < head->field_count; i++)
        size += head->fields[i].name_len + head->fields[i].value_len + 4u;
    char *memory = arena_alloc(&x->arena, size);
    if (!memory) return false;
    struct text t = text_over(memory, size);
    text_add_slice(&t, head->method_text);
    text_add_char(&t, ' ');
    text_add_slice(&t, head->target);
    text_add_slice(&t, head->version == HTTP_VERSION_1_0 ? SLICE(" HTTP/1.0\r\n") : SLICE(" HTTP/1.1\r\n"));
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        struct slice name = { f->name, f->name_len };
        bool is_secret = f->is_dropped;
        for (size_t j = 0; j < sizeof(secrets) / sizeof(*secrets); j++)
            is_secret |= slice_equal_fold(name, slice_of(secrets[j]));
        if (is_secret) continue;
        text_add_slice(&t, name);
        TEXT_LITERAL(&t, ": ");
        text_add(&t, f->value, f->value_len);
        TEXT_LITERAL(&t, "\r\n");
    }
    TEXT_LITERAL(&t, "\r\n");
    *out = text_slice(&t);
    return true;
}

int fault_reply_as_last(struct exchange *x, struct fault_reply *out)
{
    *out = (struct fault_reply){ 0 };
    out->head.version = HTTP_VERSION_1_1;
    out->head.status = 200;
    out->head.reason = slice_of(http_status_text(200));
    add_common(x, out);
    if (x->head.method == HTTP_TRACE) {
        if (!reflect(x, &out->body)) return -1;
        out->fields[out->field_count++] = make_field("Content-Type", SLICE("message/http"));
    } else {
        out->fields[out->field_count++] = make_field("Allow", SLICE(ALLOWED));
    }
    out->fields[out->field_count++] = make_field("X-Request-Id", slice_of(x->request_id));
    return 0;
}

int fault_reply_with_proof(struct exchange *x, struct fault_reply *out)
{
    *out = (struct fault_reply){ 0 };
    out->head.version = HTTP_VERSION_1_1;
    out->head.status = 200;
    out->head.reason = slice_of(http_status_text(200));
    add_common(x, out);
    out->fields[out->field_count++] = make_field("Content-Type", SLICE("application/octet-stream"));
    out->fields[out->field_count++] = make_field("X-Request-Id", slice_of(x->request_id));
    out->body = x->proof;
    return 0;
}

int fault_reply_by_route(struct exchange *x, struct fault_reply *out)
{
    const struct route_conf *conf = x->route->conf;
    const struct route_respond_conf *respond = conf->respond;
    *out = (struct fault_reply){ 0 };
    out->head.version = HTTP_VERSION_1_1;
    out->head.status = conf->https ? route_https_status(&x->head)
                                   : (uint16_t)(respond ? respond->status : conf->redirect->status);
    out->head.reason = slice_of(http_status_text(out->head.status));
    add_common(x, out);
    if (!respond) out->fields[out->field_count++] = make_field("Location", x->location);
    if (respond && respond->body) {
        out->body = slice_of(respond->body);
        out->fields[out->field_count++] = make_field("Content-Type", slice_of(respond->content_type));
    }
    out->fields[out->field_count++] = make_field("X-Request-Id", slice_of(x->request_id));
    return 0;
}

static void add_page_fields(struct exchange *x, const struct page *page, struct fault_reply *out)
{
    out->fields[out->field_count++] = make_field("Content-Type", slice_of(page_content_type(page->kind)));
    /* What it says of the request is not to be taken for a page. */
    out->fields[out->field_count++] = make_field("X-Content-Type-Options", SLICE("nosniff"));
    out->fields[out->field_count++] = make_field("Cache-Control", SLICE("no-store"));
    out->fields[out->field_count++] = make_field("X-Request-Id", slice_of(x->request_id));
}

int fault_reply_in_place(struct exchange *x, struct fault_reply *out)
{
    char memory[64];
    struct text sentence = text_over(memory, sizeof(memory));
    const struct page *page = fault_page(x, x->replaced, fault_wants_json(&x->head));
    *out = (struct fault_reply){ 0 };
    text_printf(&sentence, "The server answered with %u.", x->replaced);
    if (!page || fault_page_fill(x, page, x->replaced, text_slice(&sentence), is_open(x), &out->body) < 0)
        return -1;
    out->head.version = HTTP_VERSION_1_1;
    out->head.status = x->replaced;
    out->head.reason = slice_of(http_status_text(x->replaced));
    add_common(x, out);
    add_page_fields(x, page, out);
    return 0;
}

static bool is_timeout(enum end_reason reason)
{
    return reason == END_TOTAL_TIMEOUT || reason == END_GRPC_TIMEOUT || reason == END_FIRST_BYTE_TIMEOUT ||
           reason == END_RESPONSE_TIMEOUT || reason == END_SEND_TIMEOUT || reason == END_BODY_TIMEOUT;
}

int fault_trailers(struct exchange *x, struct http_field fields[FAULT_TRAILERS])
{
    char sentence[SENTENCE_MAX];
    struct text t = text_over(sentence, sizeof(sentence));
    add_sentence(x, &t);
    char *memory = arena_alloc(&x->arena, 3 * SENTENCE_MAX);
    if (!memory) return -1;
    struct text message = text_over(memory, 3 * SENTENCE_MAX);
    grpc_put_message(&message, text_slice(&t));
    enum grpc_status grpc = grpc_status_of(status_of_reason(x), is_timeout((enum end_reason)x->end));
    fields[0] = make_field("grpc-status", slice_of(grpc_status_text(grpc)));
    fields[1] = make_field("grpc-message", text_slice(&message));
    x->record.grpc = (grpc + 1u) & 127u;
    return 0;
}

/* Trailers alone, as gRPC has them for what failed before its first message. */
static int reply_in_grpc(struct exchange *x, struct fault_reply *out)
{
    struct http_field trailers[FAULT_TRAILERS];
    if (fault_trailers(x, trailers) < 0) return -1;
    out->is_bodiless = true;
    out->head.version = HTTP_VERSION_1_1;
    out->head.status = 200;
    out->head.reason = slice_of(http_status_text(200));
    add_common(x, out);
    out->fields[out->field_count++] = make_field("Content-Type", SLICE("application/grpc"));
    for (unsigned i = 0; i < FAULT_TRAILERS; i++) out->fields[out->field_count++] = trailers[i];
    out->fields[out->field_count++] = make_field("X-Request-Id", slice_of(x->request_id));
    return 0;
}

/* Where weir or a pool has too much to do, whoever asks again should not do so at once. */
#define BUSY_RETRY_MS 1000

/* 0: nothing is said of it. */
static uint64_t retry_after_ms(const struct exchange *x)
{
    const struct maintenance_conf *m = fault_maintenance(x);
    if (m) return m->retry_after_ms;
    switch (x->end) {
    case END_QUEUE_FULL:
    case END_QUEUE_TIMEOUT:
    case END_OVERLOADED:
    case END_NO_MEMORY:
    case END_NO_DESCRIPTORS: return BUSY_RETRY_MS;
    default: return 0;
    }
}

/* RFC 9110 10.2.3 */
static int add_retry_after(struct exchange *x, struct fault_reply *out)
{
    uint64_t after_ms = retry_after_ms(x);
    if (!after_ms) return 0;
    char *memory = arena_alloc(&x->arena, 24);
    if (!memory) return -1;
    struct text t = text_over(memory, 24);
    text_add_u64(&t, (after_ms + 999) / 1000);
    out->fields[out->field_count++] = make_field("Retry-After", text_slice(&t));
    return 0;
}

int fault_reply(struct exchange *x, struct fault_reply *out)
{
    *out = (struct fault_reply){ 0 };
    if (grpc_is_asked(&x->head)) return reply_in_grpc(x, out);
    uint16_t status = status_of(x);
    bool is_json = fault_wants_json(&x->head);
    const struct page *page = fault_page(x, status, is_json);
    if (!write_body(x, &page, is_json, &out->body) || add_retry_after(x, out) < 0) return -1;
    add_common(x, out);
    out->head.version = HTTP_VERSION_1_1;
    out->head.status = status;
    if (page) {
        add_page_fields(x, page, out);
    } else {
        out->fields[out->field_count++] = make_field(
            "Content-Type", is_json ? SLICE("application/problem+json") : SLICE("text/plain; charset=utf-8"));
        out->fields[out->field_count++] = make_field("Cache-Control", SLICE("no-store"));
        out->fields[out->field_count++] = make_field("X-Request-Id", slice_of(x->request_id));
    }
    out->field_count += exchange_rate_fields(x, &out->fields[out->field_count]);
    if (x->auth) out->field_count += exchange_auth_challenges(x, &out->fields[out->field_count]);
    out->head.reason = slice_of(http_status_text(status));
    out->field_count += exchange_file_fields(x, &out->fields[out->field_count]);
    /* RFC 9110 15.5.6 asks for Allow with 405; what is refused but of files is CONNECT alone. */
    bool is_of_files = x->route && x->route->conf && x->route->conf->files && x->head.method != HTTP_CONNECT;
    if (status == 405)
        out->fields[out->field_count++] = make_field("Allow",
                                                     is_of_files ? SLICE(ALLOWED_OF_FILES) : SLICE(ALLOWED));
    return 0;
}
