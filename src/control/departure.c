#include "control/departure.h"

#include "admin/admin.h"
#include "control/certificate_watch.h"
#include "control/drain.h"
#include "control/generations.h"
#include "control/heritage.h"
#include "control/log_watch.h"
#include "control/reload.h"
#include "control/service.h"
#include "control/split_watch.h"
#include "control/start.h"
#include "control/upgrade.h"
#include "net/socket_set.h"

/* the drain */

static void on_drain_word(void *context, const struct drain_left *left)
{
    struct control *c = context;
    service_draining(c->service, left);
    if (c->upgrade) upgrade_say_left(c->upgrade, left);
}

/* systemd ends whatever is left of a unit when its main process has gone: those that this one took over from have their time
 * first. */
static bool may_end(void *context)
{
    const struct control *c = context;
    return !heritage_has_predecessor(c->heritage);
}

static void on_drain_end(void *context)
{
    loop_stop(&((struct control *)context)->loop);
}

void departure_init(struct control *c)
{
    c->drain = (struct drain){ .proxy = c->proxy,
                               .loop = &c->loop,
                               .on_word = on_drain_word,
                               .may_end = may_end,
                               .on_end = on_drain_end,
                               .context = c };
}

static bool is_shared(const struct list *sets)
{
    for (const struct list *at = sets->next; at != sets; at = at->next)
        if (socket_set_is_shared(container_of(at, struct socket_set, link))) return true;
    return false;
}

void departure_begin(struct control *c)
{
    bool has_successor = c->upgrade && upgrade_has_successor(c->upgrade);
    bool has_other = has_successor || is_shared(&c->proxy->sockets);
    const struct socket_set *admin = admin_sockets(c->admin);
    service_stopping(c->service);
    reload_stop(c->reload);
    certificate_watch_order_none(c->certificates);
    if (!has_successor) upgrade_stop(c->upgrade);
    if (has_successor || (admin && socket_set_is_shared(admin))) admin_leave(c->admin);
    drain_begin(&c->drain, c->config->proxy.timeouts.drain_ms, has_other);
}

/* another binary */

static int find_folder(void *context)
{
    return control_folder(context);
}

static int may_upgrade(void *context, struct err *err)
{
    const struct control *c = context;
    return reload_is_busy(c->reload) ? err_set(err, "another configuration is being put in force: try again")
                                     : 0;
}

static uint64_t upgrade_wait_ms(void *context)
{
    return ((const struct control *)context)->config->proxy.timeouts.upgrade_ms;
}

static void on_upgrade_begins(void *context)
{
    reload_hold(((struct control *)context)->reload, true);
}

static void on_upgrade_failed(void *context)
{
    reload_hold(((struct control *)context)->reload, false);
}

/* What only one process may have is let go of before the successor hears "go". */
static void on_successor(void *context, pid_t successor)
{
    struct control *c = context;
    const struct list *sets = &c->proxy->sockets;
    for (struct list *at = sets->next; at != sets; at = at->next)
        container_of(at, struct socket_set, link)->keeps_path = true;
    struct socket_set *admin = admin_sockets(c->admin);
    if (admin) admin->keeps_path = true;
    log_watch_stop(c->logs);
    service_hand_over(c->service, (int)successor);
    departure_begin(c);
    split_watch_stop(c->splits);
    if (c->start && c->start->generations) generations_leave(c->start->generations);
}

int departure_open_upgrade(struct control *c, struct err *err)
{
    const struct upgrade_options o = { .proxy = c->proxy,
                                       .admin = &c->admin,
                                       .loop = &c->loop,
                                       .heritage = c->heritage,
                                       .find_folder = find_folder,
                                       .may_begin = may_upgrade,
                                       .wait_ms = upgrade_wait_ms,
                                       .on_begin = on_upgrade_begins,
                                       .on_ready = on_successor,
                                       .on_failure = on_upgrade_failed,
                                       .context = c };
    return c->heritage ? upgrade_new(&c->upgrade, &o, err) : 0;
}
