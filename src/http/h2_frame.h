/* http/h2_frame.h: HTTP/2's frames as bytes (RFC 9113 4 and 6): their heads, what may stand in them, where their content
 * is. Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* what a client says first (3.4) */
#define H2_FRAME_HEAD 9u
/* The largest payload that is taken and made: what every peer must be able to take (6.5.2). */
#define H2_PAYLOAD_MAX 16384u
#define H2_WINDOW_FIRST 65535
#define H2_WINDOW_MAX INT32_MAX
#define H2_STREAM_MAX INT32_MAX

enum h2_type {
    H2_DATA,
    H2_HEADERS,
    H2_PRIORITY,
    H2_RST_STREAM,
    H2_SETTINGS,
    H2_PUSH_PROMISE,
    H2_PING,
    H2_GOAWAY,
    H2_WINDOW_UPDATE,
    H2_CONTINUATION,
    H2_TYPE_COUNT /* other types are ignored (5.5) */
};

enum h2_flag {
    H2_END_STREAM = 0x1,
    H2_ACK = 0x1,
    H2_END_HEADERS = 0x4,
    H2_PADDED = 0x8,
    H2_HAS_PRIORITY = 0x20,
};

enum h2_error {
    H2_NO_ERROR,
    H2_PROTOCOL_ERROR,
    H2_INTERNAL_ERROR,
    H2_FLOW_CONTROL_ERROR,
    H2_SETTINGS_TIMEOUT,
    H2_STREAM_CLOSED,
    H2_FRAME_SIZE_ERROR,
    H2_REFUSED_STREAM,
    H2_CANCEL,
    H2_COMPRESSION_ERROR,
    H2_CONNECT_ERROR,
    H2_ENHANCE_YOUR_CALM,
    H2_INADEQUATE_SECURITY,
    H2_HTTP_1_1_REQUIRED,
};

enum h2_setting {
    H2_SETTING_HEADER_TABLE_SIZE = 1,
    H2_SETTING_ENABLE_PUSH,
    H2_SETTING_MAX_CONCURRENT_STREAMS,
    H2_SETTING_INITIAL_WINDOW_SIZE,
    H2_SETTING_MAX_FRAME_SIZE,
    H2_SETTING_MAX_HEADER_LIST_SIZE,
    H2_SETTING_ENABLE_CONNECT_PROTOCOL = 8, /* RFC 8441 3 */
    H2_SETTING_NO_RFC7540_PRIORITIES = 9,   /* RFC 9218 2.1 */
};

struct h2_frame {
    uint32_t len; /* of the payload */
    uint8_t type; /* enum h2_type, or anything else */
    uint8_t flags;
    uint32_t stream; /* 0: the connection */
};

/* What is wrong with a frame. */
struct h2_fault {
    enum h2_error error;
    const char *detail; /* static: a clause */
    bool is_of_stream;  /* that alone ends: the connection goes on */
};

/* `bytes` has H2_FRAME_HEAD of them. */
static inline struct h2_frame h2_frame_read(const char *bytes)
{
    const uint8_t *b = (const uint8_t *)bytes;
    return (struct h2_frame){
        .len = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2],
        .type = b[3],
        .flags = b[4],
        .stream = ((uint32_t)b[5] << 24 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 8 | b[8]) & H2_STREAM_MAX
    };
}
static inline uint32_t h2_read_u32(const char *bytes)
{
    const uint8_t *b = (const uint8_t *)bytes;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}
static inline void h2_write_u32(char *to, uint32_t n)
{
    to[0] = (char)(n >> 24);
    to[1] = (char)(n >> 16);
    to[2] = (char)(n >> 8);
    to[3] = (char)n;
}
static inline void h2_frame_write(char *to, const struct h2_frame *f)
{
    h2_write_u32(to, f->len << 8 | f->type);
    to[4] = (char)f->flags;
    h2_write_u32(to + 5, f->stream);
}

/* What a frame's head says may be, of whatever a client sends: false and *fault else. All but a connection's state (5.1) is
 * judged here. */
bool h2_frame_check(const struct h2_frame *f, struct h2_fault *fault);

/* What of a payload of DATA or HEADERS is content, without padding and priority. False: it does not have what its flags say. */
struct h2_content {
    struct slice bytes;
    uint32_t depends_on; /* with H2_HAS_PRIORITY; else 0 */
};
bool h2_frame_content(const struct h2_frame *f, struct slice payload, struct h2_content *out);

/* The settings of a peer, as far as they mean something here. */
struct h2_settings {
    uint32_t header_table_bytes, window, streams;
    bool is_push_enabled, allows_tunnels;
};
#define H2_SETTINGS_FIRST                              \
    ((struct h2_settings){ .header_table_bytes = 4096, \
                           .window = H2_WINDOW_FIRST,  \
                           .streams = UINT32_MAX,      \
                           .is_push_enabled = true })
/* A payload of SETTINGS, of a client: changes what it says. False and *fault: it says what may not be. */
bool h2_settings_read(struct h2_settings *s, struct slice payload, struct h2_fault *fault);

/* "PROTOCOL_ERROR" */
const char *h2_error_name(uint32_t error);
