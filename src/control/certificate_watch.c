#include "control/certificate_watch.h"

#include "base/log.h"
#include "tls/store.h"

#define LOOK_MS (UINT64_C(12) * 3600 * 1000)
/* The others of a listener are counted. */
#define SAID_MAX 20u

static void say(const char *listener, const struct tls_certificate *c, enum tls_age age)
{
    static const char *const events[] = { [TLS_AGE_ENDING] = "certificate_ending",
                                          [TLS_AGE_EXPIRED] = "certificate_expired",
                                          [TLS_AGE_FUTURE] = "certificate_not_valid_yet" };
    char date[16];
    log_event(LOG_WARN, events[age], "listener=%s name=%s serial=%s %s=%s", listener,
              c->name_count ? c->names : "-", c->serial, age == TLS_AGE_FUTURE ? "from" : "until",
              tls_date_print(age == TLS_AGE_FUTURE ? c->not_before : c->not_after, date));
}

static void look_at(const struct listener_conf *listener, int64_t now_s)
{
    struct tls_store *store = tls_slot_get(listener->tls->slot);
    uint32_t count = 0;
    for (uint32_t i = 0; i < tls_store_count(store); i++) {
        const struct tls_certificate *c = tls_store_certificate(store, i);
        enum tls_age age = tls_certificate_age(c, now_s);
        if (age != TLS_AGE_GOOD && ++count <= SAID_MAX) say(listener->name, c, age);
    }
    if (count > SAID_MAX)
        log_event(LOG_WARN, "certificate_ending", "listener=%s more=%u", listener->name, count - SAID_MAX);
    tls_store_put(store);
}

void certificate_watch_look(struct certificate_watch *w)
{
    const struct conf_items *listeners = &w->proxy->site->conf->listeners;
    const struct listener_conf *l = listeners->data;
    bool has_any = false;
    for (uint32_t i = 0; i < listeners->count; i++) {
        if (!l[i].tls) continue;
        look_at(&l[i], (int64_t)(loop_wall_ns(w->loop) / NS_PER_S));
        has_any = true;
    }
    if (has_any)
        loop_arm(w->loop, &w->timer, LOOK_MS);
    else
        loop_disarm(w->loop, &w->timer);
}

static void on_timer(struct timer *t)
{
    certificate_watch_look(container_of(t, struct certificate_watch, timer));
}

void certificate_watch_init(struct certificate_watch *w, struct loop *loop, const struct proxy *proxy)
{
    *w = (struct certificate_watch){ .loop = loop, .proxy = proxy };
    timer_init(&w->timer, on_timer);
}

void certificate_watch_stop(struct certificate_watch *w)
{
    if (w->loop) loop_disarm(w->loop, &w->timer);
}
