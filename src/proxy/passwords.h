/* proxy/passwords.h: passwords that are checked away from the workers, since a hash takes as long as it was made to take. A
 * worker asks by mail; the control thread keeps who waits, bounded in all and for each client, and gives one after another to
 * threads of their own, which are few and the least urgent of the process: however many wrong passwords come, no traffic waits
 * for them, nor any other job. What was right is remembered for a while (auth/verified.h), so that those who are known do not
 * wait either.
 *
 * Whose exchange goes away takes its question back: it is dropped when its turn comes. */
#pragma once

#include <stdatomic.h>

#include "auth/credentials.h"
#include "auth/password.h"
#include "auth/verified.h"
#include "base/address.h"
#include "base/list.h"
#include "metric/metric.h"
#include "net/mailbox.h"

struct passwords;
struct worker;

#define PASSWORDS_WAITING_MAX 64u /* in all; the last of them waits some seconds */
#define PASSWORDS_A_CLIENT_MAX 4u /* an IPv4 address, or an IPv6 /64 */
#define PASSWORDS_A_WORKER_MAX \
    128u /* on their way to or from a worker: the control thread has other mail, too */

enum password_answer {
    PASSWORD_RIGHT,
    PASSWORD_WRONG,
    PASSWORD_CLIENT_FULL, /* as many of this client's wait as may */
    PASSWORD_FULL,        /* as many wait as may, or weir stops */
};

/* Made, asked and freed by a worker; in between it is the control thread's and, while it is hashed, a job's. */
struct password_question {
    struct list link;    /* of its worker's questions; that thread's */
    struct list waiting; /* the control thread's */
    struct worker *worker;
    void (*on_answer)(struct password_question *q); /* on the worker's thread, while there is an asker */
    void *asker;                                    /* the worker's thread; NULL: nobody any more */
    _Atomic bool is_taken_back;
    struct ip client;
    struct verified_mac mac;
    uint64_t keep_ms; /* 0: not remembered */
    bool is_known;    /* there is such a user; else it is hashed all the same, and wrong */
    uint8_t answer;   /* enum password_answer */
    char hash[PASSWORD_HASH_MAX + 1], password[CREDENTIALS_PART_MAX + 1];
};

/* `control`: the control thread's mailbox; borrowed. Threads start with the first question. */
MUST_CHECK int passwords_new(struct passwords **out, struct loop *loop, struct mailbox *control,
                             struct metric_registry *metrics, uint32_t threads, struct err *err);
/* No more hashes are made, and who waits hears nothing more. Before the workers end. NULL is fine, for the three. */
void passwords_stop(struct passwords *p);
/* For those that are being made, which cannot be broken off. False: one is still being made after `wait_ms`; then all that it uses has
 * to stay. */
MUST_CHECK bool passwords_await_end(struct passwords *p, uint32_t wait_ms);
/* Waits for them. */
void passwords_free(struct passwords *p);

/* On a worker: a question of its own, zeroed but for its worker. NULL: PASSWORDS_A_WORKER_MAX are under way, or memory is out. */
struct password_question *password_question_new(struct worker *w);
/* Sends it off; false: the control thread has no room for it, and it is the asker's to free. */
MUST_CHECK bool password_ask(struct password_question *q);
/* No answer comes any more, for one that was sent off. */
void password_take_back(struct password_question *q);
/* One that was not sent off, or was answered. */
void password_question_free(struct password_question *q);
/* What a worker that has ended had under way. */
void password_questions_drop(struct worker *w);
