#include "control/early_stop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void on_signal(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct early_stop *e = container_of(f, struct early_stop, io);
    struct signalfd_siginfo info;
    while (read(f->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) e->is_asked = true;
}

int early_stop_open(struct early_stop *e, struct loop *l, struct err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *e = (struct early_stop){ .io = { .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
                                      .on_ready = on_signal } };
    if (e->io.fd >= 0 && loop_fd_register(l, &e->io, EPOLLIN) == 0) return 0;
    int error = errno;
    loop_fd_close(l, &e->io);
    return err_set(err, "cannot watch signals: %s", strerror(error));
}

void early_stop_close(struct early_stop *e, struct loop *l)
{
    loop_fd_close(l, &e->io);
}
