#include "control/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void on_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct signals *s = (struct signals *)f;
    struct signalfd_siginfo info;
    while (read(f->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        struct signal_word word = { info.ssi_signo, info.ssi_uid, (pid_t)info.ssi_pid };
        s->on_word(s->context, &word);
    }
}

static void fill(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigaddset(set, SIGHUP);
}

void signals_init(struct signals *s)
{
    *s = (struct signals){ .fd = { .fd = -1 } };
}

void signals_block(void)
{
    sigset_t set;
    fill(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int signals_open(struct signals *s, struct loop *loop,
                 void (*on_word)(void *context, const struct signal_word *word), void *context,
                 struct err *err)
{
    sigset_t set;
    fill(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    *s = (struct signals){ .fd = { .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
                                   .on_ready = on_ready },
                           .on_word = on_word,
                           .context = context };
    if (s->fd.fd < 0 || loop_fd_register(loop, &s->fd, EPOLLIN) < 0)
        return err_set(err, "cannot watch signals: %s", strerror(errno));
    return 0;
}

void signals_close(struct signals *s, struct loop *loop)
{
    loop_fd_close(loop, &s->fd);
}

struct audit_entry signal_word_entry(const struct signal_word *word, uint32_t generation)
{
    struct audit_entry e = { .by = "signal", .from = generation, .to = generation };
    const char *name = sigabbrev_np((int)word->number);
    snprintf(e.what, sizeof(e.what), "SIG%s", name ? name : "?");
    snprintf(e.peer, sizeof(e.peer), "uid %u, pid %d", word->uid, (int)word->pid);
    return e;
}
