#include "command/demo_traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/signal_stack.h"

#define PAUSE_MS 45
/* weir is ready by then; and if its port is another program's, that one is not bothered. */
#define FIRST_PAUSE_MS 1500
#define PATIENCE_S 3
#define USERS 40u

struct demo_traffic {
    pthread_t thread;
    int stop; /* an eventfd */
    uint16_t port;
    struct rng rng;
};

static bool is_over(const struct demo_traffic *t, int wait_ms)
{
    struct pollfd p = { .fd = t->stop, .events = POLLIN };
    return poll(&p, 1, wait_ms) > 0;
}

static void ask(int fd, const char *path, uint32_t user)
{
    char text[1024];
    int len = snprintf(text, sizeof(text),
                       "GET %s HTTP/1.1\r\nHost: demo.example\r\nUser-Agent: weir-demo\r\nX-User-Id: %u\r\n"
                       "Connection: close\r\n\r\n",
                       path, user);
    if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len) return;
    while (recv(fd, text, sizeof(text), 0) > 0) {}
}

/* What is answered does not matter here: it is seen on the dashboard. */
static void ask_once(struct demo_traffic *t)
{
    static const char *const paths[] = {
        "/", "/shop/cart", "/shop/books", "/news", "/shop/checkout", "/about"
    };
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(t->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = PATIENCE_S };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        ask(fd, paths[rng_below(&t->rng, sizeof(paths) / sizeof(*paths))], rng_below(&t->rng, USERS));
    close(fd);
}

static void *run(void *argument)
{
    struct demo_traffic *t = argument;
    int wait_ms = FIRST_PAUSE_MS;
    pthread_setname_np(pthread_self(), "weir-traffic");
    for (; !is_over(t, wait_ms); wait_ms = PAUSE_MS) ask_once(t);
    return NULL;
}

int demo_traffic_start(struct demo_traffic **out, uint16_t port, struct err *err)
{
    struct demo_traffic *t = calloc(1, sizeof(*t));
    if (!t) return err_set(err, "out of memory for the demo's traffic");
    t->port = port;
    rng_seed(&t->rng, port);
    t->stop = eventfd(0, EFD_CLOEXEC);
    if (t->stop < 0) {
        free(t);
        return err_set(err, "the demo's traffic: %s", strerror(errno));
    }
    sigset_t before;
    signal_block_all_but_faults(&before);
    int failed = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        close(t->stop);
        free(t);
        return err_set(err, "cannot start the demo's traffic: %s", strerror(failed));
    }
    *out = t;
    return 0;
}

void demo_traffic_stop(struct demo_traffic *t)
{
    if (!t) return;
    eventfd_write(t->stop, 1);
    pthread_join(t->thread, NULL);
    close(t->stop);
    free(t);
}
