/* HTTP/2 connections: whatever comes, and however it is cut, everything is given back; and a connection that nghttp2's
 * session gives up is not one that ours goes on with. The first byte says where the bytes are cut in two, the second what the
 * service does with requests. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/h1_server.h"
#include "http/h2_frame.h"
#include "http/h2_server.h"
#include "http/h2_session.h"

#define INPUT_MAX (48u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct scene {
    struct http_service service; /* first */
    struct budget budget;
    struct loop loop;
    struct slab connections;
    struct h2_worker h2;
    struct list among;
    struct loop_task end_task;
    struct http_stream *streams[512];
    uint32_t stream_count;
    struct transport tunnels[64];
    uint32_t tunnel_count;
    uint8_t manner;
    uint32_t goaway; /* the error that it ended with; UINT32_MAX: it goes on */
};

static size_t on_body(struct http_stream *stream, const char *data, size_t len, unsigned flags)
{
    struct scene *s = stream->owner;
    (void)data, (void)flags;
    return s->manner & 1 ? len : len / 2;
}

static void on_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    (void)stream, (void)fields, (void)count;
}

static void on_error(struct http_stream *stream, const struct http_fault *fault)
{
    (void)stream, (void)fault;
}

static void on_writable(struct http_stream *stream)
{
    (void)stream;
}

static const struct http_stream_events events = {
    .on_body = on_body, .on_trailers = on_trailers, .on_error = on_error, .on_writable = on_writable
};

/* What has come is forwarded on an HTTP/1 wire. */
static void check_head(const struct http_head *head)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        for (uint32_t k = 0; k < f->name_len; k++)
            if ((uint8_t)f->name[k] <= ' ' || f->name[k] == ':' || (uint8_t)f->name[k] >= 127) abort();
        for (uint32_t k = 0; k < f->value_len; k++)
            if (f->value[k] == '\r' || f->value[k] == '\n' || f->value[k] == '\0') abort();
    }
    for (size_t i = 0; i < head->target.len; i++)
        if ((uint8_t)head->target.data[i] <= ' ' || (uint8_t)head->target.data[i] == 127) abort();
}

static void take_stream(struct scene *s, struct http_stream *stream)
{
    stream->events = &events;
    stream->owner = s;
    if (s->stream_count == sizeof(s->streams) / sizeof(*s->streams)) {
        http_stream_reset(stream, END_NO_MEMORY);
        return;
    }
    s->streams[s->stream_count++] = stream;
    if (s->manner & 2) loop_defer(&s->loop, &s->end_task);
}

static void on_request(struct http_service *service, struct http_stream *stream, struct http_head *head,
                       unsigned flags)
{
    (void)flags;
    check_head(head);
    take_stream(container_of(service, struct scene, service), stream);
}

static void on_fault(struct http_service *service, struct http_stream *stream, const struct http_fault *fault,
                     struct slice start)
{
    (void)fault, (void)start;
    take_stream(container_of(service, struct scene, service), stream);
}

/* What comes goes back. */
static void on_tunnel_ready(struct transport *t)
{
    char bytes[4096];
    size_t got = 0, sent = 0;
    enum io io;
    while ((io = transport_recv(t, bytes, sizeof(bytes), &got)) == IO_OK) {
        struct iovec iov = { bytes, got };
        if (transport_send(t, &iov, 1, &sent) == IO_FAIL) break;
    }
    if (io == IO_EOF) io = transport_shutdown(t) == IO_OK ? IO_EOF : IO_FAIL;
    if (io != IO_AGAIN) transport_close(t, io != IO_EOF);
}

static void open_tunnel(struct scene *s, struct http_stream *stream)
{
    struct http_head head = { .status = 200 };
    struct http_send send = { .head = &head, .body = HTTP_BODY_UNKNOWN };
    struct block *held;
    struct slice bytes;
    if (http_send_head(stream, &send, 0) != IO_OK) {
        http_stream_reset(stream, END_WRITE_TIMEOUT);
        return;
    }
    struct transport *t = &s->tunnels[s->tunnel_count++];
    if (stream->ops->detach(stream, t, &held, &bytes) < 0 || held) abort();
    t->on_ready = on_tunnel_ready;
    on_tunnel_ready(t);
}

static void answer(struct http_stream *stream)
{
    struct scene *s = stream->owner;
    bool has_room = s->tunnel_count < sizeof(s->tunnels) / sizeof(*s->tunnels);
    if (h2_stream_of(stream)->is_tunnel && (s->manner & 4) && has_room) {
        open_tunnel(s, stream);
        return;
    }
    static const char body[40000];
    struct http_head head = { .status = 200 };
    struct http_send send = { .head = &head, .body = HTTP_BODY_UNKNOWN };
    size_t taken = 0;
    http_stream_resume(stream);
    if (http_send_head(stream, &send, HTTP_MORE) == IO_OK &&
        http_send_body(stream, body, sizeof(body), HTTP_END, &taken) == IO_OK)
        http_stream_release(stream);
    else
        http_stream_reset(stream, END_WRITE_TIMEOUT);
}

static void end_streams(struct scene *s)
{
    while (s->stream_count) answer(s->streams[--s->stream_count]);
}

static void on_end_task(struct loop_task *t)
{
    end_streams(container_of(t, struct scene, end_task));
}

static void bury(struct loop_grave *g)
{
    struct http_conn *c = container_of(g, struct http_conn, grave);
    slab_put(&container_of(c->service, struct scene, service)->connections, c);
}

static void on_closed(struct http_service *service, struct http_conn *c)
{
    loop_bury(&container_of(service, struct scene, service)->loop, &c->grave, bury);
}

/* What we say, as far as it tells of the connection's end. */
static void hear(struct scene *s, int fd)
{
    static char bytes[1 << 20];
    static size_t len;
    len = 0;
    for (ssize_t got;
         len < sizeof(bytes) && (got = recv(fd, bytes + len, sizeof(bytes) - len, MSG_DONTWAIT)) > 0;)
        len += (size_t)got;
    for (size_t at = 0; at + H2_FRAME_HEAD <= len;) {
        struct h2_frame f = h2_frame_read(bytes + at);
        if (at + H2_FRAME_HEAD + f.len > len) return;
        if (f.type == H2_GOAWAY) s->goaway = h2_read_u32(bytes + at + H2_FRAME_HEAD + 4);
        at += H2_FRAME_HEAD + f.len;
    }
}

static void run_ours(struct scene *s, const char *bytes, size_t size, size_t cut)
{
    struct err err;
    struct address nobody = { .len = sizeof(sa_family_t) };
    int fds[2];
    int room = 1 << 20;
    s->service = (struct http_service){ .on_request = on_request,
                                        .on_fault = on_fault,
                                        .on_closed = on_closed,
                                        .limits = { .head_max = 65536, .field_max = 128 },
                                        .h2 = &s->h2,
                                        .h2_limits = { .streams = 400,
                                                       .window_bytes = 65535,
                                                       .memory_bytes = 1 << 20,
                                                       .continuations = UINT32_MAX,
                                                       .allows_tunnels = true,
                                                       .floods = { UINT32_MAX, UINT32_MAX, UINT32_MAX,
                                                                   UINT32_MAX, UINT32_MAX } },
                                        .header_timeout_ms = 1000,
                                        .keep_alive_timeout_ms = 1000,
                                        .write_timeout_ms = 1000 };
    s->budget.limit = 64 << 20;
    s->goaway = UINT32_MAX;
    if (loop_init(&s->loop, &s->budget, &err) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
        abort();
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    s->loop.is_virtual = true;
    slab_init(&s->connections, &s->loop.blocks, sizeof(struct h1_server));
    h2_worker_init(&s->h2, &s->loop);
    list_init(&s->among);
    loop_task_init(&s->end_task, on_end_task);
    nobody.sa.any.sa_family = AF_UNIX;
    h1_server_start(slab_get(&s->connections), &s->service, &s->loop, fds[0], &nobody, 1, &s->among);
    if (cut && send(fds[1], bytes, cut, MSG_NOSIGNAL) < 0) abort();
    for (int i = 0; i < 3; i++) loop_turn(&s->loop, 0);
    if (size > cut) (void)!send(fds[1], bytes + cut, size - cut, MSG_NOSIGNAL); /* it may be over */
    /* All is worked off, in as many turns as it takes. */
    for (int i = 0; i < 6 || !list_is_empty(&s->h2.waiting); i++) loop_turn(&s->loop, 0);
    hear(s, fds[1]);
    http_conn_kill_all(&s->among, END_DRAINED);
    loop_cancel(&s->end_task);
    end_streams(s);
    for (uint32_t i = 0; i < s->tunnel_count; i++) transport_close(&s->tunnels[i], i % 2);
    for (int i = 0; i < 4; i++) loop_turn(&s->loop, 0);
    if (s->loop.blocks.live || s->h2.sessions.live || s->h2.streams.live || s->connections.live) abort();
    close(fds[1]);
    slab_fini(&s->connections);
    h2_worker_fini(&s->h2);
    loop_fini(&s->loop);
}

/* nghttp2's opinion: the error that it ends the connection with; UINT32_MAX: it goes on. */
static uint32_t run_theirs(const char *bytes, size_t size)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session;
    uint32_t error = UINT32_MAX;
    nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 400 },
                                          { NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 } };
    if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&option)) abort();
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_settings(option, 1 << 20);
    if (nghttp2_session_server_new2(&session, callbacks, NULL, option)) abort();
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2);
    if (nghttp2_session_mem_recv(session, (const uint8_t *)bytes, size) < 0) error = NGHTTP2_PROTOCOL_ERROR;
    const uint8_t *out;
    for (ssize_t n; error == UINT32_MAX && (n = nghttp2_session_mem_send(session, &out)) > 0;) {
        struct h2_frame f = h2_frame_read((const char *)out);
        if (f.type == H2_GOAWAY) error = h2_read_u32((const char *)out + H2_FRAME_HEAD + 4);
    }
    nghttp2_session_del(session);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return error;
}

/* What the two must agree about: frames and field blocks that are whole, as of a part of one they need not say at the same
 * byte that it is wrong, and up to a GOAWAY, whose last stream nghttp2 wants to be a server's, while 2^31-1 is how RFC 9113
 * 6.8 says that one begins to leave. */
static size_t whole_frames(const char *bytes, size_t at, size_t len)
{
    size_t whole = at;
    bool in_block = false;
    while (at + H2_FRAME_HEAD <= len) {
        struct h2_frame f = h2_frame_read(bytes + at);
        if (f.type == H2_GOAWAY || f.len > len - at - H2_FRAME_HEAD) break;
        at += H2_FRAME_HEAD + f.len;
        if (f.type == H2_HEADERS || in_block) in_block = !(f.flags & H2_END_HEADERS);
        if (!in_block) whole = at;
    }
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene s;
    static char bytes[sizeof(H2_PREFACE) + INPUT_MAX];
    if (size < 2 || size > INPUT_MAX) return 0;
    size_t len = sizeof(H2_PREFACE) - 1;
    memcpy(bytes, H2_PREFACE, len);
    memcpy(bytes + len, data + 2, size - 2);
    len += size - 2;
    memset(&s, 0, sizeof(s));
    s.manner = data[1];
    run_ours(&s, bytes, len, len * data[0] / 256);
    /* Where the service lets go of streams, their states are others than nghttp2 knows of; what is not taken closes windows. */
    if ((s.manner & 3) != 1 || s.goaway != UINT32_MAX) return 0;
    uint32_t theirs = run_theirs(bytes, whole_frames(bytes, sizeof(H2_PREFACE) - 1, len));
    /* Of a stream that its client has ended, more is an error of the stream (RFC 9113 5.1); nghttp2 ends the connection. */
    if (theirs == UINT32_MAX || theirs == NGHTTP2_NO_ERROR || theirs == NGHTTP2_STREAM_CLOSED) return 0;
    fprintf(stderr, "nghttp2 ends this connection with %s\n", h2_error_name(theirs));
    abort();
}
