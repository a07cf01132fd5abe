#include "control/hardening.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "self/landlock.h"
#include "self/privileges.h"
#include "self/system_calls.h"

/* where it writes */

struct place {
    const char *path, *key; /* key: of the configuration */
};

struct places {
    struct place items[LANDLOCK_PATHS_MAX];
    uint32_t count;
};

static void add(struct places *p, const char *key, const char *path)
{
    if (path && *path && strcmp(path, "-") != 0 && p->count < LANDLOCK_PATHS_MAX)
        p->items[p->count++] = (struct place){ path, key };
}

/* A socket with a path, of which neither is in the abstract namespace. */
static void add_address(struct places *p, const char *key, const struct address *a)
{
    if (a->len && a->sa.any.sa_family == AF_UNIX) add(p, key, a->sa.un.sun_path);
}

/* What a reload may change, first. */
static void find_live(const struct config *c, struct places *p)
{
    const struct listener_conf *listeners = c->proxy.listeners.data;
    for (uint32_t i = 0; i < c->proxy.listeners.count; i++) add_address(p, "bind", &listeners[i].bind);
    if (c->logs) {
        const struct source_conf *sources = c->logs->sources.data;
        add(p, "logs: state", c->logs->state);
        for (uint32_t i = 0; i < c->logs->sources.count; i++) add_address(p, "syslog", &sources[i].syslog);
    }
    if (c->acme && c->acme->folder)
        add(p, "acme: folder", c->acme->folder);
    else if (c->acme)
        add(p, "state", c->state); /* its folder `acme` */
}

static void find_all(const struct config *c, struct places *p)
{
    add(p, "state", c->state);
    if (c->core) add(p, "core: dir", c->core->dir);
    if (c->proxy.access_log) add(p, "access_log: path", c->proxy.access_log->path);
    if (c->admin) add_address(p, "admin: bind", &c->admin->bind);
    find_live(c, p);
}

int hardening_check(const struct config *c, struct err *err)
{
    struct places p = { .count = 0 };
    if (!landlock_is_in_force()) return 0;
    find_live(c, &p);
    for (uint32_t i = 0; i < p.count; i++) {
        if (landlock_may_write(p.items[i].path)) continue;
        return err_set(err,
                       "%s: %.200s is in a folder of the system, or of the root itself and newer than weir's "
                       "start: there weir has given up writing but for what it was "
                       "started with: restart weir, or choose a place outside (hardening: landlock)",
                       p.items[i].key, p.items[i].path);
    }
    return 0;
}

/* the beginning */

static void say_missing(const char *what, const struct err *err)
{
    char quoted[ERR_TEXT_MAX + 64];
    log_event(LOG_WARN, "hardening_missing", "what=%s reason=%s", what,
              log_quote(err->text, quoted, sizeof(quoted)));
}

void hardening_begin(const struct config *c)
{
    const struct hardening_conf *h = &c->hardening;
    struct places places = { .count = 0 };
    struct landlock_paths paths = { .count = 0 };
    struct err err;
    if (!h->enabled) return;
    privileges_pass_on();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        err_set(&err, "%s", strerror(errno));
        say_missing("no_new_privs", &err);
        return;
    }
    find_all(c, &places);
    for (uint32_t i = 0; i < places.count; i++) paths.items[paths.count++] = places.items[i].path;
    if (h->landlock && landlock_give_up(&paths, &err) < 0) say_missing("landlock", &err);
    if (h->seccomp && system_calls_refuse(&err) < 0) say_missing("seccomp", &err);
}

/* what was refused */

static void on_refused(struct loop_fd *f, uint32_t events)
{
    uint64_t count;
    struct system_call_refused r;
    (void)events;
    while (read(f->fd, &count, sizeof(count)) > 0) {}
    while (system_calls_take(&r))
        log_event(LOG_ERROR, "call_refused",
                  "call=\"%s\" count=%llu reason=\"weir never makes this system call: somebody else's code "
                  "runs in it, or a library "
                  "does what it did not (hardening: seccomp)\"",
                  r.name, (unsigned long long)r.count);
}

static double refused_total(void *context)
{
    (void)context;
    return (double)system_calls_refused();
}

int hardening_watch_open(struct hardening_watch *w, struct proxy *proxy, struct loop *loop, struct err *err)
{
    /* From 1: what was refused before anybody listened is said, too. */
    w->fd = (struct loop_fd){ .fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC), .on_ready = on_refused };
    if (w->fd.fd < 0 || loop_fd_register(loop, &w->fd, EPOLLIN) < 0)
        return err_set(err, "cannot make an eventfd for refused system calls: %s", strerror(errno));
    system_calls_wake(w->fd.fd);
    (void)metric_counter_fn(
        proxy->metrics, "weir_system_calls_refused_total",
        "System calls that weir never makes, and that were made in it (hardening: seccomp).", NULL, 0,
        refused_total, NULL);
    return 0;
}

void hardening_watch_close(struct hardening_watch *w, struct loop *loop)
{
    system_calls_wake(-1);
    loop_fd_close(loop, &w->fd);
}
