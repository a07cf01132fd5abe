/* control/upgrade.h: another binary in this process's place, without a connection lost: the program that this one was started
 * as is started anew, from the same path, with the same arguments and environment, and is given the listening sockets
 * (control/heritage.h). As long as it has not said that it accepts, nothing has changed here; whatever it does else, this
 * process goes on and says why. Control thread.
 *
 * From "ready" on both accept from the same backlogs. Then this one lets go of what only one may have (on_ready), says "go",
 * and drains. */
#pragma once

#include <sys/types.h>

#include "admin/upgrader.h"
#include "control/drain.h"
#include "control/heritage.h"

struct admin;
struct upgrade;

struct upgrade_options {
    struct proxy *proxy;
    struct admin *const *admin; /* NULL there: no API; it is opened later than this */
    struct loop *loop;
    struct heritage *heritage;
    int (*find_folder)(void *context);                /* of `state:`; -1: none */
    int (*may_begin)(void *context, struct err *err); /* -1 with the reason why not now */
    uint64_t (*wait_ms)(void *context);               /* for the successor to be ready */
    void (*on_begin)(void *context);                  /* from now on nothing that it reads may change */
    void (*on_ready)(void *context, pid_t successor); /* let go, and drain */
    void (*on_failure)(void *context);                /* go on as if it had not begun */
    void *context;
};

MUST_CHECK int upgrade_new(struct upgrade **out, const struct upgrade_options *o, struct err *err);
/* A successor that has not taken over ends. NULL is fine, also in the next. */
void upgrade_stop(struct upgrade *u);
/* No worker runs any more. */
void upgrade_free(struct upgrade *u);
struct upgrader *upgrade_upgrader(struct upgrade *u);
/* What comes of it goes to the log. */
void upgrade_by_signal(struct upgrade *u);
bool upgrade_has_successor(const struct upgrade *u);
/* To the successor, if there is one. */
void upgrade_say_left(const struct upgrade *u, const struct drain_left *left);
