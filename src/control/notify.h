/* control/notify.h: what systemd wants to hear of a service (sd_notify(3), Type=notify): that it is ready, that it stops, how it
 * does, and that it lives. Datagrams to NOTIFY_SOCKET; nothing is said where there is none. Control thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"

#define NOTIFY_TEXT_MAX 512u

struct notify {
    int fd;               /* -1: nobody listens */
    uint64_t watchdog_ms; /* how often it wants to hear WATCHDOG=1; 0: not at all */
    bool has_failed;      /* that has been said */
};

/* As NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment say. -1: the socket cannot be reached; `n` is usable
 * and says nothing. */
MUST_CHECK int notify_open(struct notify *n, struct err *err);
void notify_close(struct notify *n);
/* "READY=1\nSTATUS=…": lines. False: it did not arrive; the first time that is so, `err` is to be said. */
bool notify_say(struct notify *n, const char *lines, struct err *err);
/* For what must not be lost, before it is said: waits until there is room for it, a second at most. */
void notify_wait(const struct notify *n);
/* Parts of it: pure. `environment` values may be NULL. False: they ask for no watchdog of this process. */
bool notify_watchdog(const char *usec, const char *pid, uint64_t own_pid, uint64_t *ms);
