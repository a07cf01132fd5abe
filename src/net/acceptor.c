#include "net/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"

/* The most that can wait in a backlog (the kernel keeps it in 16 bits' worth): when the last are taken before the socket is
 * closed, whoever connects as fast as they are taken does not go on for ever. */
#define LAST_MAX 65536u

enum outcome {
    TAKEN, /* or shed: there is one less */
    LOST,  /* it died in the backlog, or accepting does not work */
    NONE,  /* no more wait */
    STUCK, /* for want of a descriptor or of memory */
};

/* the spare descriptor */

void acceptor_spare_open(struct acceptor_spare *s)
{
    s->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void acceptor_spare_close(struct acceptor_spare *s)
{
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

/* accepting */

static int accept_from(struct acceptor *a, struct address *peer)
{
    *peer = (struct address){ .len = sizeof(peer->sa) };
    return accept4(a->io.fd, &peer->sa.any, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Another thread may take the descriptor that is given up: then it is stuck. */
static enum outcome shed(struct acceptor *a)
{
    struct address peer;
    if (a->spare->fd < 0) return STUCK;
    acceptor_spare_close(a->spare);
    int fd = accept_from(a, &peer);
    bool is_empty = fd < 0 && errno == EAGAIN;
    if (fd >= 0) close(fd);
    acceptor_spare_open(a->spare);
    if (fd < 0) return is_empty ? NONE : STUCK;
    if (a->use.on_shed) a->use.on_shed(a, &peer);
    return TAKEN;
}

static enum outcome take_one(struct acceptor *a)
{
    struct address peer;
    int fd = accept_from(a, &peer);
    if (fd >= 0) {
        a->use.on_connection(a, fd, &peer);
        return TAKEN;
    }
    a->cause = errno;
    (void)bug_if(ACCEPTOR, a->cause == EBADF || a->cause == ENOTSOCK); /* somebody else has closed it */
    switch (a->cause) {
    case EAGAIN: return NONE;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return shed(a);
    default: return LOST; /* accept(2) names a dozen errors for a connection that has died meanwhile */
    }
}

static void pause_for_a_while(struct acceptor *a)
{
    uint32_t suppressed = 0;
    loop_arm(a->loop, &a->pause, ACCEPTOR_PAUSE_MS);
    if (!log_limit_pass(&a->trouble_limit, a->loop->now_ns, 1, &suppressed)) return;
    log_event(LOG_WARN, "accept_paused", "listener=%s ms=%u cause=\"%s\" suppressed=%u", a->use.name,
              ACCEPTOR_PAUSE_MS, strerror(a->cause), suppressed);
}

static void take_waiting(struct acceptor *a)
{
    uint32_t fruitless = 0;
    if (timer_is_armed(&a->pause) || bug_if(ACCEPTOR, !acceptor_is_open(a))) return;
    if (a->spare->fd < 0) acceptor_spare_open(a->spare);
    for (uint32_t i = 0; i < a->use.burst; i++) {
        if (!acceptor_is_open(a)) return;
        switch (take_one(a)) {
        case TAKEN: break;
        case LOST: fruitless++; break;
        case NONE: return;
        case STUCK: pause_for_a_while(a); return;
        }
    }
    if (!acceptor_is_open(a)) return;
    if (fruitless < a->use.burst)
        loop_defer(a->loop, &a->more);
    else
        pause_for_a_while(a);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    take_waiting(container_of(f, struct acceptor, io));
}

static void on_more(struct loop_task *t)
{
    take_waiting(container_of(t, struct acceptor, more));
}

static void on_pause_over(struct timer *t)
{
    take_waiting(container_of(t, struct acceptor, pause));
}

/* opening and closing */

int acceptor_open(struct acceptor *a, struct loop *l, int fd, const struct acceptor_use *use,
                  struct acceptor_spare *spare, struct err *err)
{
    *a =
        (struct acceptor){ .io = { .fd = fd, .on_ready = on_ready }, .loop = l, .use = *use, .spare = spare };
    loop_task_init(&a->more, on_more);
    timer_init(&a->pause, on_pause_over);
    if (loop_fd_register(l, &a->io, EPOLLIN) == 0) return 0;
    int cause = errno;
    acceptor_kill(a);
    return err_set(err, "cannot watch its socket: %s", strerror(cause));
}

static void bury(struct loop_grave *g)
{
    free(container_of(g, struct acceptor, grave));
}

int acceptor_add(struct acceptor *a, int fd, struct err *err)
{
    struct acceptor *more = bug_if(ACCEPTOR, !acceptor_is_open(a)) ? NULL : malloc(sizeof(*more));
    if (!more) {
        close(fd);
        return err_set(err, "out of memory for a listening socket");
    }
    if (acceptor_open(more, a->loop, fd, &a->use, a->spare, err) < 0) {
        free(more);
        return -1;
    }
    more->next = a->next;
    a->next = more;
    return 0;
}

static void kill_one(struct acceptor *a)
{
    if (!acceptor_is_open(a)) return;
    int fd = a->io.fd;
    loop_cancel(&a->more);
    loop_disarm(a->loop, &a->pause);
    /* Taken out by name: while another loop holds a descriptor of the same socket, closing this one does not do it. */
    loop_fd_forget(a->loop, &a->io);
    close(fd);
}

void acceptor_kill(struct acceptor *a)
{
    while (a->next) {
        struct acceptor *more = a->next;
        a->next = more->next;
        kill_one(more);
        loop_bury(a->loop, &more->grave, bury); /* it may be the one that is on the stack */
    }
    kill_one(a);
}

static void take_last(struct acceptor *a)
{
    for (uint32_t i = 0; i < LAST_MAX && acceptor_is_open(a); i++) {
        enum outcome o = take_one(a);
        if (o == NONE || o == STUCK) break;
    }
}

void acceptor_close(struct acceptor *a)
{
    take_last(a);
    for (struct acceptor *more = a->next; more; more = more->next) take_last(more);
    acceptor_kill(a);
}
