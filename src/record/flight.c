#include "record/flight.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "tls/facts.h"

/* Records */

void flight_init(struct flight_record *r)
{
    *r = (struct flight_record){
        .head_us = FLIGHT_NEVER,
        .picked_us = FLIGHT_NEVER,
        .connected_us = FLIGHT_NEVER,
        .sent_us = FLIGHT_NEVER,
        .first_byte_us = FLIGHT_NEVER,
    };
}

void flight_set_target(struct flight_record *r, struct slice target)
{
    if (target.len > FLIGHT_TARGET_MAX) {
        target.len = FLIGHT_TARGET_MAX;
        r->flags |= FLIGHT_TARGET_CUT;
    }
    if (target.len) memcpy(r->target, target.data, target.len);
    r->target_len = (uint8_t)target.len;
}

bool flight_is_request_id(struct slice text)
{
    if (!text.len || text.len > FLIGHT_REQUEST_ID_MAX) return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool is_safe = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' ||
                       c == '_' || c == '.';
        if (!is_safe) return false;
    }
    return true;
}

void flight_set_request_id(struct flight_record *r, struct slice request_id)
{
    if (request_id.len > FLIGHT_REQUEST_ID_MAX) request_id.len = FLIGHT_REQUEST_ID_MAX;
    if (request_id.len) memcpy(r->request_id, request_id.data, request_id.len);
    r->request_id_len = (uint8_t)request_id.len;
}

struct flight_attempt *flight_attempt_of(struct flight_record *r, uint32_t number)
{
    if (!number || number > r->attempt_count) return NULL;
    if (number == r->attempt_count) return flight_last_attempt(r);
    return number < FLIGHT_ATTEMPTS ? &r->attempts[number - 1] : NULL;
}

void flight_tell_of(struct flight_record *r, uint32_t number)
{
    const struct flight_attempt *a = flight_attempt_of(r, number);
    if (a) r->told = (unsigned)(a - r->attempts) & 3u;
}

struct flight_attempt *flight_last_attempt(struct flight_record *r)
{
    return r->attempt_count ? &r->attempts[flight_kept_attempts(r) - 1] : NULL;
}

void flight_set_tls(struct flight_record *r, const struct tls_facts *tls)
{
    r->flags |= FLIGHT_CLIENT_TLS;
    if (!tls) return;
    r->tls_version = tls->version & 15u;
    r->tls_cipher = tls->cipher;
}

struct flight_attempt *flight_begin_attempt(struct flight_record *r, uint32_t server,
                                            enum balance_reason reason, bool is_reused)
{
    if (r->attempt_count < UINT8_MAX) r->attempt_count++;
    struct flight_attempt *attempt = flight_last_attempt(r);
    *attempt = (struct flight_attempt){
        .server = server,
        .connect_us = is_reused ? 0 : FLIGHT_NEVER,
        .first_byte_us = FLIGHT_NEVER,
        .reason = (unsigned)reason & 63u,
        .is_reused = is_reused,
    };
    flight_tell_of(r, r->attempt_count);
    return attempt;
}

void flight_set_datagrams(struct flight_record *r, uint64_t in, uint64_t out)
{
    r->datagrams_in = in < UINT32_MAX ? (uint32_t)in : UINT32_MAX;
    r->datagrams_out = out < UINT32_MAX ? (uint32_t)out : UINT32_MAX;
}

void flight_sanitize(struct flight_record *r)
{
    if (r->flags & FLIGHT_UDP) r->request_id_len = r->target_len = 0; /* there are numbers in their place */
    if (r->request_id_len > FLIGHT_REQUEST_ID_MAX) r->request_id_len = FLIGHT_REQUEST_ID_MAX;
    if (r->target_len > FLIGHT_TARGET_MAX) r->target_len = FLIGHT_TARGET_MAX;
    if (r->method > HTTP_OTHER) r->method = HTTP_OTHER;
}

/* Filters */

static bool is_tried(const struct flight_record *r, uint32_t server)
{
    for (uint32_t i = 0; i < flight_kept_attempts(r); i++)
        if (r->attempts[i].server == server) return true;
    return false;
}

bool flight_matches(const struct flight_filter *f, const struct flight_record *r)
{
    if (f->status && f->status != r->status) return false;
    if (f->status_class && f->status_class != r->status / 100) return false;
    if (f->is_failure && !flight_is_failure(r)) return false;
    if (f->end && f->end != (enum end_reason)r->end) return false;
    if (f->pool && f->pool != r->pool) return false;
    if (f->listener && f->listener != r->listener) return false;
    if (f->route && f->route != r->route) return false;
    if (f->variant && f->variant != r->variant) return false;
    if (f->server && !is_tried(r, f->server)) return false;
    if (f->has_client && memcmp(&f->client, &r->client, sizeof(r->client)) != 0) return false;
    if (f->min_total_us > r->total_us || f->since_wall_ns > flight_end_wall_ns(r)) return false;
    return !f->request_id.len ||
           slice_equal(f->request_id, (struct slice){ r->request_id, r->request_id_len });
}

/* Text */

const char *flight_id_print(uint64_t id, char out[FLIGHT_ID_TEXT_MAX])
{
    for (unsigned i = 16; i-- > 0; id >>= 4) out[i] = "0123456789abcdef"[id & 15];
    out[16] = 0;
    return out;
}

bool flight_id_parse(struct slice text, uint64_t *id)
{
    if (text.len != 16) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i], low = (char)(c | 32);
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            value = value << 4 | (uint64_t)(low - 'a' + 10);
        else
            return false;
    }
    *id = value;
    return true;
}

static void print_name(const char *key, uint32_t id, const struct flight_names *names, struct json *out)
{
    json_key(out, key);
    if (id == FLIGHT_NO_ID) {
        json_null(out);
        return;
    }
    const char *name = names ? names->name_of(names->ctx, id) : NULL;
    char number[16];
    if (!name) { /* gone since, for want of anything that uses it */
        struct text t = text_over(number, sizeof(number));
        text_add_char(&t, '#');
        text_add_u64(&t, id);
        name = text_cstr(&t);
    }
    json_string(out, name);
}

static void print_ms(const char *key, uint64_t us, struct json *out)
{
    json_key(out, key);
    if (us == FLIGHT_NEVER)
        json_null(out);
    else
        json_double(out, (double)us / 1000);
}

static void print_end(enum end_reason end, struct json *out)
{
    const struct end_reason_info *info = end_reason_info(end);
    json_key(out, "end");
    json_string(out, info->name);
    json_key(out, "means");
    json_string(out, info->means);
    json_key(out, "origin");
    json_string(out, end_origin_name(info->origin));
}

static void print_attempt(const struct flight_attempt *a, uint32_t number, const struct flight_names *names,
                          struct json *out)
{
    json_object(out);
    json_key(out, "number");
    json_u64(out, number);
    print_name("server", a->server, names, out);
    json_key(out, "reason");
    json_string(out, balance_reason_name((enum balance_reason)a->reason));
    json_key(out, "is_hedge");
    json_bool(out, a->is_hedge);
    json_key(out, "is_reused");
    json_bool(out, a->is_reused);
    print_ms("connect_ms", a->connect_us, out);
    print_ms("first_byte_ms", a->status ? a->first_byte_us : FLIGHT_NEVER, out);
    print_ms("failed_after_ms", a->status ? FLIGHT_NEVER : a->first_byte_us, out);
    json_key(out, "status");
    if (a->status)
        json_u64(out, a->status);
    else
        json_null(out);
    print_end((enum end_reason)a->end, out);
    json_object_end(out);
}

static void print_tls(const struct flight_record *r, struct json *out)
{
    char version[16];
    snprintf(version, sizeof(version), "TLSv1.%u", r->tls_version);
    json_key(out, "tls_version");
    json_string(out, r->tls_version ? version : NULL);
    json_key(out, "tls_cipher");
    json_string(out, tls_cipher_text(r->tls_cipher));
}

static void print_request(const struct flight_record *r, struct json *out)
{
    static const char *const versions[] = { "HTTP/1.0", "HTTP/1.1", "HTTP/2" };
    json_key(out, "protocol");
    if (r->flags & FLIGHT_UDP)
        json_string(out, "udp");
    else if (r->flags & FLIGHT_TCP)
        json_string(out, "tcp");
    else
        json_string(out, r->version < sizeof(versions) / sizeof(*versions) ? versions[r->version] : NULL);
    if (!(r->flags & FLIGHT_TCP)) {
        bool has_request = r->target_len > 0;
        json_key(out, "method");
        json_string(out, has_request && r->method <= HTTP_OTHER
                             ? http_method_name((enum http_method)r->method)
                             : NULL);
        json_key(out, "target");
        json_slice(out, (struct slice){ r->target, r->target_len });
        json_key(out, "is_target_cut");
        json_bool(out, r->flags & FLIGHT_TARGET_CUT);
        json_key(out, "status");
        json_u64(out, r->status);
        json_key(out, "grpc_status");
        if (r->grpc)
            json_u64(out, r->grpc - 1u);
        else
            json_null(out);
        json_key(out, "is_local_reply");
        json_bool(out, r->flags & FLIGHT_LOCAL_REPLY);
        json_key(out, "is_delayed");
        json_bool(out, r->flags & FLIGHT_DELAYED);
        json_key(out, "is_over_rate");
        json_bool(out, r->flags & FLIGHT_OVER_RATE);
        json_key(out, "is_retry_denied");
        json_bool(out, r->flags & FLIGHT_RETRY_DENIED);
        json_key(out, "is_hedge_denied");
        json_bool(out, r->is_hedge_denied);
    }
    json_key(out, "is_tunnel");
    json_bool(out, r->flags & FLIGHT_TUNNEL);
    json_key(out, "is_tls");
    json_bool(out, r->flags & FLIGHT_CLIENT_TLS);
    print_tls(r, out);
}

static void print_identity(const struct flight_record *r, struct json *out)
{
    char id[FLIGHT_ID_TEXT_MAX], date[32], start[48], client[INET6_ADDRSTRLEN];
    json_key(out, "id");
    json_string(out, flight_id_print(r->id, id));
    json_key(out, "request_id");
    json_slice(out, (struct slice){ r->request_id, r->request_id_len });
    time_t seconds = (time_t)(r->start_wall_ns / NS_PER_S);
    struct tm t;
    gmtime_r(&seconds, &t);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(start, sizeof(start), "%s.%06" PRIu64 "Z", date, r->start_wall_ns % NS_PER_S / 1000);
    json_key(out, "start");
    json_string(out, start);
    json_key(out, "client");
    json_string(out, ip_print(&r->client, client));
    json_key(out, "client_port");
    json_u64(out, r->client_port);
}

void flight_print_members(const struct flight_record *r, const struct flight_names *names, struct json *out)
{
    print_identity(r, out);
    print_name("listener", r->listener, names, out);
    print_name("route", r->route, names, out);
    print_name("variant", r->variant, names, out);
    print_name("pool", r->pool, names, out);
    print_request(r, out);
    print_end((enum end_reason)r->end, out);
    json_key(out, "bytes_in");
    json_u64(out, r->bytes_in);
    json_key(out, "bytes_out");
    json_u64(out, r->bytes_out);
    if (r->flags & FLIGHT_UDP) {
        json_key(out, "datagrams_in");
        json_u64(out, r->datagrams_in);
        json_key(out, "datagrams_out");
        json_u64(out, r->datagrams_out);
    }
    json_key(out, "total_ms");
    json_double(out, (double)r->total_us / 1000);
    json_key(out, "phases");
    json_object(out);
    print_ms("head_ms", r->head_us, out);
    print_ms("picked_ms", r->picked_us, out);
    print_ms("connected_ms", r->connected_us, out);
    print_ms("sent_ms", r->sent_us, out);
    print_ms("first_byte_ms", r->first_byte_us, out);
    json_object_end(out);
    json_key(out, "attempt_count");
    json_u64(out, r->attempt_count);
    json_key(out, "attempts");
    json_array(out);
    for (uint32_t i = 0; i < flight_kept_attempts(r); i++)
        print_attempt(&r->attempts[i], i + 1 < FLIGHT_ATTEMPTS ? i + 1 : r->attempt_count, names, out);
    json_array_end(out);
}

void flight_print_json(const struct flight_record *r, const struct flight_names *names, struct json *out)
{
    json_object(out);
    flight_print_members(r, names, out);
    json_object_end(out);
}
