/* acme/keeper.h: sees to it that certificates which a CA issues are there and are renewed: a thread of its own, which has time to
 * wait for a CA. What it makes are files (acme/folder.h), which are served when whoever watches files finds them. Orders of
 * all that share a folder come one after another. Everything here is asked on the control thread. */
#pragma once

#include "acme/acme_conf.h"
#include "acme/folder.h"
#include "tls/challenges.h"
#include "tls/tls_conf.h"

struct acme_keeper;

/* What the configuration in force wants. */
struct acme_plan {
    struct conf_arena *arena; /* in which the rest is: a reference is taken of it */
    const struct acme_conf *conf;
    const char *folder;                               /* copied */
    const struct tls_certificate_conf **certificates; /* each file once; the array is copied */
    uint32_t count;
};

/* The thread begins with the first plan that wants anything. `challenges` is borrowed. NULL: there is no memory. */
struct acme_keeper *acme_keeper_new(struct tls_challenges *challenges);
/* From now on this; NULL: nothing. An order that goes on ends first. False: there is no memory, and it is as before. */
MUST_CHECK bool acme_keeper_use(struct acme_keeper *k, const struct acme_plan *plan);
/* What goes on ends, and nothing begins. Twice is fine; so is NULL, for all three. */
void acme_keeper_stop(struct acme_keeper *k);
/* After that: once it has ended, nobody's challenges are touched any more. False: it has not within `wait_ms`, as where a disk does not
 * answer. Then all that it uses has to stay. */
MUST_CHECK bool acme_keeper_await_end(struct acme_keeper *k, uint32_t wait_ms);
/* Waits for it, however long. */
void acme_keeper_free(struct acme_keeper *k);

enum acme_state {
    ACME_STATE_WAITING,  /* until it is time: to renew it, or to try again */
    ACME_STATE_ORDERING, /* it is asked for */
    ACME_STATE_ELSEWHERE /* another that shares the folder has an order going on */
};
const char *acme_state_name(enum acme_state s);

/* Borrowed for the call. */
struct acme_status {
    const struct tls_certificate_conf *conf;
    enum acme_state state;
    int64_t until_s; /* of what there is, valid or not; 0: there is none yet */
    int64_t next_s;  /* when it is asked for next; 0: now */
    uint32_t failures;
    const char *error; /* of the last order, or why none begins; "": there is nothing to be said */
};
void acme_keeper_each(struct acme_keeper *k, void (*each)(void *context, const struct acme_status *s),
                      void *context);
uint64_t acme_keeper_issued(const struct acme_keeper *k);
uint64_t acme_keeper_failed(const struct acme_keeper *k);
