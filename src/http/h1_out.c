#include <errno.h>

#include "base/bug.h"
#include "base/text.h"
#include "http/h1_io.h"

/* A size line of 16 digits, and what ends a chunk and the body. */
#define CHUNK_FRAME_MAX 32
/* Payload up to this is copied behind what waits rather than given to the kernel as a piece of its own. */
#define COPY_MAX 1024
/* Nothing of a body is copied beyond this: what a client that does not read leaves here stays within a block of 16 KiB,
 * however small the pieces are. */
#define WAIT_MAX ((BLOCK_MIN << 2) - sizeof(struct block))

void h1_out_clear(struct h1_out *out, struct loop *l)
{
    block_put(&l->blocks, out->block);
    *out = (struct h1_out){ 0 };
}

/* Room for `len` more bytes behind what waits, which moves to the front if need be; false if memory is out. */
static bool make_room(struct h1_out *out, struct loop *l, size_t len)
{
    if (bug_if(H1_OUT, out->begin > out->end || (out->block && out->end > out->block->cap))) return false;
    if (out->block && out->block->cap - out->end >= len) return true;
    uint32_t waiting = out->end - out->begin;
    if (!block_grow(&l->blocks, &out->block, out->begin, waiting, len)) return false;
    if (out->chunk_at < out->begin) out->chunk_len = 0; /* it has begun to go */
    out->chunk_at = out->chunk_len ? out->chunk_at - out->begin : 0;
    out->begin = 0;
    out->end = waiting;
    return true;
}

static void append(struct h1_out *out, const void *data, size_t len)
{
    if (!len) return;
    if (bug_if(H1_OUT, !data || !out->block || out->block->cap - out->end < len)) {
        out->is_broken = true;
        return;
    }
    memcpy(out->block->data + out->end, data, len);
    out->end += (uint32_t)len;
}

/* Fields that are the codec's own to write. */
static bool is_own(const struct http_field *f)
{
    switch (f->id) {
    case HTTP_FIELD_HOST:
    case HTTP_FIELD_CONNECTION:
    case HTTP_FIELD_KEEP_ALIVE:
    case HTTP_FIELD_PROXY_CONNECTION:
    case HTTP_FIELD_CONTENT_LENGTH:
    case HTTP_FIELD_TRANSFER_ENCODING:
    case HTTP_FIELD_UPGRADE:
    case HTTP_FIELD_TE: return true;
    default: return false;
    }
}

static size_t fields_size(const struct http_field *fields, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) size += fields[i].name_len + fields[i].value_len + 4u;
    return size;
}

static void put_field(struct text *t, const struct http_field *f)
{
    text_add(t, f->name, f->name_len);
    TEXT_LITERAL(t, ": ");
    text_add(t, f->value, f->value_len);
    TEXT_LITERAL(t, "\r\n");
}

static void put_fields(struct text *t, const struct http_send *send)
{
    for (uint32_t i = 0; i < send->head->field_count; i++) {
        const struct http_field *f = &send->head->fields[i];
        if (!f->is_dropped && !is_own(f)) put_field(t, f);
    }
    for (uint32_t i = 0; i < send->extra_count; i++)
        if (!send->extra[i].is_dropped) put_field(t, &send->extra[i]);
}

static void put_upgrade(struct text *t, struct slice protocol)
{
    TEXT_LITERAL(t, "Connection: upgrade\r\nUpgrade: ");
    text_add_slice(t, protocol);
    TEXT_LITERAL(t, "\r\n");
}

/* Connection's options for a server: each names a field that is for it alone. TE is said for the client, since
 * trailers are passed on to it (RFC 9110 10.1.4). */
static void put_request_options(struct text *t, const struct http_send *send)
{
    bool has_te = send->head->accepts_trailers;
    if (!send->upgrade.len && !send->wants_close && !has_te) return;
    TEXT_LITERAL(t, "Connection: ");
    if (send->upgrade.len)
        TEXT_LITERAL(t, "upgrade");
    else if (send->wants_close)
        TEXT_LITERAL(t, "close");
    if (has_te && (send->upgrade.len || send->wants_close)) TEXT_LITERAL(t, ", ");
    if (has_te) TEXT_LITERAL(t, "TE\r\nTE: trailers");
    TEXT_LITERAL(t, "\r\n");
    if (!send->upgrade.len) return;
    TEXT_LITERAL(t, "Upgrade: ");
    text_add_slice(t, send->upgrade);
    TEXT_LITERAL(t, "\r\n");
}

static void put_length(struct text *t, uint64_t length)
{
    TEXT_LITERAL(t, "Content-Length: ");
    text_add_u64(t, length);
    TEXT_LITERAL(t, "\r\n");
}

/* The head goes where `out` has room for it; finish_head() counts it in. */
static bool start_head(struct h1_out *out, struct loop *l, const struct http_send *send, struct text *t)
{
    const struct http_head *head = send->head;
    /* It would be read as a part of the last message's body. */
    if (bug_if(H1_OUT, out->mode != H1_OUT_NONE && out->left)) return false;
    size_t size = 256 + head->method_text.len + head->target.len + send->target.len + head->reason.len +
                  send->authority.len + send->upgrade.len + fields_size(head->fields, head->field_count) +
                  fields_size(send->extra, send->extra_count);
    if (!make_room(out, l, size)) return false;
    *t = text_over(out->block->data + out->end, out->block->cap - out->end);
    return true;
}

static enum io finish_head(struct h1_out *out, struct text *t)
{
    TEXT_LITERAL(t, "\r\n");
    if (bug_if(H1_OUT, t->is_cut)) return IO_FAIL; /* half a head says something else */
    out->end += (uint32_t)t->len;
    return IO_OK;
}

enum io h1_out_request(struct h1_out *out, struct loop *l, const struct http_send *send)
{
    struct text t;
    if (!start_head(out, l, send, &t)) return IO_FAIL;
    text_add_slice(&t, send->head->method_text);
    text_add_char(&t, ' ');
    text_add_slice(&t, send->target.len ? send->target : send->head->target);
    TEXT_LITERAL(&t, " HTTP/1.1\r\nHost: ");
    text_add_slice(&t, send->authority);
    TEXT_LITERAL(&t, "\r\n");
    put_fields(&t, send);
    out->mode = H1_OUT_NONE;
    out->left = 0;
    out->is_ended = send->body == HTTP_BODY_NONE;
    if (send->body == HTTP_BODY_LENGTH) {
        put_length(&t, send->content_length);
        out->mode = H1_OUT_LENGTH;
        out->left = send->content_length;
        out->is_ended = send->content_length == 0;
    } else if (send->body == HTTP_BODY_UNKNOWN) {
        TEXT_LITERAL(&t, "Transfer-Encoding: chunked\r\n");
        out->mode = H1_OUT_CHUNKED;
    }
    put_request_options(&t, send);
    return finish_head(out, &t);
}

static void put_response_framing(struct h1_out *out, struct text *t, const struct http_send *send,
                                 bool to_1_0, bool *closes)
{
    out->mode = H1_OUT_NONE;
    out->left = 0;
    if (send->body == HTTP_BODY_LENGTH) {
        put_length(t, send->content_length);
        out->mode = H1_OUT_LENGTH;
        out->left = send->content_length;
    } else if (send->body == HTTP_BODY_NONE && !send->is_bodiless) {
        put_length(t, 0); /* HTTP/2 says it by the end of the stream */
    } else if (send->body == HTTP_BODY_UNKNOWN && to_1_0) {
        out->mode = H1_OUT_CLOSE;
        if (!send->is_bodiless) *closes = true;
    } else if (send->body == HTTP_BODY_UNKNOWN) {
        TEXT_LITERAL(t, "Transfer-Encoding: chunked\r\n");
        out->mode = H1_OUT_CHUNKED;
    }
    out->is_ended = send->is_bodiless || send->body == HTTP_BODY_NONE ||
                    (send->body == HTTP_BODY_LENGTH && send->content_length == 0);
    if (out->is_ended) out->mode = H1_OUT_NONE;
}

enum io h1_out_response(struct h1_out *out, struct loop *l, const struct http_send *send, bool to_1_0,
                        bool *closes)
{
    struct text t;
    if (!start_head(out, l, send, &t)) return IO_FAIL;
    uint16_t status = send->head->status;
    TEXT_LITERAL(&t, "HTTP/1.1 ");
    text_add_u64(&t, status);
    text_add_char(&t, ' ');
    text_add_slice(&t, send->head->reason);
    TEXT_LITERAL(&t, "\r\n");
    put_fields(&t, send);
    if (status == 101) {
        put_upgrade(&t, send->upgrade);
        out->is_ended = true;
    } else if (status >= 200) {
        put_response_framing(out, &t, send, to_1_0, closes);
        if (*closes)
            TEXT_LITERAL(&t, "Connection: close\r\n");
        else if (to_1_0)
            TEXT_LITERAL(&t, "Connection: keep-alive\r\n");
    }
    return finish_head(out, &t);
}

/* Takes `sent` bytes off what waits. */
static void drop_front(struct h1_out *out, struct transport *t, size_t sent)
{
    if (bug_if(H1_OUT, sent > out->end - out->begin)) sent = out->end - out->begin;
    out->begin += (uint32_t)sent;
    if (out->begin < out->end) return;
    block_put(&t->loop->blocks, out->block);
    out->block = NULL;
    out->begin = out->end = out->chunk_len = 0;
}

/* The connection is of no more use: the peer would take what follows for something else. */
static enum io fail(struct transport *t)
{
    t->saved_errno = EPROTO;
    return IO_FAIL;
}

enum io h1_out_flush(struct h1_out *out, struct transport *t)
{
    if (out->is_broken) return fail(t);
    while (out->begin < out->end) {
        struct iovec iov = { out->block->data + out->begin, out->end - out->begin };
        size_t sent;
        enum io io = transport_send(t, &iov, 1, &sent);
        if (io != IO_OK) return io;
        drop_front(out, t, sent);
    }
    return transport_flush(t);
}

/* One send: what waits, payload, and the tail that is due once all the payload is out (also if there is none). What of
 * the tail does not go is kept: nobody offers it again. */
static enum io send_pieces(struct h1_out *out, struct transport *t, struct slice payload, struct slice tail,
                           size_t *taken)
{
    struct iovec iov[3];
    int count = 0;
    if (out->is_broken) return fail(t);
    size_t waiting = out->end - out->begin;
    if (waiting) iov[count++] = (struct iovec){ out->block->data + out->begin, waiting };
    if (payload.len) iov[count++] = (struct iovec){ (char *)(uintptr_t)payload.data, payload.len };
    if (tail.len) iov[count++] = (struct iovec){ (char *)(uintptr_t)tail.data, tail.len };
    size_t sent = 0;
    if (count && transport_send(t, iov, count, &sent) == IO_FAIL) return IO_FAIL;
    size_t gone = sent < waiting ? sent : waiting;
    if (gone) drop_front(out, t, gone);
    sent -= gone;
    *taken = sent < payload.len ? sent : payload.len;
    sent -= *taken;
    if (*taken < payload.len || sent == tail.len) return IO_OK;
    if (bug_if(H1_OUT, sent > tail.len)) return fail(t); /* more than there was to send */
    if (!make_room(out, t->loop, tail.len - sent)) {
        t->saved_errno = ENOMEM;
        return IO_FAIL;
    }
    append(out, tail.data + sent, tail.len - sent);
    return IO_OK;
}

static struct slice chunk_tail(bool closes_chunk, bool ends)
{
    if (closes_chunk && ends) return SLICE("\r\n0\r\n\r\n");
    if (closes_chunk) return SLICE("\r\n");
    return ends ? SLICE("0\r\n\r\n") : SLICE_NONE;
}

/* The bytes of the line that says the size of a chunk. */
static size_t put_size(char *to, size_t room, size_t size)
{
    struct text t = text_over(to, room);
    unsigned digits = 1;
    while (digits < 16 && size >> (4 * digits)) digits++;
    text_add_hex(&t, size, digits);
    TEXT_LITERAL(&t, "\r\n");
    return t.len;
}

static bool open_chunk(struct h1_out *out, struct loop *l, size_t len)
{
    if (!make_room(out, l, CHUNK_FRAME_MAX)) return false;
    out->end += (uint32_t)put_size(out->block->data + out->end, CHUNK_FRAME_MAX, len);
    out->left = len;
    out->chunk_len = 0;
    return true;
}

/* Payload as a chunk of its own, or as more of the one that waits last, as long as nothing of that is out: so a byte
 * costs one byte however small the pieces were that it came in. There is room. */
static void keep_as_chunk(struct h1_out *out, struct slice payload)
{
    bool grows = out->chunk_len && out->chunk_at >= out->begin;
    uint32_t before = grows ? out->chunk_len : 0;
    /* Its size line, at least one digit and CRLF, its bytes and CRLF are the last of what waits. */
    if (bug_if(H1_OUT, grows && (out->chunk_at > out->end || out->end - out->chunk_at < before + 5))) {
        out->is_broken = true;
        return;
    }
    if (!grows) out->chunk_at = out->end;
    char line[20];
    size_t line_len = put_size(line, sizeof(line), before + payload.len);
    char *chunk = out->block->data + out->chunk_at;
    if (grows) {
        size_t line_before = out->end - out->chunk_at - before - 2;
        if (line_before != line_len) memmove(chunk + line_len, chunk + line_before, before);
    }
    memcpy(chunk, line, line_len);
    out->chunk_len = before + (uint32_t)payload.len;
    out->end = out->chunk_at + (uint32_t)line_len + before;
    append(out, payload.data, payload.len);
    append(out, "\r\n", 2);
}

/* Small payload, and the end, are put behind what waits where they can go together with it. */
static bool keep(struct h1_out *out, struct transport *t, struct slice payload, unsigned flags, bool ends)
{
    bool is_chunked = out->mode == H1_OUT_CHUNKED;
    size_t needed = payload.len + (is_chunked ? CHUNK_FRAME_MAX : 0);
    if (payload.len > COPY_MAX || (!out->block && !(flags & HTTP_MORE))) return false;
    if (payload.len && out->end - out->begin + needed > WAIT_MAX) return false;
    bool has_room = out->block && out->block->cap - out->end >= needed;
    /* What can go now goes as it is: that is cheaper than a larger block. */
    if (!has_room && !(flags & HTTP_MORE) && t->is_writable) return false;
    if (!make_room(out, t->loop, needed)) return false;
    if (is_chunked && payload.len && !out->left) {
        keep_as_chunk(out, payload);
    } else {
        append(out, payload.data, payload.len);
        if (out->mode != H1_OUT_CLOSE) out->left -= payload.len;
        if (is_chunked && payload.len && !out->left) append(out, "\r\n", 2);
    }
    if (is_chunked && ends) append(out, "0\r\n\r\n", 5);
    return true;
}

/* One stretch of payload: as much of it as the open chunk covers. */
static enum io send_stretch(struct h1_out *out, struct transport *t, struct slice payload, unsigned flags,
                            size_t *taken)
{
    bool is_chunked = out->mode == H1_OUT_CHUNKED;
    bool is_cut = is_chunked && out->left && payload.len > out->left;
    if (is_cut) payload.len = out->left;
    bool ends = (flags & HTTP_END) && !is_cut;
    enum io io = IO_OK;
    if (keep(out, t, payload, flags, ends)) {
        *taken = payload.len;
        if (!(flags & HTTP_MORE)) io = h1_out_flush(out, t);
    } else if (payload.len && !t->is_writable) {
        return IO_AGAIN;
    } else {
        if (is_chunked && payload.len && !out->left && !open_chunk(out, t->loop, payload.len)) {
            t->saved_errno = ENOMEM;
            return IO_FAIL;
        }
        bool closes_chunk = payload.len && payload.len == out->left;
        io = send_pieces(out, t, payload, is_chunked ? chunk_tail(closes_chunk, ends) : SLICE_NONE, taken);
        if (out->mode != H1_OUT_CLOSE) out->left -= *taken;
    }
    if (io == IO_FAIL) return io;
    if (ends && *taken == payload.len) out->is_ended = true;
    return *taken < payload.len ? IO_AGAIN : IO_OK;
}

/* As long as was said, neither more nor less: the peer takes what follows for the next message (RFC 9112 6.3). */
static bool is_of_another_length(const struct h1_out *out, size_t len, unsigned flags)
{
    if (out->mode != H1_OUT_LENGTH) return false;
    return bug_if(H1_OUT, len > out->left || (len < out->left && (flags & HTTP_END)));
}

enum io h1_out_body(struct h1_out *out, struct transport *t, const char *data, size_t len, unsigned flags,
                    size_t *taken)
{
    *taken = 0;
    /* Of a message without a body (mode NONE) it is known that the peer sends one anyway. */
    if (bug_if(H1_OUT, len && out->is_ended && out->mode != H1_OUT_NONE)) return fail(t);
    if (out->is_ended || (!len && !(flags & HTTP_END))) {
        if (flags & HTTP_MORE) return IO_OK;
        enum io io = h1_out_flush(out, t);
        return io == IO_FAIL ? IO_FAIL : IO_OK;
    }
    if (is_of_another_length(out, len, flags)) return fail(t);
    do {
        size_t now = 0;
        enum io io = send_stretch(out, t, (struct slice){ data + *taken, len - *taken }, flags, &now);
        *taken += now;
        if (io != IO_OK) return io;
    } while (*taken < len);
    return IO_OK;
}

enum io h1_out_trailers(struct h1_out *out, struct transport *t, const struct http_field *fields,
                        uint32_t count)
{
    if (bug_if(H1_OUT, out->left)) return fail(t); /* within the body, or within a chunk of it */
    out->is_ended = true;
    /* Without chunks there is no place for trailers: they are dropped (RFC 9110 6.5.1). */
    if (out->mode == H1_OUT_CHUNKED) {
        if (!make_room(out, t->loop, fields_size(fields, count) + CHUNK_FRAME_MAX)) {
            t->saved_errno = ENOMEM;
            return IO_FAIL;
        }
        struct text text = text_over(out->block->data + out->end, out->block->cap - out->end);
        TEXT_LITERAL(&text, "0\r\n");
        for (uint32_t i = 0; i < count; i++)
            if (!fields[i].is_dropped && !is_own(&fields[i])) put_field(&text, &fields[i]);
        TEXT_LITERAL(&text, "\r\n");
        if (bug_if(H1_OUT, text.is_cut)) return fail(t);
        out->end += (uint32_t)text.len;
    }
    return h1_out_flush(out, t) == IO_FAIL ? IO_FAIL : IO_OK;
}
