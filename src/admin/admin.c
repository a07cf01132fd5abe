#include "admin/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/call.h"
#include "admin/routes.h"
#include "base/log.h"
#include "http/h1_server.h"
#include "proxy/bind.h"

#define CONNECTIONS_MAX 256u
/* How many are taken before others have their turn. */
#define ACCEPTS_A_TURN 16
#define AGAIN_AFTER_MS 100
#define HEADER_TIMEOUT_MS 10000
#define KEEP_ALIVE_TIMEOUT_MS 60000
#define HEAD_MAX (16u << 10)
#define FIELDS_MAX 64

struct admin {
    struct http_service service; /* first */
    struct call_env env;
    struct loop_fd accept;
    struct loop_task accept_more;
    struct timer accept_again; /* after running out of descriptors */
    struct loop_grave grave;
    struct list connections; /* of h1_server */
    uint32_t connection_count;
    uint64_t next_id;
    int spare_fd; /* given up for a moment to shed a connection when descriptors run out */
    bool is_closed;
    struct log_limit shed_limit;
};

/* connections */

static void on_request(struct http_service *service, struct http_stream *s, struct http_head *head,
                       unsigned flags)
{
    (void)flags;
    struct admin *a = container_of(service, struct admin, service);
    call_on_request(&a->env, s, head);
}

static void on_fault(struct http_service *service, struct http_stream *s, const struct http_fault *fault,
                     struct slice start)
{
    (void)start;
    struct admin *a = container_of(service, struct admin, service);
    call_on_fault(&a->env, s, fault);
}

static void bury_connection(struct loop_grave *g)
{
    struct h1_conn *conn = container_of(g, struct h1_conn, grave);
    free(container_of(conn, struct h1_server, conn));
}

static void on_closed(struct http_service *service, struct h1_server *c)
{
    struct admin *a = container_of(service, struct admin, service);
    a->connection_count--;
    loop_bury(a->env.loop, &c->conn.grave, bury_connection);
}

static void say_shed(struct admin *a, const char *reason)
{
    uint32_t suppressed = 0;
    if (!log_limit_pass(&a->shed_limit, a->env.loop->now_ns, 1, &suppressed)) return;
    log_event(LOG_WARN, "connection_refused", "listener=admin reason=%s suppressed=%u", reason, suppressed);
}

static bool is_idle(const struct h1_server *c)
{
    return c->state == H1_SERVER_HEAD && !c->has_started && !c->conn.in.hold;
}

/* The bound is reached: the oldest connection that nobody is using goes. False if all are in use. */
static bool close_oldest_idle(struct admin *a)
{
    for (struct list *at = a->connections.next; at != &a->connections; at = at->next) {
        struct h1_conn *conn = container_of(at, struct h1_conn, link);
        struct h1_server *c = container_of(conn, struct h1_server, conn);
        if (!is_idle(c)) continue;
        h1_server_kill(c, END_CONNECTION_LIMIT);
        return true;
    }
    return false;
}

static void start(struct admin *a, int fd, const struct address *client)
{
    if (a->connection_count >= CONNECTIONS_MAX && !close_oldest_idle(a)) {
        close(fd);
        say_shed(a, "connection_limit");
        return;
    }
    struct h1_server *c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        say_shed(a, "no_memory");
        return;
    }
    a->connection_count++;
    h1_server_start(c, &a->service, a->env.loop, fd, client, a->next_id++, &a->connections);
}

static void shed_without_descriptor(struct admin *a)
{
    if (a->spare_fd >= 0) close(a->spare_fd);
    int fd = accept4(a->accept.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) close(fd);
    a->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    say_shed(a, "no_descriptors");
}

/* False: there is no more for now. */
static bool accept_one(struct admin *a)
{
    struct address client = { .len = sizeof(client.sa) };
    int fd = accept4(a->accept.fd, &client.sa.any, &client.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        start(a, fd, &client);
        return true;
    }
    switch (errno) {
    case EAGAIN: return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        shed_without_descriptor(a);
        if (a->spare_fd >= 0) return true;
        loop_arm(a->env.loop, &a->accept_again, AGAIN_AFTER_MS);
        return false;
    default: return true; /* the connection died in the backlog */
    }
}

static void take_waiting(struct admin *a)
{
    if (a->is_closed) return;
    for (int i = 0; i < ACCEPTS_A_TURN; i++)
        if (!accept_one(a)) return;
    loop_defer(a->env.loop, &a->accept_more);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    take_waiting(container_of(f, struct admin, accept));
}

static void on_more(struct loop_task *t)
{
    take_waiting(container_of(t, struct admin, accept_more));
}

static void on_again(struct timer *t)
{
    take_waiting(container_of(t, struct admin, accept_again));
}

/* opening and closing */

static void init(struct admin *a, const struct admin_conf *conf, const struct admin_objects *objects,
                 struct loop *l)
{
    a->service = (struct http_service){
        .on_request = on_request,
        .on_fault = on_fault,
        .on_closed = on_closed,
        .limits = { .head_max = HEAD_MAX, .field_max = FIELDS_MAX },
        .header_timeout_ms = HEADER_TIMEOUT_MS,
        .keep_alive_timeout_ms = KEEP_ALIVE_TIMEOUT_MS,
        .write_timeout_ms = CALL_WRITE_MS,
    };
    a->env = (struct call_env){ .proxy = objects->proxy,
                                .watch = objects->watch,
                                .rule_log = objects->rule_log,
                                .profiler = objects->profiler,
                                .leaks = objects->leaks,
                                .jobs = objects->jobs,
                                .loop = l,
                                .routes = admin_routes };
    a->env.guard = (struct guard){ .token = conf->token, .bind = conf->bind };
    list_init(&a->env.calls);
    list_init(&a->connections);
    loop_task_init(&a->accept_more, on_more);
    timer_init(&a->accept_again, on_again);
    a->accept = (struct loop_fd){ .fd = -1, .on_ready = on_ready };
    a->next_id = 1;
    a->spare_fd = -1;
}

static int listen_on(struct admin *a, const struct address *bind, struct err *err)
{
    if (bind_open(bind, false, 0, &a->accept.fd, 1, err) < 0) return err_prefix(err, "admin");
    a->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (bind->sa.any.sa_family == AF_UNIX) {
        /* Who may write to the file may use the API: its owner and group. */
        if (chmod(bind->sa.un.sun_path, 0660) < 0)
            return err_set(err, "admin: cannot set the mode of %s: %s", bind->sa.un.sun_path,
                           strerror(errno));
    } else {
        struct address *bound = &a->env.guard.bind;
        bound->len = sizeof(bound->sa);
        if (getsockname(a->accept.fd, &bound->sa.any, &bound->len) < 0)
            return err_set(err, "admin: cannot read its own address: %s", strerror(errno));
    }
    if (loop_fd_register(a->env.loop, &a->accept, EPOLLIN) < 0)
        return err_set(err, "admin: cannot watch its socket: %s", strerror(errno));
    return 0;
}

int admin_open(struct admin **out, const struct admin_conf *conf, const struct admin_objects *objects,
               struct loop *control_loop, struct err *err)
{
    struct admin *a = calloc(1, sizeof(*a));
    if (!a) return err_set(err, "out of memory for the admin API");
    init(a, conf, objects, control_loop);
    if (listen_on(a, &conf->bind, err) < 0) {
        admin_close(a);
        return -1;
    }
    *out = a;
    return 0;
}

static void stop_accepting(struct admin *a)
{
    if (a->is_closed) return;
    a->is_closed = true;
    loop_cancel(&a->accept_more);
    loop_disarm(a->env.loop, &a->accept_again);
    if (a->accept.fd < 0) return;
    loop_fd_close(a->env.loop, &a->accept);
    const struct address *bind = &a->env.guard.bind;
    if (bind->sa.any.sa_family == AF_UNIX) unlink(bind->sa.un.sun_path);
}

void admin_drain(struct admin *a)
{
    struct list *next;
    stop_accepting(a);
    a->service.is_draining = true;
    for (struct list *at = a->connections.next; at != &a->connections; at = next) {
        next = at->next;
        struct h1_conn *conn = container_of(at, struct h1_conn, link);
        h1_server_drain(container_of(conn, struct h1_server, conn));
    }
}

static void bury_admin(struct loop_grave *g)
{
    free(container_of(g, struct admin, grave));
}

void admin_close(struct admin *a)
{
    if (!a) return;
    stop_accepting(a);
    call_kill_all(&a->env);
    h1_server_kill_all(&a->connections, END_DRAINED); /* of whose streams nobody holds any now */
    if (a->spare_fd >= 0) close(a->spare_fd);
    loop_bury(a->env.loop, &a->grave, bury_admin);
}
