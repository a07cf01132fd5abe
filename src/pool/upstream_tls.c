#include "pool/upstream_tls.h"

#include "tls/conn.h"

/* Of the configuration in force. NULL: connections are plain. */
static struct tls_upstream *rules_of(const struct pool_worker *pw)
{
    const struct pool_conf *conf = pw->view->set->roster->conf;
    if (pw->pool->kind == POOL_EGRESS) return conf->egress_tls;
    return conf->tls ? conf->tls->upstream : NULL;
}

uint64_t upstream_tls_print(const struct pool_worker *pw)
{
    const struct tls_upstream *rules = rules_of(pw);
    return rules ? tls_upstream_print(rules) : 0;
}

bool upstream_is_secure(const struct pool_worker *pw, const struct pool_target *target)
{
    if (pw->pool->kind == POOL_EGRESS) return target && target->is_secure;
    return rules_of(pw) != NULL;
}

uint64_t upstream_host_hash(const struct pool_worker *pw, const struct pool_target *target)
{
    return target->is_secure ? tls_worker_hash(pw->env->tls, target->host) : 0;
}

static void on_opened(void *watcher, const struct transport *t)
{
    const struct server_worker *sw = watcher;
    const struct pool *p = sw->pool->pool;
    metric_add(sw->pool->env->metrics, tls_conn_is_resumed(t) ? p->meter_tls_resumed : p->meter_tls_full, 1);
}

static void on_failed(void *watcher, const struct transport *t)
{
    const struct server_worker *sw = watcher;
    const struct pool_worker *pw = sw->pool;
    const struct end_reason_info *info = end_reason_info((enum end_reason)t->fault);
    metric_add(pw->env->metrics, pw->pool->meter_tls_failed, 1);
    if (!t->fault) return; /* given up: whoever did has a reason of his own */
    server_note_tls_failure(sw->server, t->fault_words ? t->fault_words : info->means);
}

static const struct tls_watch watch = { .on_opened = on_opened, .on_failed = on_failed };

const char *upstream_server_name(const struct tls_upstream *rules, const struct server *s)
{
    const char *name = tls_upstream_name(rules);
    if (name) return name;
    if (s->tls_name) return s->tls_name;
    return tls_name_can_be_verified(s->name) ? s->name : NULL;
}

enum end_reason upstream_secure(struct pool_worker *pw, struct server *s, const struct pool_target *target,
                                const char *alpn, struct transport *t)
{
    struct tls_upstream *rules = rules_of(pw);
    if (!rules) return END_SERVER_CERTIFICATE; /* since the target was allowed, its pool has lost its CAs */
    struct tls_target to = { .upstream = rules,
                             .name = target ? target->host : upstream_server_name(rules, s),
                             .address = target ? &target->address : &s->address,
                             .alpn = alpn,
                             .watch = &watch,
                             .watcher = server_worker_of(pw, s) };
    return tls_conn_connect(t, pw->env->tls, &to) < 0 ? END_NO_MEMORY : END_NONE;
}
