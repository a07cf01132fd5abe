#include "net/srv_answer.h"

#include <ares.h>
#include <stdio.h>
#include <string.h>

enum { TYPE_CNAME = 5, TYPE_SRV = 33, CLASS_IN = 1 };

#define HEAD_BYTES 12u
#define RECORD_BYTES 10u /* behind its name: type, class, TTL, length */

struct reader {
    const unsigned char *message;
    size_t len, at;
};

static uint16_t u16_at(const struct reader *r, size_t at)
{
    return (uint16_t)(r->message[at] << 8 | r->message[at + 1]);
}

/* RFC 1035 4.1.4: pointers are followed by c-ares, within the message and not for ever. `out` may be NULL. */
static bool read_name(struct reader *r, char *out, size_t out_size)
{
    char *name = NULL;
    long taken = 0;
    if (r->at >= r->len ||
        ares_expand_name(r->message + r->at, r->message, (int)r->len, &name, &taken) != ARES_SUCCESS)
        return false;
    size_t length = strlen(name);
    bool fits = !out || length < out_size;
    if (out && fits) memcpy(out, name, length + 1);
    ares_free_string(name);
    r->at += (size_t)taken;
    return fits && r->at <= r->len;
}

/* RFC 1035 4.1.3. *rest: where the next record begins. */
struct record {
    uint16_t type, class;
    uint32_t ttl_s;
    size_t data, rest;
};

static bool read_record(struct reader *r, struct record *out)
{
    if (!read_name(r, NULL, 0) || r->len - r->at < RECORD_BYTES) return false;
    out->type = u16_at(r, r->at);
    out->class = u16_at(r, r->at + 2);
    out->ttl_s = (uint32_t)u16_at(r, r->at + 4) << 16 | u16_at(r, r->at + 6);
    if (out->ttl_s > INT32_MAX) out->ttl_s = 0; /* RFC 2181 8 */
    size_t length = u16_at(r, r->at + 8);
    r->at += RECORD_BYTES;
    if (r->len - r->at < length) return false;
    out->data = r->at;
    out->rest = r->at + length;
    return true;
}

static bool read_target(const struct reader *r, const struct record *record, struct srv_answer *out)
{
    struct srv_target t;
    struct reader name = { r->message, r->len, record->data + 6 };
    if (record->rest - record->data < 7 || !read_name(&name, t.name, sizeof(t.name)) ||
        name.at > record->rest)
        return false;
    t.priority = u16_at(r, record->data);
    t.weight = u16_at(r, record->data + 2);
    t.port = u16_at(r, record->data + 4);
    if (t.name[0] && t.port && out->count < SRV_TARGETS_MAX) out->targets[out->count++] = t;
    return true;
}

bool srv_answer_read(const unsigned char *message, size_t len, struct srv_answer *out)
{
    struct reader r = { message, len, HEAD_BYTES };
    out->count = 0;
    out->ttl_s = INT32_MAX;
    if (len < HEAD_BYTES || len > UINT16_MAX) return false;
    uint16_t questions = u16_at(&r, 4), answers = u16_at(&r, 6);
    for (uint16_t i = 0; i < questions; i++) {
        if (!read_name(&r, NULL, 0) || r.len - r.at < 4) return false;
        r.at += 4;
    }
    for (uint16_t i = 0; i < answers; i++) {
        struct record record;
        if (!read_record(&r, &record)) return false;
        bool is_ours = record.class == CLASS_IN && (record.type == TYPE_SRV || record.type == TYPE_CNAME);
        if (is_ours && record.ttl_s < out->ttl_s) out->ttl_s = record.ttl_s;
        if (is_ours && record.type == TYPE_SRV && !read_target(&r, &record, out)) return false;
        r.at = record.rest;
    }
    if (out->ttl_s == INT32_MAX) out->ttl_s = 0;
    return true;
}
