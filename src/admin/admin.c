#include "admin/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/before_after.h"
#include "admin/call.h"
#include "admin/metrics.h"
#include "admin/routes.h"
#include "base/event_list.h"
#include "base/log.h"
#include "conf/arena.h"
#include "http/h1_server.h"
#include "net/acceptor.h"
#include "net/socket_set.h"
#include "proxy/proxy.h"

/* In all, and of one address: none can shut the others out. */
#define CONNECTIONS_MAX 256u
#define PEER_CONNECTIONS_MAX 128u
/* Beyond those, where all are in the midst of an answer: for health checks alone, so that weir is not taken for dead. */
#define RESERVED_MAX 32u
#define RESERVED_TIMEOUT_MS 2000
/* How many are taken before others have their turn. */
#define ACCEPTS_A_TURN 16u
#define HEADER_TIMEOUT_MS 10000
#define KEEP_ALIVE_TIMEOUT_MS 60000
#define HEAD_MAX (16u << 10)
#define FIELDS_MAX 64

/* Connections of one kind, oldest first. */
struct crowd {
    struct http_service service; /* first */
    struct admin *admin;
    struct list connections; /* of http_conn */
    uint32_t count;
    bool is_reserved; /* answers health checks only, and closes */
};

struct admin {
    struct crowd usual, reserved;
    struct call_env env;
    struct metrics_texts metrics;
    struct conf_arena *conf_arena; /* of env.guard.conf */
    struct sessions sessions;
    struct socket_set *sockets; /* NULL: nobody is taken any more */
    struct acceptor acceptor;
    struct acceptor_spare spare;
    struct loop_grave grave;
    uint64_t next_id;
    struct log_limit shed_limit;
};

/* A connection, and who is at its other end where the kernel says so (unix(7), SO_PEERCRED). */
struct admin_conn {
    struct h1_server h1; /* first */
    struct call_from from;
};

/* connections */

static void on_request(struct http_service *service, struct http_stream *s, struct http_head *head,
                       unsigned flags)
{
    (void)flags;
    struct crowd *crowd = container_of(service, struct crowd, service);
    const struct http_conn *http = container_of(s->client, const struct http_conn, client);
    call_on_request(&crowd->admin->env, s, head, &container_of(http, const struct admin_conn, h1.http)->from);
}

static void on_fault(struct http_service *service, struct http_stream *s, const struct http_fault *fault,
                     struct slice start)
{
    (void)start;
    call_on_fault(&container_of(service, struct crowd, service)->admin->env, s, fault);
}

static void bury_connection(struct loop_grave *g)
{
    free(container_of(g, struct admin_conn, h1.http.grave));
}

static void on_closed(struct http_service *service, struct http_conn *c)
{
    struct crowd *crowd = container_of(service, struct crowd, service);
    crowd->count--;
    loop_bury(crowd->admin->env.loop, &c->grave, bury_connection);
}

static void say_shed(struct admin *a, const struct address *client, const char *reason)
{
    char from[ADDRESS_TEXT_MAX];
    uint32_t suppressed = 0;
    if (!log_limit_pass(&a->shed_limit, a->env.loop->now_ns, 1, &suppressed)) return; /* NOLINT */
    log_event(LOG_WARN, "connection_refused", "listener=admin client=%s reason=%s suppressed=%u",
              address_print(client, from), reason, suppressed);
}

/* Closes one that can be spared, the oldest of those that are worth least; of `peer`'s alone, if that is given. False: all
 * are in the midst of something. */
static bool make_room(struct crowd *crowd, const struct ip *peer)
{
    struct http_conn *spared = NULL;
    for (struct list *at = crowd->connections.next; at != &crowd->connections; at = at->next) {
        struct http_conn *c = http_conn_at(at);
        enum http_conn_use use = c->ops->use(c);
        if (use == HTTP_CONN_BUSY || (peer && memcmp(&c->client.ip, peer, sizeof(*peer)) != 0)) continue;
        if (!spared || use < spared->ops->use(spared)) spared = c;
    }
    if (spared) http_conn_kill(spared, END_CONNECTION_LIMIT);
    return spared;
}

static uint32_t count_of(const struct crowd *crowd, const struct ip *peer)
{
    uint32_t count = 0;
    for (struct list *at = crowd->connections.next; at != &crowd->connections; at = at->next)
        count += memcmp(&http_conn_at(at)->client.ip, peer, sizeof(*peer)) == 0;
    return count;
}

/* Where one more of `peer`'s belongs; NULL: nowhere. */
static struct crowd *admit(struct admin *a, const struct ip *peer)
{
    if (count_of(&a->usual, peer) >= PEER_CONNECTIONS_MAX) {
        if (make_room(&a->usual, peer)) return &a->usual;
    } else if (a->usual.count < CONNECTIONS_MAX || make_room(&a->usual, NULL)) {
        return &a->usual;
    }
    return a->reserved.count < RESERVED_MAX || make_room(&a->reserved, NULL) ? &a->reserved : NULL;
}

static void learn_peer(struct call_from *from, int fd, const struct address *client)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (client->sa.any.sa_family != AF_UNIX || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return;
    *from = (struct call_from){ .is_local = true, .uid = peer.uid, .pid = peer.pid };
}

static void on_connection(struct acceptor *acceptor, int fd, const struct address *client)
{
    struct admin *a = acceptor->use.owner;
    struct ip peer = address_ip(client);
    struct crowd *crowd = admit(a, &peer);
    struct admin_conn *c = crowd ? calloc(1, sizeof(*c)) : NULL;
    if (!c) {
        close(fd);
        say_shed(a, client, crowd ? "no_memory" : "connection_limit");
        return;
    }
    crowd->count++;
    learn_peer(&c->from, fd, client);
    c->from.is_reserved = crowd->is_reserved;
    h1_server_start(&c->h1, &crowd->service, a->env.loop, fd, client, a->next_id++, &crowd->connections);
}

static void on_shed(struct acceptor *acceptor, const struct address *client)
{
    say_shed(acceptor->use.owner, client, "no_descriptors");
}

/* opening and closing */

static void init_crowd(struct crowd *crowd, struct admin *a, bool is_reserved)
{
    *crowd = (struct crowd){ .admin = a, .is_reserved = is_reserved };
    crowd->service = (struct http_service){
        .on_request = on_request,
        .on_fault = on_fault,
        .on_closed = on_closed,
        .limits = { .head_max = HEAD_MAX, .field_max = FIELDS_MAX },
        .header_timeout_ms = is_reserved ? RESERVED_TIMEOUT_MS : HEADER_TIMEOUT_MS,
        .keep_alive_timeout_ms = KEEP_ALIVE_TIMEOUT_MS,
        .write_timeout_ms = is_reserved ? RESERVED_TIMEOUT_MS : CALL_WRITE_MS,
        .is_draining = is_reserved, /* each closes after its answer */
    };
    list_init(&crowd->connections);
}

static void init(struct admin *a, const struct admin_conf *conf, const struct admin_objects *objects,
                 struct loop *l)
{
    init_crowd(&a->usual, a, false);
    init_crowd(&a->reserved, a, true);
    a->env = (struct call_env){ .proxy = objects->proxy,
                                .watch = objects->watch,
                                .rule_log = objects->rule_log,
                                .profiler = objects->profiler,
                                .leaks = objects->leaks,
                                .stalls = objects->stalls,
                                .invariants = objects->invariants,
                                .jobs = objects->jobs,
                                .reloader = objects->reloader,
                                .upgrader = objects->upgrader,
                                .certifier = objects->certifier,
                                .finder = objects->finder,
                                .history = objects->history,
                                .audit = objects->audit,
                                .before_after = before_after_new(objects->proxy, l),
                                .metrics = &a->metrics,
                                .loop = l,
                                .routes = admin_routes };
    a->env.guard = (struct guard){ .conf = conf, .sessions = &a->sessions, .bind = conf->bind };
    a->conf_arena = conf_arena_get(objects->arena);
    metrics_texts_init(&a->metrics);
    list_init(&a->env.calls);
    acceptor_spare_open(&a->spare);
    a->next_id = 1;
}

static int accept_at(struct admin *a, struct err *err)
{
    struct acceptor_use use = { .owner = a,
                                .on_connection = on_connection,
                                .on_shed = on_shed,
                                .burst = ACCEPTS_A_TURN,
                                .name = "admin" };
    for (uint32_t i = 0; i < a->sockets->count; i++) {
        int fd = socket_set_share(a->sockets, i, err);
        if (fd < 0) return -1;
        int result = i ? acceptor_add(&a->acceptor, fd, err)
                       : acceptor_open(&a->acceptor, a->env.loop, fd, &use, &a->spare, err);
        if (result < 0) return -1;
    }
    return 0;
}

static int listen_on(struct admin *a, const struct address *bind, struct socket_store *given, struct err *err)
{
    const struct socket_use use = {
        .is_http = true, .defer_s = HEADER_TIMEOUT_MS / 1000, .count = 1, .given = given
    };
    if (socket_set_open(&a->sockets, bind, &use, err) < 0 || accept_at(a, err) < 0)
        return err_prefix(err, "admin");
    if (bind->sa.any.sa_family == AF_UNIX) {
        /* Who may write to the file may use the API: its owner and group. */
        if (!a->sockets->keeps_path && chmod(bind->sa.un.sun_path, 0660) < 0)
            return err_set(err, "admin: cannot set the mode of %s: %s", bind->sa.un.sun_path,
                           strerror(errno));
        return 0;
    }
    struct address *bound = &a->env.guard.bind;
    bound->len = sizeof(bound->sa);
    if (getsockname(a->acceptor.io.fd, &bound->sa.any, &bound->len) < 0)
        return err_set(err, "admin: cannot read its own address: %s", strerror(errno));
    return 0;
}

/* A browser's session is its token's: it goes on where that is the same. */
static void end_sessions_of_others(struct admin *a, const struct admin_conf *next)
{
    struct admin_token before, after;
    for (uint32_t i = 0; admin_conf_token(a->env.guard.conf, i, &before); i++)
        if (!admin_conf_find_token(next, before.name, &after) || strcmp(before.text, after.text) != 0)
            sessions_end_of(&a->sessions, before.name);
}

struct change_of_tokens {
    const struct admin_conf *before, *after;
};

static bool may_still(void *context, const struct guard_who *who, enum admin_role needs)
{
    const struct change_of_tokens *c = context;
    struct admin_token was, is;
    if (who->by == GUARD_BY_NOTHING) return admin_conf_anonymous(c->after) >= needs;
    return admin_conf_find_token(c->before, who->name, &was) &&
           admin_conf_find_token(c->after, who->name, &is) && strcmp(was.text, is.text) == 0 &&
           is.role >= needs;
}

void admin_use(struct admin *a, const struct admin_conf *conf, struct conf_arena *arena)
{
    if (!a || !conf) return;
    struct change_of_tokens change = { a->env.guard.conf, conf };
    end_sessions_of_others(a, conf);
    if (change.before) call_end_streams(&a->env, may_still, &change);
    conf_arena_free(a->conf_arena);
    a->conf_arena = conf_arena_get(arena);
    a->env.guard.conf = conf;
}

static double read_sessions(void *context)
{
    struct admin *a = context;
    return sessions_count(&a->sessions, loop_now_ms(a->env.loop));
}

static double read_events(void *unused)
{
    (void)unused;
    return (double)event_list_latest();
}

int admin_open(struct admin **out, const struct admin_conf *conf, const struct admin_objects *objects,
               struct loop *control_loop, struct err *err)
{
    struct admin *a = calloc(1, sizeof(*a));
    if (!a) return err_set(err, "out of memory for the admin API");
    init(a, conf, objects, control_loop);
    if (listen_on(a, &conf->bind, objects->given, err) < 0) {
        admin_close(a);
        return -1;
    }
    metric_counter_fn(objects->proxy->metrics, "weir_events_total",
                      "Events that GET /api/v1/events has, or had.", NULL, 0, read_events, NULL);
    metric_gauge_fn(objects->proxy->metrics, "weir_admin_sessions",
                    "Browsers that somebody has signed in to.", NULL, 0, read_sessions, a);
    *out = a;
    return 0;
}

static void kill_crowd(struct crowd *crowd)
{
    http_conn_kill_all(&crowd->connections, END_DRAINED); /* of whose streams nobody holds any now */
}

static void bury_admin(struct loop_grave *g)
{
    struct admin *a = container_of(g, struct admin, grave);
    conf_arena_free(a->conf_arena);
    explicit_bzero(&a->sessions, sizeof(a->sessions));
    free(a);
}

static void stop_listening(struct admin *a)
{
    if (acceptor_is_open(&a->acceptor)) acceptor_kill(&a->acceptor);
    socket_set_close(a->sockets);
    a->sockets = NULL;
}

struct socket_set *admin_sockets(const struct admin *a)
{
    return a ? a->sockets : NULL;
}

static void drain_crowd(struct crowd *crowd)
{
    struct list *next;
    crowd->service.is_draining = true;
    for (struct list *at = crowd->connections.next; at != &crowd->connections; at = next) {
        next = at->next;
        http_conn_drain(http_conn_at(at));
    }
}

void admin_leave(struct admin *a)
{
    if (!a) return;
    stop_listening(a);
    drain_crowd(&a->usual);
    drain_crowd(&a->reserved);
}

void admin_shut(struct admin *a)
{
    if (!a) return;
    stop_listening(a);
    call_kill_all(&a->env);
    kill_crowd(&a->usual);
    kill_crowd(&a->reserved);
    metrics_texts_fini(&a->metrics);
    before_after_free(a->env.before_after);
    a->env.before_after = NULL;
}

void admin_close(struct admin *a)
{
    if (!a) return;
    admin_shut(a);
    acceptor_spare_close(&a->spare);
    loop_bury(a->env.loop, &a->grave, bury_admin);
}
