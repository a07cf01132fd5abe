#include "http/h2_frame.h"

static bool is_bad(struct h2_fault *fault, enum h2_error error, const char *detail)
{
    *fault = (struct h2_fault){ .error = error, .detail = detail };
    return false;
}

static const struct {
    bool has_stream, has_none; /* its stream may not be 0; may not be anything else */
    uint32_t min, max;         /* of its payload */
} rules[H2_TYPE_COUNT] = {
    [H2_DATA] = { true, false, 0, H2_PAYLOAD_MAX },
    [H2_HEADERS] = { true, false, 0, H2_PAYLOAD_MAX },
    [H2_PRIORITY] = { true, false, 0, H2_PAYLOAD_MAX }, /* its length is the stream's affair (6.3) */
    [H2_RST_STREAM] = { true, false, 4, 4 },
    [H2_SETTINGS] = { false, true, 0, H2_PAYLOAD_MAX },
    [H2_PUSH_PROMISE] = { true, false, 0, H2_PAYLOAD_MAX },
    [H2_PING] = { false, true, 8, 8 },
    [H2_GOAWAY] = { false, true, 8, H2_PAYLOAD_MAX },
    [H2_WINDOW_UPDATE] = { false, false, 4, 4 },
    [H2_CONTINUATION] = { true, false, 0, H2_PAYLOAD_MAX },
};

bool h2_frame_check(const struct h2_frame *f, struct h2_fault *fault)
{
    if (f->len > H2_PAYLOAD_MAX)
        return is_bad(fault, H2_FRAME_SIZE_ERROR, "a frame of more than 16384 bytes");
    if (f->type >= H2_TYPE_COUNT) return true;
    if (f->type == H2_PUSH_PROMISE) return is_bad(fault, H2_PROTOCOL_ERROR, "a PUSH_PROMISE of a client");
    if (rules[f->type].has_stream && !f->stream)
        return is_bad(fault, H2_PROTOCOL_ERROR, "a frame of a stream without a stream");
    if (rules[f->type].has_none && f->stream)
        return is_bad(fault, H2_PROTOCOL_ERROR, "a frame of the connection with a stream");
    if (f->len < rules[f->type].min || f->len > rules[f->type].max)
        return is_bad(fault, H2_FRAME_SIZE_ERROR, "a frame of a length that its type does not have");
    if (f->type != H2_SETTINGS) return true;
    if ((f->flags & H2_ACK) && f->len)
        return is_bad(fault, H2_FRAME_SIZE_ERROR, "an acknowledgement with settings");
    return f->len % 6 == 0 ||
           is_bad(fault, H2_FRAME_SIZE_ERROR, "a SETTINGS frame whose length is no multiple of six");
}

bool h2_frame_content(const struct h2_frame *f, struct slice payload, struct h2_content *out)
{
    size_t padding = 0;
    *out = (struct h2_content){ .bytes = payload };
    if (f->flags & H2_PADDED) {
        if (!out->bytes.len) return false;
        padding = (uint8_t)out->bytes.data[0];
        out->bytes.data++;
        out->bytes.len--;
    }
    if (f->type == H2_HEADERS && (f->flags & H2_HAS_PRIORITY)) {
        if (out->bytes.len < 5) return false;
        out->depends_on = h2_read_u32(out->bytes.data) & H2_STREAM_MAX;
        out->bytes.data += 5;
        out->bytes.len -= 5;
    }
    if (padding > out->bytes.len) return false;
    out->bytes.len -= padding;
    return true;
}

bool h2_settings_read(struct h2_settings *s, struct slice payload, struct h2_fault *fault)
{
    for (size_t at = 0; at + 6 <= payload.len; at += 6) {
        uint32_t id = (uint32_t)(uint8_t)payload.data[at] << 8 | (uint8_t)payload.data[at + 1];
        uint32_t value = h2_read_u32(payload.data + at + 2);
        switch (id) {
        case H2_SETTING_HEADER_TABLE_SIZE: s->header_table_bytes = value; break;
        case H2_SETTING_ENABLE_PUSH:
            if (value > 1) return is_bad(fault, H2_PROTOCOL_ERROR, "an ENABLE_PUSH other than 0 and 1");
            s->is_push_enabled = value;
            break;
        case H2_SETTING_MAX_CONCURRENT_STREAMS: s->streams = value; break;
        case H2_SETTING_INITIAL_WINDOW_SIZE:
            if (value > H2_WINDOW_MAX)
                return is_bad(fault, H2_FLOW_CONTROL_ERROR, "an INITIAL_WINDOW_SIZE of 2^31 or more");
            s->window = value;
            break;
        case H2_SETTING_MAX_FRAME_SIZE:
            if (value < 16384 || value > 16777215)
                return is_bad(fault, H2_PROTOCOL_ERROR, "a MAX_FRAME_SIZE that may not be");
            break;                               /* larger ones are not made */
        case H2_SETTING_ENABLE_CONNECT_PROTOCOL: /* RFC 8441 3 */
            if (value > 1 || (!value && s->allows_tunnels))
                return is_bad(fault, H2_PROTOCOL_ERROR,
                              "an ENABLE_CONNECT_PROTOCOL that is neither on nor off, or is taken back");
            s->allows_tunnels = value;
            break;
        case H2_SETTING_NO_RFC7540_PRIORITIES:
            if (value > 1) return is_bad(fault, H2_PROTOCOL_ERROR, "a setting that is neither on nor off");
            break;
        default: break; /* 6.5.2: what is not known is ignored */
        }
    }
    return true;
}

const char *h2_error_name(uint32_t error)
{
    static const char *const names[] = {
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    };
    return error < sizeof(names) / sizeof(*names) ? names[error] : "an unknown error";
}
