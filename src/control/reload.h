/* control/reload.h: another configuration while weir runs: read and checked on the jobs' thread, put in force on the control
 * thread between two of its turns, or refused as a whole with every mistake and its place. What cannot change while weir
 * runs (the table `frozen` in config_difference.c) stays as it is until the next start, and the answer says so. */
#pragma once

#include "admin/reloader.h"
#include "control/config.h"
#include "control/generations.h"
#include "net/jobs.h"
#include "proxy/proxy.h"

struct discovery;
struct log_watch;
struct reload;

struct reload_options {
    struct proxy *proxy;
    struct jobs *jobs;
    struct loop *loop;               /* the control thread's */
    const struct config *config;     /* what weir is started with; borrowed for longer than this */
    const char *path;                /* of its file; NULL: it has none */
    struct generations *generations; /* NULL: none are kept */
    struct log_watch *logs;          /* watches the logs that a configuration names */
    struct discovery *discovery;     /* finds the servers that a configuration has names for */
    void (*on_change)(void *context,
                      const struct config *config); /* another is in force; borrowed until the next */
    void *context;
};

MUST_CHECK int reload_new(struct reload **out, const struct reload_options *o, struct err *err);
/* What jobs had begun is done; nothing is asked any more. */
void reload_free(struct reload *r);
struct reloader *reload_reloader(struct reload *r);
/* Something is being read, or not with every worker yet. */
bool reload_is_busy(const struct reload *r);
/* While another process is being started that reads the same file and folder: nothing is asked. */
void reload_hold(struct reload *r, bool is_held);
/* Something of what is in force has gone without another configuration: it is looked after until it is freed. */
void reload_look_after_retired(struct reload *r);
/* From now on nothing else comes into force: weir stops. What has gone is looked after still: pools whose servers are found change
 * while weir drains. NULL is fine, also in the next. */
void reload_stop(struct reload *r);
/* Not that either: what it works with ends. */
void reload_leave(struct reload *r);
