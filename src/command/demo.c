#include "command/demo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/signal_stack.h"
#include "base/slab.h"
#include "base/text.h"
#include "command/demo_log.h"
#include "command/demo_traffic.h"
#include "control/run.h"
#include "http/h1_server.h"
#include "net/acceptor.h"
#include "net/bind.h"
#include "net/mailbox.h"

#define SERVERS 4
#define PORT 18999
#define ADMIN_PORT 9091
#define ACCEPTS_A_TURN 16u
#define SLOW_MS 500
#define BODY_MAX 512
#define LOGGED_MAX 200 /* bytes of a target */

/* How they are: of differing speed; the last one, a pool of its own, fails now and then; and one falls ill for a while each
 * minute but the first, so that there is something to see. */
static const struct {
    uint32_t least_ms, more_ms; /* what an answer takes */
    uint32_t failing_percent;   /* of what is asked of the shop */
} manners[SERVERS] = { { 2, 4, 0 }, { 4, 10, 0 }, { 12, 30, 0 }, { 3, 6, 4 } };
#define ILL_SERVER 1
#define ILL_EVERY_S 60
#define ILL_FOR_S 15

/* One of the four; all run on one thread's loop. */
struct demo_server {
    struct http_service service; /* first */
    struct acceptor acceptor;
    struct demo *demo;
    char name[24];
    uint16_t port;
    int index;
    struct list connections;
};

struct demo {
    struct loop loop;
    struct budget budget;
    struct slab connections, answers;
    struct acceptor_spare spare;
    struct mailbox *box;
    struct demo_log log;
    pthread_t thread;
    struct demo_server servers[SERVERS];
    uint64_t next_id;
    uint64_t start_ns;
};

/* One request's answer, told by a task so that it never ends within the stream's own event. */
struct answer {
    struct demo_server *server;
    struct http_stream *stream;
    struct loop_task task;
    struct timer timer;
    struct loop_grave grave;
    bool closes, is_head, is_sent;
    uint16_t status;
    char body[BODY_MAX];
    size_t body_len;
    uint64_t start_ns;
    /* For the log, slices within these; no method: there is nothing to log. */
    char method[16], target[LOGGED_MAX], user[8];
    struct slice logged_method, logged_target, logged_user;
};

static void bury_answer(struct loop_grave *g)
{
    struct answer *a = container_of(g, struct answer, grave);
    slab_put(&a->server->demo->answers, a);
}

/* 444 is what nginx writes of a connection that it closed without an answer. */
static void log_answer(struct answer *a, bool is_clean)
{
    struct demo *d = a->server->demo;
    if (!a->logged_method.len) return;
    demo_log_write(&d->log, &(struct demo_log_line){ .server = slice_of(a->server->name),
                                                     .method = a->logged_method,
                                                     .target = a->logged_target,
                                                     .user = a->logged_user,
                                                     .status = is_clean ? a->status : 444,
                                                     .bytes = is_clean && !a->is_head ? a->body_len : 0,
                                                     .took_ms = (d->loop.now_ns - a->start_ns) / NS_PER_MS });
}

static void finish(struct answer *a, bool is_clean)
{
    struct loop *l = &a->server->demo->loop;
    loop_cancel(&a->task);
    loop_disarm(l, &a->timer);
    if (!a->stream) return;
    log_answer(a, is_clean);
    if (is_clean)
        http_stream_release(a->stream);
    else
        http_stream_reset(a->stream, END_NONE);
    a->stream = NULL;
    loop_bury(l, &a->grave, bury_answer);
}

static void send_answer(struct answer *a)
{
    struct http_field type = {
        .name = "Content-Type", .name_len = 12, .value = "text/plain", .value_len = 10
    };
    struct http_head head = { .version = HTTP_VERSION_1_1, .status = a->status };
    head.reason = slice_of(http_status_text(a->status));
    struct http_send send = { .head = &head, .extra = &type, .extra_count = 1, .body = HTTP_BODY_LENGTH };
    send.content_length = a->body_len;
    send.is_bodiless = a->is_head;
    size_t taken = 0;
    a->is_sent = true;
    enum io io = http_send_head(a->stream, &send, a->is_head ? 0 : HTTP_MORE);
    if (io == IO_OK && !a->is_head) io = http_send_body(a->stream, a->body, a->body_len, HTTP_END, &taken);
    /* A body this small always fits an empty socket; what waits is flushed by the connection itself. */
    finish(a, io == IO_OK);
}

static void on_task(struct loop_task *t)
{
    struct answer *a = container_of(t, struct answer, task);
    if (a->closes)
        finish(a, false);
    else
        send_answer(a);
}

static void on_timer(struct timer *t)
{
    send_answer(container_of(t, struct answer, timer));
}

static size_t on_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    (void)s, (void)data, (void)flags;
    return len;
}

static void on_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    (void)s, (void)fields, (void)count;
}

static void on_error(struct http_stream *s, const struct http_fault *fault)
{
    (void)fault;
    struct answer *a = s->owner;
    a->closes = true;
    loop_defer(&a->server->demo->loop, &a->task);
}

static void on_writable(struct http_stream *s)
{
    (void)s;
}

static const struct http_stream_events events = {
    .on_body = on_body, .on_trailers = on_trailers, .on_error = on_error, .on_writable = on_writable
};

static struct answer *begin(struct http_service *service, struct http_stream *s)
{
    struct demo_server *server = container_of(service, struct demo_server, service);
    struct answer *a = slab_get(&server->demo->answers);
    if (!a) {
        http_stream_reset(s, END_NO_MEMORY);
        return NULL;
    }
    a->server = server;
    a->stream = s;
    loop_task_init(&a->task, on_task);
    timer_init(&a->timer, on_timer);
    s->events = &events;
    s->owner = a;
    return a;
}

static struct slice keep(char *data, size_t cap, struct slice s)
{
    size_t len = s.len < cap ? s.len : cap;
    memcpy(data, s.data, len);
    return (struct slice){ data, len };
}

/* What the log says of a request, which is gone when it is answered. */
static void note(struct answer *a, const struct http_head *head)
{
    const struct http_field *user = http_head_find_name(head, SLICE("x-user-id"));
    a->start_ns = a->server->demo->loop.now_ns;
    a->logged_method = keep(a->method, sizeof(a->method), head->method_text);
    a->logged_target = keep(a->target, sizeof(a->target), head->target);
    if (user) a->logged_user = keep(a->user, sizeof(a->user), (struct slice){ user->value, user->value_len });
}

static bool is_ill(const struct demo_server *server)
{
    const struct demo *d = server->demo;
    uint64_t since_s = (d->loop.now_ns - d->start_ns) / NS_PER_S;
    return server->index == ILL_SERVER && since_s >= ILL_EVERY_S && since_s % ILL_EVERY_S < ILL_FOR_S;
}

static uint16_t choose_status(struct demo_server *server, struct slice target)
{
    struct rng *rng = &server->demo->loop.rng;
    bool is_shop = slice_starts_with(target, SLICE("/shop/"));
    return is_shop && rng_below(rng, 100) < manners[server->index].failing_percent ? 500 : 200;
}

static void on_request(struct http_service *service, struct http_stream *s, struct http_head *head,
                       unsigned flags)
{
    (void)flags;
    struct answer *a = begin(service, s);
    if (!a) return;
    struct loop *l = &a->server->demo->loop;
    struct text t = text_over(a->body, sizeof(a->body));
    text_printf(&t, "Hello from %s.\n%.*s %.*s\n", a->server->name, SLICE_ARGS(head->method_text),
                (int)(head->target.len < 200 ? head->target.len : 200), head->target.data);
    a->body_len = t.len;
    a->status = choose_status(a->server, head->target);
    note(a, head);
    a->is_head = head->method == HTTP_HEAD;
    if (slice_equal(head->target, SLICE("/slow"))) {
        loop_arm(l, &a->timer, SLOW_MS);
        return;
    }
    a->closes = slice_equal(head->target, SLICE("/broken")) || is_ill(a->server);
    if (a->closes)
        loop_defer(l, &a->task);
    else
        loop_arm(l, &a->timer,
                 manners[a->server->index].least_ms + rng_below(&l->rng, manners[a->server->index].more_ms));
}

static void on_fault(struct http_service *service, struct http_stream *s, const struct http_fault *fault,
                     struct slice start)
{
    (void)fault, (void)start;
    struct answer *a = begin(service, s);
    if (!a) return;
    a->closes = true;
    loop_defer(&a->server->demo->loop, &a->task);
}

static void bury_connection(struct loop_grave *g)
{
    struct http_conn *c = container_of(g, struct http_conn, grave);
    struct demo_server *server = container_of(c->service, struct demo_server, service);
    slab_put(&server->demo->connections, c);
}

static void on_closed(struct http_service *service, struct http_conn *c)
{
    struct demo_server *server = container_of(service, struct demo_server, service);
    loop_bury(&server->demo->loop, &c->grave, bury_connection);
}

static void on_connection(struct acceptor *a, int fd, const struct address *peer)
{
    struct demo_server *server = container_of(a, struct demo_server, acceptor);
    struct demo *d = server->demo;
    struct h1_server *c = slab_get(&d->connections);
    if (c)
        h1_server_start(c, &server->service, &d->loop, fd, peer, d->next_id++, &server->connections);
    else
        close(fd);
}

static int open_server(struct demo *d, struct demo_server *server, int index, struct err *err)
{
    struct address any = { .sa.in4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
                           .len = sizeof(any.sa.in4) };
    struct acceptor_use use = { .on_connection = on_connection,
                                .burst = ACCEPTS_A_TURN,
                                .name = server->name };
    int fd;
    snprintf(server->name, sizeof(server->name), "demo-%d", index + 1);
    server->demo = d;
    server->index = index;
    list_init(&server->connections);
    server->service = (struct http_service){ .on_request = on_request,
                                             .on_fault = on_fault,
                                             .on_closed = on_closed,
                                             .limits = { .head_max = 64 << 10, .field_max = 128 },
                                             .header_timeout_ms = 10000,
                                             .keep_alive_timeout_ms = 75000,
                                             .write_timeout_ms = 10000 };
    if (bind_open(&any, &(struct bind_use){ .count = 1 }, &fd, err) < 0 ||
        acceptor_open(&server->acceptor, &d->loop, fd, &use, &d->spare, err) < 0)
        return err_prefix(err, "the demo's own servers");
    if (getsockname(fd, &any.sa.any, &any.len) < 0)
        return err_set(err, "the demo's own servers: cannot read their address: %s", strerror(errno));
    server->port = address_port(&any);
    return 0;
}

static void *serve(void *argument)
{
    struct demo *d = argument;
    loop_run(&d->loop);
    return NULL;
}

static void on_stop(void *reader, const struct mail *m)
{
    (void)m;
    struct demo *d = reader;
    loop_stop(&d->loop);
}

static int start_servers(struct demo *d, struct err *err)
{
    d->budget.limit = 64 << 20;
    if (demo_log_open(&d->log, err) < 0) return -1;
    if (loop_init(&d->loop, &d->budget, err) < 0) return -1;
    d->start_ns = d->loop.now_ns;
    acceptor_spare_open(&d->spare);
    slab_init(&d->connections, &d->loop.blocks, sizeof(struct h1_server));
    slab_init(&d->answers, &d->loop.blocks, sizeof(struct answer));
    if (mailbox_new(&d->box, &d->loop, d, 16, err) < 0) return -1;
    for (int i = 0; i < SERVERS; i++)
        if (open_server(d, &d->servers[i], i, err) < 0) return -1;
    sigset_t before;
    signal_block_all_but_faults(&before);
    int failed = pthread_create(&d->thread, NULL, serve, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? err_set(err, "cannot start the demo's thread: %s", strerror(failed)) : 0;
}

static void stop_servers(struct demo *d)
{
    struct mail m = { .deliver = on_stop };
    while (!mailbox_post(d->box, &m)) sched_yield();
    pthread_join(d->thread, NULL);
    for (int i = 0; i < SERVERS; i++) {
        struct demo_server *server = &d->servers[i];
        acceptor_kill(&server->acceptor);
        http_conn_kill_all(&server->connections, END_DRAINED);
    }
    loop_turn(&d->loop, 0);
    loop_turn(&d->loop, 0);
    acceptor_spare_close(&d->spare);
    demo_log_close(&d->log);
    mailbox_free(d->box);
    slab_fini(&d->answers);
    slab_fini(&d->connections);
    loop_fini(&d->loop);
}

static void say_what_to_try(const struct config *config)
{
    (void)config;
    fputs("\nThe dashboard: open http://127.0.0.1:9091/ in a browser.\n\n"
          "weir is running in front of four small servers, with some traffic of its own: they differ in "
          "speed, one\n"
          "fails now and then, and one falls ill each minute and recovers. Try:\n"
          "  curl http://127.0.0.1:18999/                 which server answers? ask a few times\n"
          "  curl http://127.0.0.1:18999/slow             half a second at the server\n"
          "  curl -i http://127.0.0.1:18999/broken        a server that hangs up: read why\n"
          "  curl 'http://127.0.0.1:9091/api/v1/exchanges?limit=5'   where each request went, and why\n"
          "  curl http://127.0.0.1:9091/api/v1/pools      the servers and their load\n"
          "  curl http://127.0.0.1:9091/metrics           for Prometheus\n"
          "  weir logs follow servers                     the log of the servers, which weir watches\n"
          "Take a server out, and put it back:\n"
          "  curl -X PATCH -H 'Content-Type: application/json' -d '{\"admin\": \"drain\"}' \\\n"
          "       http://127.0.0.1:9091/api/v1/pools/demo/servers/demo-1\n"
          "  curl -X PATCH -H 'Content-Type: application/json' -d '{\"admin\": \"enabled\"}' \\\n"
          "       http://127.0.0.1:9091/api/v1/pools/demo/servers/demo-1\n"
          "Ctrl-C ends it.\n\n",
          stderr);
}

const struct syntax demo_syntax = {
    .command = "demo",
    .usage = "demo\n\n"
             "Runs weir on 127.0.0.1:18999, with the API and the dashboard on 127.0.0.1:9091, in front of "
             "four small\n"
             "servers within the same process, with some traffic of its own, and prints what to try. Ctrl-C "
             "ends it.\n",
};

/* weir would share the port with another weir of the same user, and each see half of what is sent. */
static bool is_taken(uint16_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_open = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    if (fd >= 0) close(fd);
    return is_open;
}

static int demo(void)
{
    struct err err = { "" };
    if (is_taken(PORT) || is_taken(ADMIN_PORT)) {
        fprintf(stderr, "weir: something listens on 127.0.0.1:%u already, maybe another demo; end it first\n",
                is_taken(PORT) ? PORT : ADMIN_PORT);
        return EX_UNAVAILABLE;
    }
    struct demo_traffic *traffic = NULL;
    struct demo *d = calloc(1, sizeof(*d));
    if (!d || start_servers(d, &err) < 0) {
        fprintf(stderr, "weir: %s\n", d ? err.text : "out of memory");
        return EX_OSERR;
    }
    char text[1024];
    struct text t = text_over(text, sizeof(text));
    text_printf(&t,
                "listeners: {demo: {bind: \"127.0.0.1:%u\", routes: [{name: shop, path_prefix: /shop/, "
                "split: checkout}, "
                "{name: rest, pool: demo}]}}\n"
                "splits: {checkout: {unit: \"header:X-User-Id\", variants: {a: {weight: 75, pool: demo}, b: "
                "{weight: 25, "
                "pool: fresh}}}}\n"
                "admin: {bind: \"127.0.0.1:9091\"}\n"
                "logs: {sources: {servers: {syslog: \"127.0.0.1:%u\", format: '" DEMO_LOG_FORMAT "'}}}\n"
                "pools: {demo: {servers: {",
                PORT, d->log.port);
    for (int i = 0; i < SERVERS; i++)
        text_printf(&t, "%s%s: \"127.0.0.1:%u\"",
                    !i                ? ""
                    : i < SERVERS - 1 ? ", "
                                      : "}}, fresh: {servers: {",
                    d->servers[i].name, d->servers[i].port);
    text_printf(&t, "}}}\n");
    struct config *config = NULL;
    char *faults = NULL;
    if (config_parse(&config, "demo", text_slice(&t), &faults) < 0) {
        fputs(faults ? faults : CONFIG_NO_MEMORY "\n", stderr);
        return EX_SOFTWARE;
    }
    const struct run_setup setup = { .config = config, .on_ready = say_what_to_try };
    if (demo_traffic_start(&traffic, PORT, &err) < 0) fprintf(stderr, "weir: %s\n", err.text);
    int code = run(&setup);
    demo_traffic_stop(traffic);
    stop_servers(d);
    config_free(config);
    free(d);
    return code;
}

int demo_command(int argc, char **argv)
{
    int code = options_parse(&demo_syntax, argc, argv, NULL, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    return demo();
}
