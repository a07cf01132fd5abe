/* HTTP/2 connections to servers: whatever a server says, and however it is cut, everything is given back, what goes on to
 * clients is clean, and a connection that nghttp2's session gives up is not one that ours goes on with. The first byte says
 * where the bytes are cut in two, the second what the exchanges do with what comes. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/h2_client.h"
#include "http/h2_frame.h"

#define INPUT_MAX (48u << 10)
#define ASKERS 3u
#define TUNNEL 16u /* of the manner: the GET asks for a WebSocket (RFC 8441) */
#define SETTINGS "\0\0\0\4\0\0\0\0\0"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct scene {
    struct budget budget;
    struct loop loop;
    struct slab connections;
    struct h2_worker h2;
    struct h2_client *client;
    struct h1_limits limits;
    struct http_stream *streams[ASKERS]; /* 1: GET, 3: POST, 5: HEAD */
    struct transport tunnel;             /* what came of the GET, if it asked for one; else closed */
    unsigned closed;
    uint8_t manner;
    uint32_t goaway; /* the error that it ended with; UINT32_MAX: it goes on */
    bool has_reset;  /* a stream, for what the server did on it */
};

static struct scene scene;

static void check_fields(const struct http_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < fields[i].name_len; k++)
            if ((uint8_t)fields[i].name[k] <= ' ' || fields[i].name[k] == ':') abort();
        for (uint32_t k = 0; k < fields[i].value_len; k++)
            if (fields[i].value[k] == '\r' || fields[i].value[k] == '\n' || !fields[i].value[k]) abort();
    }
}

/* 2: whoever has heard of anything lets go. */
static void heard(struct http_stream *stream)
{
    struct http_stream **mine = stream->owner;
    if (!(scene.manner & 2) || *mine != stream) return;
    *mine = NULL;
    if (scene.manner & 4)
        http_stream_reset(stream, END_CLIENT_ABORT);
    else
        http_stream_release(stream);
}

static void ask(struct http_stream *stream, enum http_method method)
{
    struct http_head head = { .method = method,
                              .method_text = slice_of(http_method_name(method)),
                              .target = SLICE("/") };
    struct http_send send = { .head = &head, .authority = SLICE("a"), .body = HTTP_BODY_NONE };
    size_t taken;
    if (method == HTTP_POST) send.body = HTTP_BODY_UNKNOWN;
    if (method == HTTP_GET && scene.manner & TUNNEL) send.upgrade = SLICE("websocket");
    if (http_send_head(stream, &send, 0) != IO_OK) abort();
    if (method == HTTP_POST && http_send_body(stream, "0123456789", 10, HTTP_END, &taken) != IO_OK) abort();
}

static void on_open(struct http_stream *stream)
{
    static const enum http_method methods[ASKERS] = { HTTP_GET, HTTP_POST, HTTP_HEAD };
    ask(stream, methods[(struct http_stream **)stream->owner - scene.streams]);
}

/* Whatever is said in it is taken, and answered; and both ends are. */
static void on_tunnel(struct transport *t)
{
    char bytes[1000];
    size_t got, sent;
    enum io io;
    while ((io = transport_recv(t, bytes, sizeof(bytes), &got)) == IO_OK) {
        struct iovec iov = { bytes, got };
        if (transport_send(t, &iov, 1, &sent) == IO_FAIL) break;
    }
    if (io == IO_EOF) (void)transport_shutdown(t);
    if (io == IO_FAIL || (io == IO_EOF && scene.manner & 1)) transport_close(t, io == IO_FAIL);
}

static void go_on_as_tunnel(struct http_stream *stream)
{
    struct block *held;
    struct slice bytes;
    if (!(scene.manner & TUNNEL) || stream->owner != &scene.streams[0]) abort();
    if (stream->ops->detach(stream, &scene.tunnel, &held, &bytes) < 0 || held) abort();
    scene.streams[0] = NULL;
    scene.tunnel.on_ready = on_tunnel;
}

static void on_head(struct http_stream *stream, struct http_head *head, unsigned flags)
{
    (void)flags;
    check_fields(head->fields, head->field_count);
    if (head->status < 100 || head->status > 999) abort();
    if (head->status == 101) {
        go_on_as_tunnel(stream);
        return;
    }
    if (scene.manner & 8) http_stream_pause(stream);
    heard(stream);
}

static size_t on_body(struct http_stream *stream, const char *data, size_t len, unsigned flags)
{
    (void)data, (void)flags;
    heard(stream);
    return scene.manner & 1 ? len : len / 2;
}

static void on_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    check_fields(fields, count);
    heard(stream);
}

static void on_error(struct http_stream *stream, const struct http_fault *fault)
{
    (void)fault;
    heard(stream);
}

static void on_writable(struct http_stream *stream)
{
    (void)stream;
}

static const struct http_stream_events events = { .on_open = on_open,
                                                  .on_head = on_head,
                                                  .on_body = on_body,
                                                  .on_trailers = on_trailers,
                                                  .on_error = on_error,
                                                  .on_writable = on_writable };

static void on_nothing(struct h2_client *c)
{
    (void)c;
}

static void bury(struct loop_grave *g)
{
    slab_put(&scene.connections, container_of(g, struct h2_client, grave));
}

static void on_closed(struct h2_client *c)
{
    scene.client = NULL;
    scene.closed++;
    loop_bury(&scene.loop, &c->grave, bury);
}

static void on_timer(struct timer *t)
{
    h2_client_look(container_of(t, struct h2_client, timer));
}

static const struct h2_client_owner owner = {
    .on_opened = on_nothing, .on_room = on_nothing, .on_idle = on_nothing, .on_closed = on_closed
};

/* What we say, as far as it tells of the connection's end. */
static void hear(struct scene *s, int fd)
{
    static char bytes[1 << 20];
    size_t len = 0;
    for (ssize_t got;
         len < sizeof(bytes) && (got = recv(fd, bytes + len, sizeof(bytes) - len, MSG_DONTWAIT)) > 0;)
        len += (size_t)got;
    for (size_t at = sizeof(H2_PREFACE) - 1; at + H2_FRAME_HEAD <= len;) {
        struct h2_frame f = h2_frame_read(bytes + at);
        if (at + H2_FRAME_HEAD + f.len > len) return;
        if (f.type == H2_GOAWAY) s->goaway = h2_read_u32(bytes + at + H2_FRAME_HEAD + 4);
        if (f.type == H2_RST_STREAM) s->has_reset = true;
        at += H2_FRAME_HEAD + f.len;
    }
}

/* A socket that a server's end is accepted from. */
static int listen_once(struct address *at)
{
    static struct address mine;
    static int fd = -1;
    if (fd < 0) {
        mine.sa.any.sa_family = AF_UNIX;
        int len = snprintf(mine.sa.un.sun_path + 1, sizeof(mine.sa.un.sun_path) - 1, "h2_client_fuzz-%d",
                           (int)getpid());
        mine.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, &mine.sa.any, mine.len) < 0 || listen(fd, 8) < 0) abort();
    }
    *at = mine;
    return fd;
}

static void begin(struct scene *s, struct address *to)
{
    struct err err;
    s->limits = (struct h1_limits){ .head_max = 65536, .field_max = 128 };
    s->budget.limit = 64 << 20;
    s->goaway = UINT32_MAX;
    if (loop_init(&s->loop, &s->budget, &err) < 0) abort();
    s->loop.is_virtual = true;
    slab_init(&s->connections, &s->loop.blocks, sizeof(struct h2_client));
    h2_worker_init(&s->h2, &s->loop);
    s->client = slab_get(&s->connections);
    s->client->limits = (struct h2_limits){ .streams = 400,
                                            .window_bytes = 65535,
                                            .memory_bytes = 1 << 20,
                                            .continuations = UINT32_MAX,
                                            .floods = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
                                                        UINT32_MAX } };
    s->client->write_timeout_ms = 1000;
    transport_init_closed(&s->tunnel);
    if (h2_client_connect(s->client, &owner, &s->h2, to, NULL, &s->limits) < 0) abort();
    s->client->timer.on_timer = on_timer;
    for (unsigned i = 0; i < ASKERS; i++) {
        s->streams[i] = h2_client_lease(s->client);
        s->streams[i]->events = &events;
        s->streams[i]->owner = &s->streams[i];
    }
}

static void end(struct scene *s)
{
    if (!transport_is_closed(&s->tunnel)) transport_close(&s->tunnel, s->manner & 4);
    for (unsigned i = 0; i < ASKERS; i++) {
        struct http_stream *stream = s->streams[i];
        s->streams[i] = NULL;
        if (!stream) continue;
        http_stream_resume(stream);
        http_stream_reset(stream, END_CLIENT_ABORT);
    }
    if (s->client) h2_client_close(s->client);
    for (int i = 0; i < 4; i++) loop_turn(&s->loop, 0);
    if (s->closed != 1 || s->loop.blocks.live || s->h2.sessions.live || s->h2.streams.live ||
        s->connections.live)
        abort();
    slab_fini(&s->connections);
    h2_worker_fini(&s->h2);
    loop_fini(&s->loop);
}

static void run_ours(struct scene *s, const char *bytes, size_t size, size_t cut)
{
    struct address to;
    int room = 1 << 20, listener = listen_once(&to);
    begin(s, &to);
    int far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (far < 0) abort();
    setsockopt(far, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    for (int i = 0; i < 3; i++) loop_turn(&s->loop, 0);
    if (cut && send(far, bytes, cut, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) abort();
    for (int i = 0; i < 3; i++) loop_turn(&s->loop, 0);
    if (size > cut) (void)!send(far, bytes + cut, size - cut, MSG_NOSIGNAL | MSG_DONTWAIT);
    for (int i = 0; i < 6; i++) loop_turn(&s->loop, 0);
    hear(s, far);
    end(s);
    close(far);
}

/* nghttp2's opinion */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)session, (void)id, (void)source, (void)user;
    if (len < 10) return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(to, "0123456789", 10);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return 10;
}

static void submit(nghttp2_session *session, const char *method)
{
    nghttp2_data_provider body = { .read_callback = read_body };
    nghttp2_nv fields[] = { h2_field(SLICE(":method"), slice_of(method), false),
                            h2_field(SLICE(":scheme"), SLICE("http"), false),
                            h2_field(SLICE(":authority"), SLICE("a"), false),
                            h2_field(SLICE(":path"), SLICE("/"), false) };
    bool has_body = strcmp(method, "POST") == 0;
    if (nghttp2_submit_request(session, NULL, fields, 4, has_body ? &body : NULL, NULL) < 0) abort();
}

/* The error that it ends the connection with. */
static uint32_t flush(nghttp2_session *session)
{
    const uint8_t *out;
    for (ssize_t n; (n = nghttp2_session_mem_send(session, &out)) > 0;) {
        const char *at = (const char *)out;
        if ((size_t)n < H2_FRAME_HEAD || memcmp(at, "PRI ", 4) == 0) continue;
        struct h2_frame f = h2_frame_read(at);
        if (f.type == H2_GOAWAY) return h2_read_u32(at + H2_FRAME_HEAD + 4);
    }
    return UINT32_MAX;
}

static uint32_t run_theirs(const char *bytes, size_t size)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session;
    nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 } };
    if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&option)) abort();
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_settings(option, 1 << 20);
    if (nghttp2_session_client_new2(&session, callbacks, NULL, option)) abort();
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 1);
    /* As large as ours. */
    nghttp2_submit_window_update(session, NGHTTP2_FLAG_NONE, 0, H2_WINDOW_FIRST);
    submit(session, "GET");
    submit(session, "POST");
    submit(session, "HEAD");
    uint32_t error = flush(session);
    if (nghttp2_session_mem_recv(session, (const uint8_t *)bytes, size) < 0) error = NGHTTP2_PROTOCOL_ERROR;
    if (error == UINT32_MAX) error = flush(session);
    nghttp2_session_del(session);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return error;
}

/* What the two must agree about: see h2_session_fuzz.c. */
static size_t whole_frames(const char *bytes, size_t len)
{
    size_t at = 0, whole = 0;
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
    static char bytes[sizeof(SETTINGS) + INPUT_MAX];
    if (size < 2 || size > INPUT_MAX) return 0;
    size_t len = sizeof(SETTINGS) - 1;
    memcpy(bytes, SETTINGS, len);
    memcpy(bytes + len, data + 2, size - 2);
    len += size - 2;
    memset(&scene, 0, sizeof(scene));
    scene.manner = data[1];
    run_ours(&scene, bytes, len, len * data[0] / 256);
    /* Where exchanges let go, streams' states are others than nghttp2 knows of; what is not taken closes windows. */
    if ((scene.manner & (TUNNEL | 3)) != 1 || scene.goaway != UINT32_MAX) return 0;
    /* A response that begins with data is malformed, which is the stream's fault alone (RFC 9113 8.1.1); nghttp2 ends the
     * connection, and of what comes behind the two have different states. */
    if (scene.has_reset) return 0;
    uint32_t theirs = run_theirs(bytes, whole_frames(bytes, len));
    if (theirs == UINT32_MAX || theirs == NGHTTP2_NO_ERROR || theirs == NGHTTP2_STREAM_CLOSED) return 0;
    fprintf(stderr, "nghttp2 ends this connection with %s\n", h2_error_name(theirs));
    abort();
}
