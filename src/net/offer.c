#include "net/offer.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "net/pass.h"
#include "net/socket_set.h"

#define ANSWERS_A_TURN 16u

struct offer {
    struct loop_fd io;
    struct loop_task more;
    struct loop *loop;
    const struct socket_set *set;
    bool is_taken;
    struct loop_grave grave;
};

/* "@weir/UID/ADDRESS/SLOT"; of sockets for datagrams "@weir/UID/udp:ADDRESS/SLOT" */
static bool name_of(const struct address *address, bool is_udp, uint32_t slot, struct sockaddr_un *out,
                    socklen_t *len)
{
    char at[ADDRESS_TEXT_MAX];
    struct text t = text_over(out->sun_path, sizeof(out->sun_path));
    *out = (struct sockaddr_un){ .sun_family = AF_UNIX };
    text_add_char(&t, 0);
    text_printf(&t, "weir/%u/%s%s/%u", (unsigned)geteuid(), is_udp ? "udp:" : "", address_print(address, at),
                slot);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + t.len);
    return !t.is_cut;
}

/* offering */

static bool can_answer(struct offer *o, int fd)
{
    const struct socket_set *s = o->set;
    for (uint32_t sent = 0; sent < s->count;) {
        char memory[256];
        struct text t = text_over(memory, sizeof(memory));
        uint32_t count = s->count - sent < PASS_FDS_MAX ? s->count - sent : PASS_FDS_MAX;
        socket_store_write(&t, &(struct socket_gift){ .address = s->address, .is_udp = s->is_udp }, count);
        if (pass_send(fd, (struct slice){ t.data, t.len }, s->fds + sent, count) != PASS_OK) return false;
        sent += count;
    }
    return true;
}

static void answer_all(struct offer *o)
{
    for (uint32_t i = 0; i < ANSWERS_A_TURN; i++) {
        int fd = accept4(o->io.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) return; /* without a descriptor: whoever asks has a time-out */
        if (pass_is_own_user(fd) && can_answer(o, fd)) o->is_taken = true;
        close(fd);
    }
    loop_defer(o->loop, &o->more);
}

static void on_more(struct loop_task *t)
{
    answer_all(container_of(t, struct offer, more));
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    answer_all(container_of(f, struct offer, io));
}

static int listen_at_free_name(const struct address *address, bool is_udp)
{
    struct sockaddr_un name;
    socklen_t len;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    for (uint32_t slot = 0; fd >= 0 && slot < OFFER_SLOTS; slot++) {
        if (!name_of(address, is_udp, slot, &name, &len)) break;
        if (bind(fd, (const struct sockaddr *)&name, len) < 0) continue;
        if (listen(fd, 16) == 0) return fd;
        break;
    }
    if (fd >= 0) close(fd);
    return -1;
}

int offer_open(struct offer **out, struct loop *l, const struct socket_set *set, struct err *err)
{
    struct offer *o = calloc(1, sizeof(*o));
    if (!o) return err_set(err, "out of memory to share a port");
    *o = (struct offer){ .io = { .fd = listen_at_free_name(&set->address, set->is_udp),
                                 .on_ready = on_ready },
                         .loop = l,
                         .set = set };
    loop_task_init(&o->more, on_more);
    if (o->io.fd >= 0 && loop_fd_register(l, &o->io, EPOLLIN) == 0) {
        *out = o;
        return 0;
    }
    int cause = errno;
    if (o->io.fd >= 0) close(o->io.fd);
    free(o);
    return err_set(err, "another weir could not share this port: %s", strerror(cause));
}

static void bury(struct loop_grave *g)
{
    free(container_of(g, struct offer, grave));
}

void offer_close(struct offer *o)
{
    if (!o) return;
    loop_cancel(&o->more);
    loop_fd_close(o->loop, &o->io);
    loop_bury(o->loop, &o->grave, bury);
}

bool offer_is_taken(const struct offer *o)
{
    return o && o->is_taken;
}

/* asking */

static int connect_to(const struct address *address, bool is_udp, uint32_t slot)
{
    struct sockaddr_un name;
    socklen_t len;
    struct timeval wait = { .tv_usec = OFFER_WAIT_MS * 1000 };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)); /* bounds connect(2) too */
    if (name_of(address, is_udp, slot, &name, &len) &&
        connect(fd, (const struct sockaddr *)&name, len) == 0 && pass_is_own_user(fd))
        return fd;
    close(fd);
    return -1;
}

static bool take_answer(int fd, struct socket_store *into)
{
    struct pass_message *m = malloc(sizeof(*m));
    struct err err;
    uint32_t before = into->count;
    while (m && pass_receive(fd, m) == PASS_OK)
        if (socket_store_read(into, m, m->text, &err) < 0) break;
    free(m);
    return into->count > before;
}

bool offer_ask(const struct address *address, bool is_udp, struct socket_store *into)
{
    for (uint32_t slot = 0; slot < OFFER_SLOTS; slot++) {
        int fd = connect_to(address, is_udp, slot);
        if (fd < 0) continue;
        bool is_answered = take_answer(fd, into);
        close(fd);
        if (is_answered) return true;
    }
    return false;
}
