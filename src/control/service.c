#include "control/service.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/count.h"
#include "base/log.h"
#include "control/drain.h"
#include "net/pass.h"
#include "net/socket_set.h"
#include "proxy/listener.h"
#include "self/stall_watch.h"

#define STATUS_MS 5000u

struct service {
    struct notify notify;
    struct proxy *proxy;
    struct loop *loop;
    struct timer status, watchdog;
    uint64_t requests, counted_ms;
    struct stall_watch *stalls;
    bool has_store;             /* of descriptors */
    struct socket_gift *stored; /* what is in it: addresses alone */
    uint32_t stored_count, stored_room;
    bool is_stuck_said;
};

static void say(struct service *s, const char *lines)
{
    struct err err;
    char quoted[ERR_TEXT_MAX + 64];
    if (!notify_say(&s->notify, lines, &err))
        log_event(LOG_WARN, "notify_failed", "error=%s", log_quote(err.text, quoted, sizeof(quoted)));
}

/* status */

void service_status(const struct service_figures *f, struct text *out)
{
    text_printf(out, "STATUS=%llu %s, %llu requests/s, %llu connections, %llu of %llu servers up",
                (unsigned long long)f->listeners, f->listeners == 1 ? "listener" : "listeners",
                (unsigned long long)f->requests_a_second, (unsigned long long)f->connections,
                (unsigned long long)f->servers_up, (unsigned long long)f->servers);
}

static uint64_t count_requests(const struct proxy *p)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < p->listener_count; i++)
        total += metric_count(p->metrics, p->listeners[i]->meter_seconds);
    return total;
}

static void find_figures(struct service *s, struct service_figures *f)
{
    const struct proxy *p = s->proxy;
    uint64_t requests = count_requests(p), now_ms = loop_now_ms(s->loop), passed_ms = now_ms - s->counted_ms;
    *f = (struct service_figures){ .listeners = p->listener_count,
                                   .connections = atomic_load(&p->connections) };
    f->requests_a_second = passed_ms ? (requests - s->requests) * 1000 / passed_ms : 0;
    for (uint32_t i = 0; i < p->pool_count; i++) {
        for (uint32_t j = 0; j < p->pools[i]->roster->count; j++) {
            f->servers++;
            f->servers_up += server_is_usable(p->pools[i]->roster->places[j].server);
        }
    }
    s->requests = requests;
    s->counted_ms = now_ms;
}

static void on_status(struct timer *t)
{
    struct service *s = container_of(t, struct service, status);
    struct service_figures f;
    char memory[NOTIFY_TEXT_MAX];
    struct text out = text_over(memory, sizeof(memory));
    find_figures(s, &f);
    service_status(&f, &out);
    say(s, text_cstr(&out));
    loop_arm(s->loop, t, STATUS_MS);
}

/* the watchdog */

static void on_watchdog(struct timer *t)
{
    struct service *s = container_of(t, struct service, watchdog);
    uint64_t held_ms = stall_watch_held_ms(s->stalls);
    if (held_ms < s->notify.watchdog_ms) {
        say(s, "WATCHDOG=1");
        s->is_stuck_said = false;
    } else if (!s->is_stuck_said) {
        s->is_stuck_said = true;
        log_event(LOG_ERROR, "watchdog_silent", "stuck_ms=%llu watchdog_ms=%llu", (unsigned long long)held_ms,
                  (unsigned long long)s->notify.watchdog_ms);
    }
    loop_arm(s->loop, t, s->notify.watchdog_ms);
}

/* the store of descriptors */

/* systemd takes no colon in a name. */
static void print_name(const struct socket_gift *g, struct text *out)
{
    char at[ADDRESS_TEXT_MAX];
    address_print(&g->address, at);
    for (char *c = at; *c; c++)
        if (*c == ':') *c = '_';
    text_printf(out, "FDNAME=weir-%s%s", g->is_udp ? "udp_" : "", at);
}

static struct socket_gift gift_of(const struct socket_set *set)
{
    return (struct socket_gift){ .address = set->address, .is_udp = set->is_udp, .fd = -1 };
}

static bool add_stored(struct service *s, const struct socket_gift *gift)
{
    if (s->stored_count == s->stored_room) {
        uint32_t room = 2 * s->stored_room + 8;
        struct socket_gift *stored = realloc(s->stored, room * sizeof(*stored));
        if (!stored) return false;
        s->stored = stored;
        s->stored_room = room;
    }
    s->stored[s->stored_count++] = *gift;
    return true;
}

static bool is_stored(const struct service *s, const struct socket_gift *gift)
{
    for (uint32_t i = 0; i < s->stored_count; i++)
        if (s->stored[i].is_udp == gift->is_udp && address_equal(&s->stored[i].address, &gift->address))
            return true;
    return false;
}

/* Their file stays: who is started next listens there. */
static void store(struct service *s, struct socket_set *set)
{
    char memory[256];
    const struct socket_gift gift = gift_of(set);
    if (is_stored(s, &gift) || !add_stored(s, &gift)) return;
    set->keeps_path = true;
    for (uint32_t at = 0; at < set->count;) {
        uint32_t rest = set->count - at, count = rest < PASS_FDS_MAX ? rest : PASS_FDS_MAX;
        struct text t = text_over(memory, sizeof(memory));
        text_add_slice(&t, SLICE("FDSTORE=1\n"));
        print_name(&gift, &t);
        if (pass_send(s->notify.fd, text_slice(&t), set->fds + at, count) != PASS_OK)
            log_event(LOG_WARN, "notify_failed", "error=\"systemd did not take sockets into its store\"");
        at += count;
    }
}

static bool has_sockets(const struct list *sets, const struct socket_set *admin,
                        const struct socket_gift *gift)
{
    for (const struct list *at = sets->next; at != sets; at = at->next) {
        const struct socket_set *set = container_of(at, struct socket_set, link);
        if (set->is_udp == gift->is_udp && address_equal(&set->address, &gift->address)) return true;
    }
    return admin && !gift->is_udp && address_equal(&admin->address, &gift->address);
}

static void unstore(struct service *s, uint32_t i)
{
    char memory[256];
    struct text t = text_over(memory, sizeof(memory));
    text_add_slice(&t, SLICE("FDSTOREREMOVE=1\n"));
    print_name(&s->stored[i], &t);
    say(s, text_cstr(&t));
    s->stored[i] = s->stored[--s->stored_count];
}

void service_expect_stored(struct service *s, const struct socket_gift *gifts, uint32_t count)
{
    for (uint32_t i = 0; s && i < count; i++)
        if (!is_stored(s, &gifts[i]) && !add_stored(s, &gifts[i])) return;
}

void service_keep_sockets(struct service *s, const struct list *sets, struct socket_set *admin)
{
    if (!s || !s->has_store) return;
    for (uint32_t i = s->stored_count; i-- > 0;)
        if (!has_sockets(sets, admin, &s->stored[i])) unstore(s, i);
    for (struct list *at = sets->next; at != sets; at = at->next)
        store(s, container_of(at, struct socket_set, link));
    if (admin) store(s, admin);
}

/* beginning and end */

struct service *service_new(struct proxy *proxy, struct stall_watch *stalls, struct loop *control)
{
    struct err err;
    struct service *s = calloc(1, sizeof(*s));
    if (!s) return NULL;
    s->proxy = proxy;
    s->stalls = stalls;
    s->loop = control;
    timer_init(&s->status, on_status);
    timer_init(&s->watchdog, on_watchdog);
    if (notify_open(&s->notify, &err) < 0) {
        char quoted[ERR_TEXT_MAX + 64];
        log_event(LOG_WARN, "notify_failed", "error=%s", log_quote(err.text, quoted, sizeof(quoted)));
    }
    const char *room = getenv("FDSTORE"); /* how many it takes: systemd.exec(5) */
    s->has_store = room && *room && strcmp(room, "0") != 0;
    if (s->notify.fd >= 0) return s;
    service_free(s);
    return NULL;
}

void service_free(struct service *s)
{
    if (!s) return;
    loop_disarm(s->loop, &s->status);
    loop_disarm(s->loop, &s->watchdog);
    notify_close(&s->notify);
    free(s->stored);
    free(s);
}

void service_ready(struct service *s)
{
    char lines[64];
    if (!s) return;
    struct text t = text_over(lines, sizeof(lines));
    text_printf(&t, "READY=1\nMAINPID=%d", (int)getpid());
    notify_wait(&s->notify);
    say(s, text_cstr(&t));
    s->counted_ms = loop_now_ms(s->loop);
    loop_arm(s->loop, &s->status, 1000);
    if (s->notify.watchdog_ms) loop_arm(s->loop, &s->watchdog, s->notify.watchdog_ms);
}

void service_stopping(struct service *s)
{
    if (!s) return;
    say(s, "STOPPING=1\nSTATUS=draining");
    loop_disarm(s->loop, &s->status);
}

void service_hand_over(struct service *s, int successor)
{
    char lines[64];
    if (!s) return;
    struct text t = text_over(lines, sizeof(lines));
    text_printf(&t, "MAINPID=%d", successor);
    notify_wait(&s->notify); /* without it systemd would take this process's end for the service's */
    say(s, text_cstr(&t));
    loop_disarm(s->loop, &s->status);
    loop_disarm(s->loop, &s->watchdog);
    notify_close(&s->notify);
}

void service_draining(struct service *s, const struct drain_left *left)
{
    char line[NOTIFY_TEXT_MAX];
    if (!s) return;
    struct text t = text_over(line, sizeof(line));
    text_printf(&t, "STATUS=draining: %u exchanges, %u tunnels, %u connections left, for %llu s at most",
                left->exchanges, left->tunnels, left->client_connections,
                (unsigned long long)((left->left_ms + 999) / 1000));
    say(s, text_cstr(&t));
}
