/* control/service.h: weir as a service of systemd: says that it is ready, how it does, and, as long as every worker turns,
 * that it lives. Control thread. */
#pragma once

#include "control/notify.h"
#include "net/loop.h"
#include "net/socket_store.h"
#include "proxy/proxy.h"

struct drain_left;
struct service;
struct socket_set;
struct stall_watch;

/* NULL: out of memory, or nobody listens; then nothing is said. */
struct service *service_new(struct proxy *proxy, struct stall_watch *stalls, struct loop *control);
void service_free(struct service *s); /* NULL is fine, in the next too */
void service_ready(struct service *s);
void service_stopping(struct service *s);
/* Another process is weir now: from here on systemd hears it, and this one no more. */
void service_hand_over(struct service *s, int successor);
/* Where the unit has a store of descriptors (FileDescriptorStoreMax=), systemd keeps duplicates of exactly these sets' and
 * `admin`'s (may be NULL) sockets, and gives them to the next start: what comes while weir is restarted, even after a crash,
 * waits. To be called whenever there are others. */
void service_keep_sockets(struct service *s, const struct list *sets, struct socket_set *admin);
/* These may be in the store since an earlier start, and are not listened at any more. */
void service_expect_stored(struct service *s, const struct socket_gift *gifts, uint32_t count);
/* STATUS= of the service while it drains, instead of its figures. */
void service_draining(struct service *s, const struct drain_left *left);
/* "STATUS=3 listeners, 120 requests/s, …": from what was counted. Pure. */
struct service_figures {
    uint64_t listeners, requests_a_second, connections, servers, servers_up;
};
void service_status(const struct service_figures *f, struct text *out);
