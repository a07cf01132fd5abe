/* What a server may send to four requests on one connection. Whatever it is, each request has one end: a whole response, or
 * one word that there is none; and in two pieces it means what it means in one. The first two bytes say where it is cut. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/h1_pipeline.h"

#define INPUT_MAX 16384
#define ASKS 4
#define TURNS_MAX 1000
#define MUST(condition)                          \
    do {                                         \
        if (!(condition)) {                      \
            fprintf(stderr, "%s\n", #condition); \
            abort();                             \
        }                                        \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct ask {
    struct http_stream *stream; /* NULL: it is over */
    unsigned heads, status;
    bool is_whole;
    enum end_reason error;
    uint64_t bytes, sum; /* of the body */
};

struct scene {
    struct h1_client client;
    struct timer timer;
    struct h1_pipeline pipeline;
    struct ask asks[ASKS];
    bool is_closed;
};

static struct budget budget = { .limit = 64 << 20 };
static struct loop loop;
static struct slab streams;
static struct scene scene;
static const struct h1_limits limits = { .head_max = 8192, .field_max = 64 };

static void on_idle(struct h1_client *c)
{
    h1_client_close(c);
}

static void on_closed(struct h1_client *c)
{
    (void)c;
    h1_pipeline_fini(&scene.pipeline);
    scene.is_closed = true;
}

static void on_stale(struct h1_client *c, uint64_t idle_ns)
{
    (void)c, (void)idle_ns;
}

static void on_keep_alive(struct h1_client *c, uint32_t timeout_s, uint32_t max)
{
    (void)c, (void)timeout_s, (void)max;
}

static bool on_whole(struct h1_client *c)
{
    (void)c;
    return h1_pipeline_whole(&scene.pipeline);
}

static const struct h1_client_owner owner = { on_idle, on_closed, on_stale, on_keep_alive, on_whole };

static void on_room(struct h1_pipeline *p)
{
    MUST(h1_pipeline_is_active(p));
}

static void on_answered(struct h1_pipeline *p, uint64_t took_ns)
{
    (void)p, (void)took_ns;
}

static void on_loss(struct h1_pipeline *p, enum h1_pipeline_loss why, uint32_t lost)
{
    (void)p, (void)why;
    MUST(lost < ASKS);
}

static const struct h1_pipeline_owner pipeline_owner = { on_room, on_answered, on_loss };

static void on_timer(struct timer *t)
{
    (void)t;
    h1_pipeline_look(&scene.pipeline);
}

static void be_whole(struct ask *a)
{
    MUST(!a->is_whole && !a->error && a->heads == 1);
    a->is_whole = true;
}

static void on_head(struct http_stream *s, struct http_head *head, unsigned flags)
{
    struct ask *a = s->owner;
    (void)flags;
    MUST(!a->is_whole && !a->error && !a->heads);
    if (head->status < 200) return;
    a->heads++;
    a->status = head->status;
    if (head->body == HTTP_BODY_NONE) be_whole(a);
}

static size_t on_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    struct ask *a = s->owner;
    MUST(!a->is_whole && !a->error && a->heads);
    for (size_t i = 0; i < len; i++) a->sum = a->sum * 31 + (unsigned char)data[i];
    a->bytes += len;
    if (flags & HTTP_END) be_whole(a);
    return len;
}

static void on_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    (void)fields, (void)count;
    be_whole(s->owner);
}

static void on_error(struct http_stream *s, const struct http_fault *fault)
{
    struct ask *a = s->owner;
    MUST(!a->error);
    a->error = fault->reason;
    a->stream = NULL;
    http_stream_reset(s, fault->reason);
}

static void on_open(struct http_stream *s)
{
    (void)s;
}

static const struct http_stream_events events = { .on_open = on_open,
                                                  .on_head = on_head,
                                                  .on_body = on_body,
                                                  .on_trailers = on_trailers,
                                                  .on_error = on_error,
                                                  .on_writable = on_open };

static void ask(struct ask *a, bool is_head)
{
    struct http_head head = { .version = HTTP_VERSION_1_1,
                              .method = is_head ? HTTP_HEAD : HTTP_GET,
                              .method_text = is_head ? SLICE("HEAD") : SLICE("GET"),
                              .target = SLICE("/") };
    struct http_send send = { .head = &head, .authority = SLICE("h"), .body = HTTP_BODY_NONE };
    a->stream = h1_pipeline_lease(&scene.pipeline);
    MUST(a->stream);
    a->stream->events = &events;
    a->stream->owner = a;
    MUST(http_send_head(a->stream, &send, 0) == IO_OK);
}

static int listener = -1;
static struct address address;

static void start(void)
{
    struct err err;
    MUST(loop_init(&loop, &budget, &err) == 0);
    loop.is_virtual = true;
    slab_init(&streams, &loop.blocks, h1_pipeline_stream_size());
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sa.any.sa_family = AF_UNIX;
    address.len = sizeof(sa_family_t); /* the kernel makes a name up */
    MUST(bind(listener, &address.sa.any, address.len) == 0 && listen(listener, 4) == 0);
    address.len = sizeof(address.sa);
    MUST(getsockname(listener, &address.sa.any, &address.len) == 0);
}

static void play(const uint8_t *data, size_t size, size_t cut)
{
    memset(&scene, 0, sizeof(scene));
    MUST(h1_client_connect(&scene.client, &owner, &loop, &address, NULL, &limits) == 0);
    timer_init(&scene.timer, on_timer);
    h1_pipeline_init(&scene.pipeline, &scene.client, &pipeline_owner, &streams, &scene.timer);
    scene.pipeline.patience_ms = 1000;
    int far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    MUST(far >= 0);
    /* The first is what opens the connection. */
    ask(&scene.asks[0], false);
    for (int i = 0; i < TURNS_MAX && scene.client.state == H1_CLIENT_CONNECTING; i++) loop_turn(&loop, 0);
    for (int i = 1; i < ASKS; i++) ask(&scene.asks[i], i == 2);
    loop_turn(&loop, 0);
    MUST(send(far, data, cut, MSG_NOSIGNAL) == (ssize_t)cut || !cut);
    for (int i = 0; i < 4; i++) loop_turn(&loop, 0);
    (void)send(far, data + cut, size - cut, MSG_NOSIGNAL);
    shutdown(far, SHUT_WR);
    for (int i = 0; i < TURNS_MAX && !scene.is_closed; i++) loop_turn(&loop, 0);
    MUST(scene.is_closed);
    for (int i = 0; i < ASKS; i++) {
        struct ask *a = &scene.asks[i];
        MUST(a->is_whole || a->error);
        if (a->stream) http_stream_release(a->stream);
    }
    close(far);
    loop_turn(&loop, 0);
    loop_disarm(&loop, &scene.timer);
    MUST(!streams.live && !loop.blocks.live && loop.fd_count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (listener < 0) start();
    if (size < 2 || size > INPUT_MAX) return 0;
    size_t cut = (size_t)data[0] << 8 | data[1];
    data += 2, size -= 2;
    struct ask whole[ASKS];
    play(data, size, size);
    memcpy(whole, scene.asks, sizeof(whole));
    play(data, size, cut % (size + 1));
    for (int i = 0; i < ASKS; i++) {
        const struct ask *a = &whole[i], *b = &scene.asks[i];
        MUST(a->is_whole == b->is_whole && a->status == b->status);
        if (a->is_whole) MUST(a->bytes == b->bytes && a->sum == b->sum);
    }
    return 0;
}
