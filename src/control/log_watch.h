/* control/log_watch.h: what joins watched logs with the rest of weir: a rule's client is denied at the gate, an upstream that
 * fails is ejected from its pool, figures become metrics. It is there also while no log is watched, and costs nothing
 * then. Control thread, but where it says otherwise. */
#pragma once

#include "logs/rule_log.h"
#include "logs/watch.h"
#include "net/timer.h"
#include "proxy/proxy.h"

struct log_watch;

/* `on_server` is called when a server's state has changed by what a log says. All borrowed for its life. */
struct log_watch_options {
    const struct logs_conf *conf; /* NULL: none are watched */
    struct conf_arena *arena;     /* in which that lies */
    struct proxy *proxy;
    struct loop *loop; /* the control thread's */
    struct mailbox *control;
    void (*on_hit)(void *control,
                   const struct mail *m); /* these two lead to log_watch_hit() and log_watch_verdict() */
    void (*on_verdict)(void *control, const struct mail *m);
    void (*on_server)(void *control, struct server *s);
    void *context;
};

/* Opens every source; reads nothing yet. `conf` need not outlive another one that comes in its place. */
MUST_CHECK int log_watch_new(struct log_watch **out, const struct log_watch_options *o, struct err *err);
MUST_CHECK int log_watch_start(struct log_watch *w, struct err *err);
/* Ends reading and saves. NULL is fine, in the next too. */
void log_watch_stop(struct log_watch *w);
void log_watch_free(struct log_watch *w);

struct watch *log_watch_of(struct log_watch *w);
struct rule_log *log_watch_rules(struct log_watch *w);

/* Another configuration; NULL, for either: none. What has a mistake is refused while nothing has happened: logs/watch.h. On the
 * jobs' thread. */
MUST_CHECK int log_watch_prepare(struct log_watch *w, const struct logs_conf *before,
                                 const struct logs_conf *after, struct watch_change **out, struct err *err);
/* Takes the change, unless it is -1: then nothing has happened. From now on rules and series are those of the new one; who is denied
 * stays so until his time is over, unless the rule that did it is there no longer. */
MUST_CHECK int log_watch_commit(struct log_watch *w, struct watch_change *change, struct conf_arena *arena,
                                struct err *err);

/* Both take what came by mail. */
void log_watch_hit(struct log_watch *w, struct watch_hit *hit);
void log_watch_verdict(struct log_watch *w, struct watch_verdict *v);
