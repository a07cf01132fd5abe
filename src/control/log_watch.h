/* control/log_watch.h: what joins watched logs with the rest of weir: a rule's client is denied at the gate, an upstream that
 * fails is ejected from its pool, figures become metrics. Control thread. */
#pragma once

#include "logs/rule_log.h"
#include "logs/watch.h"
#include "net/timer.h"
#include "proxy/proxy.h"

struct log_watch;

/* `on_server` is called when a server's state has changed by what a log says. All borrowed for its life. */
struct log_watch_options {
    const struct logs_conf *conf;
    struct proxy *proxy;
    struct loop *loop; /* the control thread's */
    struct mailbox *control;
    void (*on_hit)(void *control,
                   const struct mail *m); /* these two lead to log_watch_hit() and log_watch_verdict() */
    void (*on_verdict)(void *control, const struct mail *m);
    void (*on_server)(void *control, struct server *s);
    void *context;
};

/* Opens every source; reads nothing yet. */
MUST_CHECK int log_watch_new(struct log_watch **out, const struct log_watch_options *o, struct err *err);
MUST_CHECK int log_watch_start(struct log_watch *w, struct err *err);
/* Ends reading and saves. NULL is fine, in the next too. */
void log_watch_stop(struct log_watch *w);
void log_watch_free(struct log_watch *w);

struct watch *log_watch_of(struct log_watch *w); /* NULL gives NULL */
struct rule_log *log_watch_rules(struct log_watch *w);

/* Both take what came by mail. */
void log_watch_hit(struct log_watch *w, struct watch_hit *hit);
void log_watch_verdict(struct log_watch *w, struct watch_verdict *v);
