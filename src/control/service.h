/* control/service.h: weir as a service of systemd: says that it is ready, how it does, and, as long as every worker turns,
 * that it lives. Control thread. */
#pragma once

#include "control/notify.h"
#include "net/loop.h"
#include "proxy/proxy.h"

struct drain_left;
struct service;

/* NULL: out of memory, or nobody listens; then nothing is said. */
struct service *service_new(struct proxy *proxy, struct loop *control);
void service_free(struct service *s); /* NULL is fine, in the next too */
void service_ready(struct service *s);
void service_stopping(struct service *s);
/* Another process is weir now: from here on systemd hears it, and this one no more. */
void service_hand_over(struct service *s, int successor);
/* STATUS= of the service while it drains, instead of its figures. */
void service_draining(struct service *s, const struct drain_left *left);
/* "STATUS=3 listeners, 120 requests/s, …": from what was counted. Pure. */
struct service_figures {
    uint64_t listeners, requests_a_second, connections, servers, servers_up;
};
void service_status(const struct service_figures *f, struct text *out);
