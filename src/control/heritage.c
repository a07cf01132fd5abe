#include "control/heritage.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "control/drain.h"
#include "net/pass.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define LISTEN_FDS_MAX 4096
/* For each of the predecessor's words. The last comes after it has put its logs' places on disk. */
#define WORD_S 30

struct heritage_link {
    struct loop_fd io;
    struct heritage *heritage;
    struct predecessor said;
    struct loop_grave grave;
};

/* of systemd */

static long number_in(const char *name)
{
    const char *text = getenv(name);
    char *end = NULL;
    long value = text && *text ? strtol(text, &end, 10) : -1;
    return end && !*end ? value : -1;
}

/* "web:admin:…"; the n-th, or "". */
static void name_of(const char *names, long n, char out[64])
{
    for (; names && n > 0; n--) names = (names = strchr(names, ':')) ? names + 1 : NULL;
    snprintf(out, 64, "%.*s", names ? (int)strcspn(names, ":") : 0, names ? names : "");
}

static void adopt(struct heritage *h, int fd, const char *name)
{
    char quoted[ERR_TEXT_MAX + 64], quoted_name[160];
    struct err err;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (socket_store_adopt(&h->sockets, fd, &err) == 0) return;
    log_event(LOG_WARN, "socket_not_taken", "fd=%d name=%s reason=%s", fd,
              log_quote(name, quoted_name, sizeof(quoted_name)), log_quote(err.text, quoted, sizeof(quoted)));
    close(fd);
}

static void take_from_systemd(struct heritage *h)
{
    long count = number_in("LISTEN_PID") == getpid() ? number_in("LISTEN_FDS") : 0;
    for (long i = 0; i < count && i < LISTEN_FDS_MAX; i++) {
        char name[64];
        name_of(getenv("LISTEN_FDNAMES"), i, name);
        if (fcntl(FIRST_FD + (int)i, F_GETFD) >= 0) adopt(h, FIRST_FD + (int)i, name);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

/* of a predecessor */

static int read_gifts(struct heritage *h, struct pass_message *m, struct err *err)
{
    static const char sockets[] = "sockets\n";
    for (;;) {
        if (pass_receive(h->channel, m) != PASS_OK)
            return err_set(err, "the weir to take over from says nothing");
        if (strcmp(m->text, "end") == 0) return 0;
        if (strncmp(m->text, sockets, sizeof(sockets) - 1) == 0) {
            if (socket_store_read(&h->sockets, m, m->text + sizeof(sockets) - 1, err) < 0) return -1;
        } else if (strcmp(m->text, "folder") == 0 && m->fd_count && h->folder < 0) {
            h->folder = m->fds[0];
            m->fds[0] = m->fds[--m->fd_count];
        } else if (strcmp(m->text, "health") == 0 && m->fd_count && h->health < 0) {
            h->health = m->fds[0];
            m->fds[0] = m->fds[--m->fd_count];
        }
        pass_close_fds(m); /* of what this version does not know */
    }
}

static int take_from_predecessor(struct heritage *h, struct err *err)
{
    struct timeval wait = { .tv_sec = WORD_S };
    struct ucred peer;
    socklen_t len = sizeof(peer);
    h->channel = (int)number_in(HERITAGE_VARIABLE);
    unsetenv(HERITAGE_VARIABLE);
    if (getsockopt(h->channel, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
        h->channel = -1;
        return err_set(err, HERITAGE_VARIABLE " names no channel to a weir: it is set by weir alone");
    }
    fcntl(h->channel, F_SETFD, FD_CLOEXEC);
    setsockopt(h->channel, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    struct pass_message *m = malloc(sizeof(*m));
    int result = m ? read_gifts(h, m, err) : err_set(err, "out of memory at start");
    if (m && result < 0) m->fd_count = 0;
    free(m);
    return result;
}

int heritage_open(struct heritage *h, struct err *err)
{
    *h = (struct heritage){ .channel = -1, .folder = -1, .health = -1 };
    if (getenv(HERITAGE_VARIABLE)) return take_from_predecessor(h, err);
    take_from_systemd(h);
    return 0;
}

bool heritage_refuse(const struct heritage *h, const char *why)
{
    char memory[PASS_TEXT_MAX];
    struct text t = text_over(memory, sizeof(memory));
    if (!h || h->channel < 0) return false;
    text_add_slice(&t, SLICE("failed "));
    text_add_slice(&t, slice_of(why));
    return pass_send(h->channel, (struct slice){ t.data, t.len }, NULL, 0) == PASS_OK;
}

void heritage_close_rest(struct heritage *h)
{
    char at[ADDRESS_TEXT_MAX];
    if (h->sockets.count && !h->unused) h->unused = calloc(h->sockets.count, sizeof(*h->unused));
    for (uint32_t i = 0; h->unused && i < h->sockets.count; i++)
        if (h->sockets.gifts[i].fd >= 0) h->unused[h->unused_count++] = h->sockets.gifts[i];
    for (uint32_t i = 0; i < h->sockets.count; i++)
        if (h->sockets.gifts[i].fd >= 0)
            log_event(LOG_INFO, "socket_unused",
                      "bind=%s remedy=\"no listener of the configuration has this address\"",
                      address_print(&h->sockets.gifts[i].address, at));
    socket_store_fini(&h->sockets);
    if (h->folder >= 0) close(h->folder);
    if (h->health >= 0) close(h->health);
    h->folder = h->health = -1;
}

/* links */

static void bury(struct loop_grave *g)
{
    free(container_of(g, struct heritage_link, grave));
}

static void drop(struct heritage_link *k)
{
    struct heritage *h = k->heritage;
    uint32_t i = 0;
    while (h->links[i] != k) i++;
    int fd = k->io.fd;
    h->links[i] = h->links[--h->link_count];
    loop_fd_forget(h->loop, &k->io); /* by name: a successor may have it by now */
    close(fd);
    loop_bury(h->loop, &k->grave, bury);
}

static void hear(struct heritage_link *k, const char *text)
{
    unsigned exchanges, tunnels, connections;
    unsigned long long since_ms, left_ms;
    if (sscanf(text, "left %u %u %u %llu %llu", &exchanges, &tunnels, &connections, &since_ms, &left_ms) != 5)
        return;
    k->said = (struct predecessor){
        k->said.pid, exchanges, tunnels, connections, (double)since_ms / 1e3, (double)left_ms / 1e3
    };
}

static void on_word(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct heritage_link *k = container_of(f, struct heritage_link, io);
    struct pass_message m;
    enum pass got;
    while ((got = pass_receive(f->fd, &m)) == PASS_OK) {
        pass_close_fds(&m);
        hear(k, m.text);
    }
    if (got == PASS_AGAIN) return;
    log_event(LOG_INFO, "predecessor_gone", "pid=%llu", (unsigned long long)k->said.pid);
    drop(k);
}

/* Takes `fd`. Whoever cannot be watched is not, and ends all the same. */
static void add_link(struct heritage *h, int fd, uint64_t pid)
{
    struct heritage_link *k = h->link_count < PREDECESSORS_MAX ? calloc(1, sizeof(*k)) : NULL;
    int flags = fcntl(fd, F_GETFL);
    if (k) {
        k->io = (struct loop_fd){ .fd = fd, .on_ready = on_word };
        k->heritage = h;
        k->said = (struct predecessor){ .pid = pid, .since_seconds = NAN, .left_seconds = NAN };
    }
    if (k && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && loop_fd_register(h->loop, &k->io, EPOLLIN) == 0) {
        h->links[h->link_count++] = k;
        return;
    }
    close(fd);
    free(k);
}

/* "go PID [PID …]" */
static void read_go(struct heritage *h, struct pass_message *m)
{
    const char *at = m->text + 2;
    uint32_t taken = 0;
    for (bool is_first = true;; is_first = false) {
        char *end = NULL;
        unsigned long long pid = strtoull(at, &end, 10);
        if (end == at || (!is_first && taken == m->fd_count)) break;
        at = end;
        add_link(h, is_first ? h->channel : m->fds[taken++], pid);
        if (is_first) h->channel = -1;
    }
    for (; taken < m->fd_count; taken++) close(m->fds[taken]);
    m->fd_count = 0;
}

void heritage_take_over(struct heritage *h, struct loop *l)
{
    struct pass_message m;
    h->loop = l;
    if (h->channel < 0) return;
    enum pass got = pass_send(h->channel, SLICE("ready"), NULL, 0);
    if (got == PASS_OK) got = pass_receive(h->channel, &m);
    if (got == PASS_OK && strncmp(m.text, "go ", 3) == 0)
        read_go(h, &m);
    else
        log_event(LOG_WARN, "predecessor_silent", "reason=\"%s\"",
                  got == PASS_END ? "it has ended" : "it does not let go");
    if (h->channel >= 0) close(h->channel);
    h->channel = -1;
}

bool heritage_has_predecessor(const struct heritage *h)
{
    return h && h->link_count;
}

uint32_t heritage_predecessors(const struct heritage *h, struct predecessor out[PREDECESSORS_MAX])
{
    for (uint32_t i = 0; i < h->link_count; i++) out[i] = h->links[i]->said;
    return h->link_count;
}

void heritage_reopen_logs(const struct heritage *h)
{
    for (uint32_t i = 0; h && i < h->link_count; i++)
        (void)pass_send(h->links[i]->io.fd, SLICE("reopen"), NULL, 0);
}

void heritage_pass_on(struct heritage *h, int channel)
{
    char memory[1024];
    int fds[PREDECESSORS_MAX];
    struct text t = text_over(memory, sizeof(memory));
    text_printf(&t, "go %d", (int)getpid());
    for (uint32_t i = 0; i < h->link_count; i++) {
        fds[i] = h->links[i]->io.fd;
        text_printf(&t, " %llu", (unsigned long long)h->links[i]->said.pid);
    }
    (void)pass_send(channel, (struct slice){ t.data, t.len }, fds, h->link_count);
    while (h->link_count) drop(h->links[0]);
}

void heritage_say_left(int channel, const struct drain_left *left)
{
    char memory[128];
    struct text t = text_over(memory, sizeof(memory));
    text_printf(&t, "left %u %u %u %llu %llu", left->exchanges, left->tunnels, left->client_connections,
                (unsigned long long)left->since_ms, (unsigned long long)left->left_ms);
    (void)pass_send(channel, (struct slice){ t.data, t.len }, NULL, 0);
}

void heritage_close(struct heritage *h)
{
    while (h->link_count) drop(h->links[0]);
    heritage_close_rest(h);
    free(h->unused);
    h->unused = NULL;
    h->unused_count = 0;
    if (h->channel >= 0) close(h->channel);
    h->channel = -1;
}
