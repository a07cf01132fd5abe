#include "health/grpc_health.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "http/h2_frame.h"
#include "http/h2_head.h"

/* No answer to this question needs more: of a frame's payload, of a head before and after it is decoded, of frames that want to be
 * confirmed, of fields, of the message with its five bytes in front, of all. */
#define FRAME_MAX 4096u
#define HEAD_MAX 4096u
#define REPLIES_MAX 8u
#define FIELDS_MAX 64u
#define MESSAGE_MAX 512u
#define ANSWER_MAX (64u << 10)
#define STREAM 1u
#define PING_BYTES 8u
#define WORDS_MAX 200

/* A confirmation that is due: of PING with its bytes, else of SETTINGS. */
struct reply {
    bool is_ping;
    char bytes[PING_BYTES];
};

struct grpc_health {
    struct h2_memory memory;
    struct h2_hpack hpack;
    struct h2_settings settings; /* the server's */
    struct reply replies[REPLIES_MAX];
    uint32_t reply_count, received;
    uint16_t status; /* of HTTP */
    int grpc_status; /* -1: none has come */
    bool has_settings, has_head, is_open;
    bool is_continued; /* CONTINUATION has to be next, of the head in `block` */
    uint8_t head_flags;
    uint32_t frame_len, message_len, block_len;
    struct http_field fields[FIELDS_MAX + 1];
    char text[2 * HEAD_MAX]; /* of them: h2_head_room() */
    char block[HEAD_MAX];    /* a head or trailers, not decoded */
    char frame[H2_FRAME_HEAD + FRAME_MAX];
    char message[MESSAGE_MAX];
    char words[WORDS_MAX];
};

struct grpc_health *grpc_health_new(struct loop *l)
{
    struct grpc_health *g = calloc(1, sizeof(*g));
    if (!g) return NULL;
    g->grpc_status = -1;
    g->settings = H2_SETTINGS_FIRST;
    g->settings.is_push_enabled = false; /* by the question */
    h2_memory_init(&g->memory, l);
    g->is_open = h2_hpack_open(&g->hpack, &g->memory) == 0;
    if (g->is_open) return g;
    grpc_health_free(g);
    return NULL;
}

void grpc_health_free(struct grpc_health *g)
{
    if (!g) return;
    if (g->is_open) h2_hpack_close(&g->hpack);
    h2_memory_fini(&g->memory);
    free(g);
}

const char *grpc_health_words(const struct grpc_health *g)
{
    return g->words;
}

uint16_t grpc_health_status(const struct grpc_health *g)
{
    return g->status;
}

/* the question */

static void put_frame(struct text *out, enum h2_type type, unsigned flags, uint32_t stream,
                      struct slice payload)
{
    const struct h2_frame f = {
        .len = (uint32_t)payload.len, .type = (uint8_t)type, .flags = (uint8_t)flags, .stream = stream
    };
    char head[H2_FRAME_HEAD];
    h2_frame_write(head, &f);
    text_add_slice(out, (struct slice){ head, sizeof(head) });
    text_add_slice(out, payload);
}

/* RFC 7541 5.1 and 5.2: its length in a prefix of 7 bits, not by Huffman. */
static void put_string(struct text *out, struct slice s)
{
    size_t rest = s.len;
    if (rest >= 127) {
        text_add_char(out, 127);
        for (rest -= 127; rest >= 128; rest >>= 7) text_add_char(out, (char)((rest & 127) | 128));
    }
    text_add_char(out, (char)rest);
    text_add_slice(out, s);
}

/* RFC 7541 6.2.2: of use to nobody who comes later. */
static void put_field(struct text *out, struct slice name, struct slice value)
{
    text_add_char(out, 0);
    put_string(out, name);
    put_string(out, value);
}

/* gRPC over HTTP/2, "Requests". */
static void put_head(struct text *out, const struct grpc_health_question *q)
{
    char bytes[1024];
    struct text t = text_over(bytes, sizeof(bytes));
    put_field(&t, SLICE(":method"), SLICE("POST"));
    put_field(&t, SLICE(":scheme"), q->is_secure ? SLICE("https") : SLICE("http"));
    put_field(&t, SLICE(":path"), SLICE("/grpc.health.v1.Health/Check"));
    put_field(&t, SLICE(":authority"), q->authority);
    put_field(&t, SLICE("te"), SLICE("trailers"));
    put_field(&t, SLICE("content-type"), SLICE("application/grpc"));
    put_field(&t, SLICE("user-agent"), SLICE("weir-check"));
    put_frame(out, H2_HEADERS, H2_END_HEADERS, STREAM, (struct slice){ bytes, t.len });
}

/* HealthCheckRequest: the field 1, `service`, which is not written if it is empty; its length is in one or two bytes. */
static void put_message(struct text *out, const char *service)
{
    char bytes[GRPC_HEALTH_SERVICE_MAX + 16];
    struct text t = text_over(bytes, sizeof(bytes));
    size_t len = strlen(service), size = len ? len + 2 + (len > 127) : 0;
    const char prefix[] = { 0, 0, 0, 0, (char)size };
    text_add_slice(&t, (struct slice){ prefix, sizeof(prefix) });
    if (len) text_add_char(&t, 1 << 3 | 2);
    if (len > 127) text_add_char(&t, (char)((len & 127) | 128));
    if (len) text_add_char(&t, (char)(len > 127 ? len >> 7 : len));
    text_add_slice(&t, slice_of(service));
    put_frame(out, H2_DATA, H2_END_STREAM, STREAM, (struct slice){ bytes, t.len });
}

void grpc_health_write(const struct grpc_health *g, const struct grpc_health_question *q, struct text *out)
{
    static const char no_push[] = { 0, H2_SETTING_ENABLE_PUSH, 0, 0, 0, 0 };
    TEXT_LITERAL(out, H2_PREFACE);
    put_frame(out, H2_SETTINGS, 0, 0, (struct slice){ no_push, sizeof(no_push) });
    put_head(out, q);
    put_message(out, q->service);
    for (uint32_t i = 0; g && i < g->reply_count; i++) {
        const struct reply *r = &g->replies[i];
        put_frame(out, r->is_ping ? H2_PING : H2_SETTINGS, H2_ACK, 0,
                  (struct slice){ r->bytes, r->is_ping ? PING_BYTES : 0 });
    }
}

/* the answer's message */

__attribute__((format(printf, 2, 3))) static enum grpc_health_step refuse(struct grpc_health *g,
                                                                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(g->words, sizeof(g->words), format, args);
    va_end(args);
    return GRPC_HEALTH_BAD;
}

/* Of protocol buffers. False: it is cut, or has more than 64 bits. */
static bool take_varint(struct slice *rest, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; rest->len && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)*rest->data++;
        rest->len--;
        if (shift == 63 && byte > 1) return false;
        *out |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return true;
    }
    return false;
}

static bool skip(struct slice *rest, uint64_t len)
{
    if (len > rest->len) return false;
    rest->data += len;
    rest->len -= (size_t)len;
    return true;
}

/* A field's value: what is no number is passed over. */
static bool take_value(struct slice *rest, unsigned wire_type, uint64_t *number)
{
    uint64_t len;
    switch (wire_type) {
    case 0: return take_varint(rest, number);
    case 1: return skip(rest, 8);
    case 2: return take_varint(rest, &len) && skip(rest, len);
    case 5: return skip(rest, 4);
    default: return false; /* groups, which nobody writes any more */
    }
}

/* HealthCheckResponse: the field 1, `status`; of several the last counts, none is 0. False: it is none. */
static bool read_response(struct slice message, uint64_t *status)
{
    *status = 0;
    while (message.len) {
        uint64_t tag, number = 0;
        if (!take_varint(&message, &tag) || !(tag >> 3) ||
            !take_value(&message, (unsigned)(tag & 7), &number))
            return false;
        if (tag == 1 << 3) *status = number;
    }
    return true;
}

static enum grpc_health_step judge_message(struct grpc_health *g)
{
    uint64_t status;
    if (g->message_len < 5) return refuse(g, "the answer has no whole message");
    if (g->message[0]) return refuse(g, "the answer's message is compressed, which was not asked for");
    if (h2_read_u32(g->message + 1) != g->message_len - 5)
        return refuse(g, "the answer's message is not as long as it says");
    if (!read_response((struct slice){ g->message + 5, g->message_len - 5 }, &status))
        return refuse(g, "the answer's message is no HealthCheckResponse");
    switch (status) {
    case 0: return refuse(g, "the service's state is UNKNOWN");
    case 1: return GRPC_HEALTH_SERVING;
    case 2: return refuse(g, "the service's state is NOT_SERVING");
    case 3: return refuse(g, "the service's state is SERVICE_UNKNOWN");
    default: return refuse(g, "the service's state is %llu, which is none", (unsigned long long)status);
    }
}

/* gRPC's status codes. */
static enum grpc_health_step refuse_status(struct grpc_health *g)
{
    static const char *const names[] = {
        "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED"
    };
    const int not_found = 5, unimplemented = 12;
    if (g->grpc_status == not_found)
        return refuse(g, "the server does not know the service (gRPC status NOT_FOUND)");
    if (g->grpc_status == unimplemented)
        return refuse(g, "the server has no grpc.health.v1.Health (gRPC status UNIMPLEMENTED)");
    if (g->grpc_status >= (int)(sizeof(names) / sizeof(*names)))
        return refuse(g, "the call failed with gRPC status %d", g->grpc_status);
    return refuse(g, "the call failed with gRPC status %s", names[g->grpc_status]);
}

static enum grpc_health_step judge(struct grpc_health *g)
{
    if (g->grpc_status < 0) return refuse(g, "the answer has no grpc-status");
    return g->grpc_status ? refuse_status(g) : judge_message(g);
}

/* the answer's frames */

/* -1: it is no number of at most three digits. */
static int number_of(struct slice text)
{
    int number = 0;
    if (!text.len || text.len > 3) return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return -1;
        number = number * 10 + (text.data[i] - '0');
    }
    return number;
}

static void note_grpc_status(struct grpc_health *g, const struct http_head *head)
{
    const struct http_field *f = http_head_find_name(head, SLICE("grpc-status"));
    g->grpc_status = f ? number_of(http_field_value(f)) : -1;
}

/* gRPC over HTTP/2, "Responses": with a kind of message behind "+", or parameters behind ";". */
static bool is_grpc(const struct http_head *head)
{
    const struct slice type = SLICE("application/grpc");
    struct slice value = http_field_value(http_head_find(head, HTTP_FIELD_CONTENT_TYPE));
    if (!slice_starts_with(value, type)) return false;
    return value.len == type.len || strchr("+; ", value.data[type.len]);
}

static enum grpc_health_step judge_trailers(struct grpc_health *g, const struct h2_head *h, bool ends)
{
    const struct http_head trailers = { .fields = h->fields, .field_count = h->count };
    if (!ends) return refuse(g, "the answer is not correct HTTP/2: trailers that are not the end");
    if (h->fault) return refuse(g, "the answer is not correct HTTP/2: %s", h->detail);
    note_grpc_status(g, &trailers);
    return judge(g);
}

static enum grpc_health_step judge_head(struct grpc_health *g, struct h2_head *h, bool ends)
{
    struct http_head head;
    enum end_reason fault = h2_head_finish_response(h, ends, HTTP_POST, &head);
    if (fault == END_RESPONSE_HEAD_TOO_LARGE)
        return refuse(g, "the answer's head is over %u bytes or %u fields", HEAD_MAX, FIELDS_MAX);
    if (fault) return refuse(g, "the answer is not correct HTTP/2: %s", h->detail);
    g->status = head.status;
    g->has_head = g->status >= 200;
    if (!g->has_head) return GRPC_HEALTH_GOES_ON;
    if (g->status != 200) return refuse(g, "the call was answered with status %u", g->status);
    if (!is_grpc(&head)) return refuse(g, "the answer is no gRPC: its content-type is not application/grpc");
    if (!ends) return GRPC_HEALTH_GOES_ON;
    note_grpc_status(g, &head);
    return judge(g);
}

/* A whole field block. */
static enum grpc_health_step read_block(struct grpc_health *g, struct slice block)
{
    static const struct h1_limits limits = { .head_max = HEAD_MAX, .field_max = FIELDS_MAX };
    struct h2_head h = { .limits = &limits,
                         .fields = g->fields,
                         .text = text_over(g->text, sizeof(g->text)),
                         .is_response = true,
                         .is_trailers = g->has_head };
    bool ends = g->head_flags & H2_END_STREAM;
    switch (h2_hpack_decode(&g->hpack, block, h2_head_add, &h)) {
    case H2_DECODED: break;
    case H2_DECODED_NO_MEMORY: return refuse(g, "weir has no memory to read the answer");
    case H2_DECODED_STOPPED:
        return refuse(g, "the answer's head decodes to several times %u bytes", HEAD_MAX);
    default: return refuse(g, "the answer is not correct HTTP/2: its fields are broken");
    }
    return g->has_head ? judge_trailers(g, &h, ends) : judge_head(g, &h, ends);
}

/* RFC 9113 4.3: it may come in pieces, with nothing between them. */
static enum grpc_health_step take_block(struct grpc_health *g, const struct h2_frame *f, struct slice piece)
{
    if (piece.len > HEAD_MAX - g->block_len) return refuse(g, "the answer's head is over %u bytes", HEAD_MAX);
    if (piece.len) memcpy(g->block + g->block_len, piece.data, piece.len);
    g->block_len += (uint32_t)piece.len;
    g->is_continued = !(f->flags & H2_END_HEADERS);
    return g->is_continued ? GRPC_HEALTH_GOES_ON : read_block(g, (struct slice){ g->block, g->block_len });
}

static enum grpc_health_step on_headers(struct grpc_health *g, const struct h2_frame *f, struct slice payload)
{
    struct h2_content content;
    if (f->stream != STREAM || !h2_frame_content(f, payload, &content))
        return refuse(g, "the answer is not correct HTTP/2: a broken HEADERS");
    g->block_len = 0;
    g->head_flags = f->flags;
    return take_block(g, f, content.bytes);
}

static enum grpc_health_step on_data(struct grpc_health *g, const struct h2_frame *f, struct slice payload)
{
    struct h2_content content;
    if (f->stream != STREAM || !g->has_head || !h2_frame_content(f, payload, &content))
        return refuse(g, "the answer is not correct HTTP/2: a broken DATA");
    if (content.bytes.len > MESSAGE_MAX - g->message_len)
        return refuse(g, "the answer's message is over %u bytes", MESSAGE_MAX);
    memcpy(g->message + g->message_len, content.bytes.data, content.bytes.len);
    g->message_len += (uint32_t)content.bytes.len;
    return f->flags & H2_END_STREAM ? judge(g) : GRPC_HEALTH_GOES_ON;
}

static enum grpc_health_step confirm(struct grpc_health *g, bool is_ping, struct slice payload)
{
    if (g->reply_count == REPLIES_MAX)
        return refuse(g, "the server wants more confirmed than an answer needs (SETTINGS, PING)");
    struct reply *r = &g->replies[g->reply_count++];
    r->is_ping = is_ping;
    if (is_ping) memcpy(r->bytes, payload.data, PING_BYTES);
    return GRPC_HEALTH_GOES_ON;
}

static enum grpc_health_step on_settings(struct grpc_health *g, const struct h2_frame *f,
                                         struct slice payload)
{
    struct h2_fault fault;
    g->has_settings = true;
    if (f->flags & H2_ACK) return GRPC_HEALTH_GOES_ON;
    if (!h2_settings_read(&g->settings, payload, &fault))
        return refuse(g, "the answer is not correct HTTP/2: %s", fault.detail);
    if (g->settings.is_push_enabled) /* RFC 9113 6.5.2 */
        return refuse(g, "the answer is not correct HTTP/2: a server that allows to push");
    return confirm(g, false, payload);
}

/* A server that leaves says it before or within its last answers, which it still gives. */
static enum grpc_health_step on_goaway(struct grpc_health *g, struct slice payload)
{
    uint32_t last = h2_read_u32(payload.data) & H2_STREAM_MAX, error = h2_read_u32(payload.data + 4);
    if (last >= STREAM && error == H2_NO_ERROR) return GRPC_HEALTH_GOES_ON;
    return refuse(g, "the server ended the connection (GOAWAY, %s)", h2_error_name(error));
}

static enum grpc_health_step on_frame(struct grpc_health *g, const struct h2_frame *f, struct slice payload)
{
    switch (f->type) {
    case H2_HEADERS: return on_headers(g, f, payload);
    case H2_CONTINUATION: return take_block(g, f, payload);
    case H2_DATA: return on_data(g, f, payload);
    case H2_SETTINGS: return on_settings(g, f, payload);
    case H2_PING: return f->flags & H2_ACK ? GRPC_HEALTH_GOES_ON : confirm(g, true, payload);
    case H2_GOAWAY: return on_goaway(g, payload);
    case H2_RST_STREAM:
        return refuse(g, "the server reset the call (%s)", h2_error_name(h2_read_u32(payload.data)));
    default: return GRPC_HEALTH_GOES_ON;
    }
}

/* What may not come now (RFC 9113 4.1, 5.1, 6.10); NULL: it may. */
static const char *check_frame(const struct grpc_health *g, const struct h2_frame *f)
{
    struct h2_fault fault;
    bool is_continuation = f->type == H2_CONTINUATION;
    if (g->is_continued && (!is_continuation || f->stream != STREAM)) return "a head that is not continued";
    if (!g->is_continued && is_continuation) return "a CONTINUATION of nothing";
    if (f->type == H2_PUSH_PROMISE || (f->type == H2_RST_STREAM && f->stream > STREAM))
        return "what was not asked for";
    return h2_frame_check(f, &fault) || f->len > H2_PAYLOAD_MAX ? NULL : fault.detail;
}

/* What can be said of a frame before it is whole. */
static enum grpc_health_step judge_frame_head(struct grpc_health *g, const struct h2_frame *f)
{
    if (!g->has_settings && memcmp(g->frame, "HTTP/1", 6) == 0)
        return refuse(g, "the server answers in HTTP/1, and gRPC needs HTTP/2");
    if (!g->has_settings && (f->type != H2_SETTINGS || f->flags & H2_ACK)) /* RFC 9113 3.4 */
        return refuse(g, "the answer is not HTTP/2: it does not begin with SETTINGS");
    const char *wrong = check_frame(g, f);
    if (wrong) return refuse(g, "the answer is not correct HTTP/2: %s", wrong);
    if (f->len > FRAME_MAX) return refuse(g, "the answer has a frame of %u bytes, which none needs", f->len);
    return GRPC_HEALTH_GOES_ON;
}

/* As much as is missing. True: `len` bytes of the frame are there. */
static bool gather(struct grpc_health *g, struct slice *bytes, uint32_t len)
{
    if (bug_if(H2_SESSION, len > sizeof(g->frame) || g->frame_len > len)) return false;
    size_t missing = len - g->frame_len, taken = bytes->len < missing ? bytes->len : missing;
    if (taken) memcpy(g->frame + g->frame_len, bytes->data, taken);
    g->frame_len += (uint32_t)taken;
    bytes->data += taken;
    bytes->len -= taken;
    return taken == missing;
}

static enum grpc_health_step feed_frame(struct grpc_health *g, struct slice *bytes)
{
    if (g->frame_len < H2_FRAME_HEAD && !gather(g, bytes, H2_FRAME_HEAD)) return GRPC_HEALTH_GOES_ON;
    const struct h2_frame f = h2_frame_read(g->frame);
    enum grpc_health_step step = judge_frame_head(g, &f);
    if (step != GRPC_HEALTH_GOES_ON || !gather(g, bytes, H2_FRAME_HEAD + f.len)) return step;
    g->frame_len = 0;
    return on_frame(g, &f, (struct slice){ g->frame + H2_FRAME_HEAD, f.len });
}

enum grpc_health_step grpc_health_feed(struct grpc_health *g, struct slice bytes)
{
    enum grpc_health_step step = GRPC_HEALTH_GOES_ON;
    while (step == GRPC_HEALTH_GOES_ON && bytes.len) {
        size_t before = bytes.len;
        step = feed_frame(g, &bytes);
        g->received += (uint32_t)(before - bytes.len);
        if (step == GRPC_HEALTH_GOES_ON && g->received > ANSWER_MAX)
            step = refuse(g, "the answer is over %u KiB", ANSWER_MAX >> 10);
    }
    return step;
}
