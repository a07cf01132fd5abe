/* control/signals.h: what an operator or systemd says by a signal, taken from a descriptor on the control thread: SIGTERM and
 * SIGINT ask for the end, SIGHUP for the file anew, SIGUSR1 for log files anew, SIGUSR2 for another binary. */
#pragma once

#include <sys/types.h>

#include "admin/audit.h"
#include "net/loop.h"

/* Who sent it: the kernel says so (sigaction(2), si_pid and si_uid). */
struct signal_word {
    uint32_t number;
    uid_t uid;
    pid_t pid;
};

struct signals {
    struct loop_fd fd; /* first */
    void (*on_word)(void *context, const struct signal_word *word);
    void *context;
};

/* Not open: signals_close() may be called. */
void signals_init(struct signals *s);
/* Signals that are to be obeyed wait from now on, also if they come before anybody can: not those that ask for the end, which
 * until signals_open() are early_stop's. */
void signals_block(void);
/* From now on `on_word` hears of all; SIGPIPE is ignored. */
MUST_CHECK int signals_open(struct signals *s, struct loop *loop,
                            void (*on_word)(void *context, const struct signal_word *word), void *context,
                            struct err *err);
void signals_close(struct signals *s, struct loop *loop);
/* For the audit trail. */
struct audit_entry signal_word_entry(const struct signal_word *word, uint32_t generation);
