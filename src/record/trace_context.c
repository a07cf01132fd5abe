#include "record/trace_context.h"

#include <string.h>

/* 3.2.2: where the parts of a traceparent begin; dashes stand between them. */
enum { AT_TRACE = 3, AT_SPAN = 36, AT_FLAGS = 53 };

/* In lower case alone (3.2.2.1, HEXDIGLC). -1: it is none. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_bytes(const char *text, uint8_t *out, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, uint32_t count)
{
    uint8_t any = 0;
    for (uint32_t i = 0; i < count; i++) any |= bytes[i];
    return !any;
}

bool trace_context_parse(struct slice text, struct trace_context *out)
{
    uint8_t version = 0;
    const char *t = text.data;
    if (text.len < TRACE_PARENT_LEN || !read_bytes(t, &version, 1) || version == 0xff) return false;
    if (t[AT_TRACE - 1] != '-' || t[AT_SPAN - 1] != '-' || t[AT_FLAGS - 1] != '-') return false;
    /* A later version may say more behind a dash, which is not understood (3.2.4). */
    if (text.len > TRACE_PARENT_LEN && (!version || t[TRACE_PARENT_LEN] != '-')) return false;
    if (!read_bytes(t + AT_TRACE, out->trace_id, TRACE_ID_BYTES) ||
        !read_bytes(t + AT_SPAN, out->span_id, SPAN_ID_BYTES) || !read_bytes(t + AT_FLAGS, &out->flags, 1))
        return false;
    out->flags &= TRACE_SAMPLED;
    return !is_zero(out->trace_id, TRACE_ID_BYTES) && !is_zero(out->span_id, SPAN_ID_BYTES);
}

void trace_id_print(const uint8_t *id, uint32_t bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < bytes; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[2 * bytes] = 0;
}

void trace_context_print(const struct trace_context *c, char out[TRACE_PARENT_LEN + 1])
{
    memcpy(out, "00-", sizeof("00-"));
    trace_id_print(c->trace_id, TRACE_ID_BYTES, out + AT_TRACE);
    out[AT_SPAN - 1] = '-';
    trace_id_print(c->span_id, SPAN_ID_BYTES, out + AT_SPAN);
    out[AT_FLAGS - 1] = '-';
    trace_id_print(&c->flags, 1, out + AT_FLAGS);
}
