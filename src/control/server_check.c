#include "control/server_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "health/checker.h"
#include "pool/upstream_tls.h"
#include "tls/upstream_conf.h"

struct server_check {
    struct check check;
    struct server_checks *all;
    struct server *server;
    struct list link; /* of server_checks.list */
    bool is_wanted;   /* while a new configuration is looked through */
};

struct server_checks {
    struct server_checks_options options;
    struct checker checker;
    struct tls_worker tls;
    struct list list; /* of struct server_check */
    struct log_limit shortage;
};

/* verdicts */

static void say_shortage(struct server_checks *k, const struct server *s, const char *words)
{
    char quoted[SERVER_WORDS_MAX + 64];
    uint32_t suppressed;
    if (!log_limit_pass(&k->shortage, k->options.loop->now_ns, 5, &suppressed)) return;
    log_event(LOG_WARN, "check_not_made", "pool=%s server=%s reason=%s more=%u", s->pool->name, s->name,
              log_quote(words, quoted, sizeof(quoted)), suppressed);
}

static bool on_verdict(struct check *c, const struct probe_verdict *v)
{
    struct server_check *sc = container_of(c, struct server_check, check);
    struct server *s = sc->server;
    const struct check_conf *conf = c->conf;
    if (v->result == PROBE_UNTRIED) {
        say_shortage(sc->all, s, v->words);
        return c->is_changing;
    }
    bool has_passed = v->result == PROBE_PASSED;
    s->pool->checks[has_passed]++;
    struct server_check_result r = { .has_passed = has_passed,
                                     .status = v->status,
                                     .at_ms = loop_now_ms(sc->all->options.loop),
                                     .took_ns = v->took_ns };
    if (!has_passed) snprintf(r.words, sizeof(r.words), "%s", v->words);
    if (server_check_ended(s, &r, conf->rise, conf->fall))
        sc->all->options.on_change(sc->all->options.context, s);
    return server_is_changing(s, conf->rise, conf->fall);
}

/* following the configuration */

static void end(struct server_check *sc)
{
    check_stop(&sc->check);
    sc->server->check = NULL; /* NOLINT(clang-analyzer-unix.Malloc): it does not follow list_remove() */
    list_remove(&sc->link);
    free(sc);
}

static struct server_check *begin(struct server_checks *k, struct server *s)
{
    struct server_check *sc = calloc(1, sizeof(*sc));
    if (!sc) {
        say_shortage(k, s, "out of memory");
        return NULL;
    }
    sc->all = k;
    sc->server = s;
    check_init(&sc->check, &k->checker, on_verdict);
    list_push_back(&k->list, &sc->link);
    s->check = sc;
    return sc;
}

/* `keeps`: what is being asked goes on, if it can. */
static void follow_server(struct server_checks *k, const struct roster_place *place,
                          const struct check_conf *conf, uint64_t first_ms, bool keeps)
{
    struct server *s = place->server;
    const struct tls_upstream_conf *tls = s->pool->roster->conf->tls;
    struct check_target target = { .conf = conf,
                                   .address = &s->address,
                                   .proxy_protocol = s->pool->roster->conf->proxy_protocol };
    bool is_new = !s->check;
    if (is_new && !begin(k, s)) return;
    s->check->is_wanted = true;
    if (place->conf->health_address.len) target.other = &place->conf->health_address;
    if (tls && conf->over_tls && !check_is_of_datagrams(conf)) {
        /* Another port may be another program's; and over HTTP it is asked in HTTP/1.1. */
        bool is_of_traffic = !place->conf->health_address.len && !conf->port && !conf->http;
        target.tls = (struct probe_tls){ .worker = &k->tls,
                                         .rules = tls->upstream,
                                         .name = upstream_server_name(tls->upstream, s),
                                         .wants_http2 = is_of_traffic &&
                                                        s->pool->roster->conf->protocol == POOL_H2 };
    }
    if (is_new)
        check_start(&s->check->check, &target, first_ms);
    else if (!keeps || target.other)
        check_change(&s->check->check, &target);
}

static void follow_pool(struct server_checks *k, const struct pool *p, bool keeps)
{
    const struct roster *r = p->roster;
    const struct check_conf *conf = r->conf->health;
    for (uint32_t i = 0; conf && i < r->count; i++)
        if (r->places[i].is_in_subset)
            follow_server(k, &r->places[i], conf, check_first_ms(conf, i, r->count), keeps);
}

static void end_unwanted(struct server_checks *k)
{
    struct list *next;
    for (struct list *at = k->list.next; at != &k->list; at = next) {
        next = at->next;
        struct server_check *sc = container_of(at, struct server_check, link);
        if (sc->is_wanted) continue;
        struct server *s = sc->server;
        end(sc);
        if (server_checks_stopped(s, loop_now_ms(k->options.loop)) && !atomic_load(&s->is_retired))
            k->options.on_change(k->options.context, s);
    }
}

void server_checks_follow_pool(struct server_checks *k, const struct pool *p)
{
    for (struct list *at = k->list.next; at != &k->list; at = at->next) {
        struct server_check *sc = container_of(at, struct server_check, link);
        sc->is_wanted = sc->server->pool != p;
    }
    follow_pool(k, p, true);
    end_unwanted(k);
}

void server_checks_follow(struct server_checks *k)
{
    const struct proxy *proxy = k->options.proxy;
    for (struct list *at = k->list.next; at != &k->list; at = at->next)
        container_of(at, struct server_check, link)->is_wanted = false;
    for (uint32_t i = 0; i < proxy->pool_count; i++) follow_pool(k, proxy->pools[i], false);
    end_unwanted(k);
}

int server_checks_new(struct server_checks **out, const struct server_checks_options *o, struct err *err)
{
    struct server_checks *k = calloc(1, sizeof(*k));
    if (!k) return err_set(err, "out of memory for what checks servers");
    k->options = *o;
    if (tls_worker_init(&k->tls, o->loop, o->proxy->tickets, err) < 0) {
        free(k);
        return -1;
    }
    checker_init(&k->checker, o->loop);
    list_init(&k->list);
    *out = k;
    return 0;
}

void server_checks_stop(struct server_checks *k)
{
    while (k && !list_is_empty(&k->list)) end(container_of(k->list.next, struct server_check, link));
    if (k) checker_fini(&k->checker);
}

void server_checks_free(struct server_checks *k)
{
    server_checks_stop(k);
    if (k) tls_worker_fini(&k->tls);
    free(k);
}
