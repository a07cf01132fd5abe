/* Docker's API on its unix socket, asked for the containers that have a label. It is asked anew every two seconds: its stream of
 * events would say no more, and could be missed. HTTP/1.0, so that the answer is whole when the connection ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "discovery/docker_list.h"
#include "discovery/sources.h"
#include "net/jobs.h"

#define POLL_MS 2000u
#define ANSWER_MS 5000u
#define SOCKET_PATH "/var/run/docker.sock"

struct reading;

struct docker {
    struct source source; /* first */
    struct loop_fd io;
    struct timer timer; /* until when the answer must be whole */
    char *text;         /* of the answer, as far as it has come */
    size_t len, room;
    bool is_sent, is_closed;
    struct reading *reading; /* NULL: none is being read */
    struct loop_grave grave;
    uint32_t left_out; /* of the last list: what was said */
};

/* The answer is there: what stands in it, on the jobs' thread. */
struct reading {
    struct job job; /* first */
    struct docker *docker;
    char *text;
    size_t len;
    int result;
    struct err err;
    struct docker_list list;
};

static void hang_up(struct docker *d)
{
    loop_disarm(sources_options_of(d->source.all)->loop, &d->timer);
    loop_fd_close(sources_options_of(d->source.all)->loop, &d->io);
    free(d->text);
    d->text = NULL;
    d->len = d->room = 0;
}

static void refuse(struct docker *d, const char *reason)
{
    const struct source_answer a = { .result = SOURCE_FAILED, .reason = reason };
    hang_up(d);
    source_answered(&d->source, &a);
}

static void refuse_errno(struct docker *d, const char *what, int error)
{
    char text[SOURCE_REASON_MAX];
    snprintf(text, sizeof(text), "%s: %s", what, strerror(error));
    refuse(d, text);
}

static void bury(struct loop_grave *g)
{
    free(container_of(g, struct docker, grave));
}

/* What came for its socket may be told in this turn still. */
static void free_docker(struct docker *d)
{
    loop_bury(sources_options_of(d->source.all)->loop, &d->grave, bury);
}

/* the answer */

static void run(struct job *job)
{
    struct reading *r = (struct reading *)job;
    r->result = docker_list_read((struct slice){ r->text, r->len }, &r->list, &r->err);
}

/* Once, until there are others. */
static void say_left_out(struct docker *d, const struct docker_list *list)
{
    char place[SOURCE_QUOTED_MAX], why[200];
    if (list->left_out && list->left_out != d->left_out)
        log_event(LOG_WARN, "source_skips", "source=%s containers=%u one=%s reason=%s",
                  source_quote(&d->source, place), list->left_out, list->left_out_name,
                  log_quote(list->left_out_why, why, sizeof(why)));
    d->left_out = list->left_out;
}

static void done(struct job *job)
{
    struct reading *r = (struct reading *)job;
    struct docker *d = r->docker;
    d->reading = NULL;
    bool has_list = job_has_run(job) && r->result == 0;
    struct source_answer a = { .result = !has_list       ? SOURCE_FAILED
                                         : r->list.count ? SOURCE_FOUND
                                                         : SOURCE_EMPTY,
                               .reason = has_list           ? "no container with that label is ready"
                                         : job_has_run(job) ? r->err.text
                                                            : SOURCE_NO_WORK,
                               .holds_ms = POLL_MS,
                               .found = r->list.found,
                               .count = r->list.count };
    if (d->is_closed) {
        free_docker(d);
    } else {
        if (has_list) say_left_out(d, &r->list);
        source_answered(&d->source, &a);
    }
    free(r->text);
    free(r);
}

static void read_answer(struct docker *d)
{
    struct reading *r = calloc(1, sizeof(*r));
    if (!r) {
        refuse(d, "there is no memory to read the answer");
        return;
    }
    r->job = (struct job){ .run = run, .done = done };
    r->docker = d;
    r->text = d->text;
    r->len = d->len;
    d->text = NULL;
    d->reading = r;
    hang_up(d);
    source_work(&d->source, &r->job);
}

static bool make_room(struct docker *d)
{
    if (d->len < d->room) return true;
    size_t room = d->room ? 2 * d->room : 16384;
    if (room > DOCKER_LIST_BYTES_MAX) return false;
    char *text = realloc(d->text, room);
    if (!text) return false;
    d->text = text;
    d->room = room;
    return true;
}

static void on_readable(struct docker *d)
{
    for (;;) {
        if (!make_room(d)) {
            refuse(d, "the answer has more than 4 MiB, or there is no memory for it");
            return;
        }
        ssize_t got = recv(d->io.fd, d->text + d->len, d->room - d->len, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got < 0) {
            refuse_errno(d, "Docker's socket cannot be read", errno);
            return;
        }
        if (got == 0) {
            read_answer(d);
            return;
        }
        d->len += (size_t)got;
    }
}

/* the question */

/* "app=web" of "app=web@/run/podman/podman.sock" */
static struct slice label_of(const struct docker *d, struct slice *path)
{
    struct slice name = d->source.place.name;
    const char *at = memchr(name.data, '@', name.len);
    *path = SLICE(SOCKET_PATH);
    if (!at) return name;
    *path = (struct slice){ at + 1, name.len - (size_t)(at + 1 - name.data) };
    return (struct slice){ name.data, (size_t)(at - name.data) };
}

/* Of letters, digits and a few signs, none of which means anything in JSON. */
static void print_question(struct slice label, struct text *out)
{
    TEXT_LITERAL(out, "GET /containers/json?filters=%7B%22label%22%3A%5B%22");
    for (size_t i = 0; i < label.len; i++) {
        char c = label.data[i];
        if (c == '=' || c == '/')
            text_printf(out, "%%%02X", (unsigned)c);
        else
            text_add_char(out, c);
    }
    TEXT_LITERAL(out, "%22%5D%7D HTTP/1.0\r\nHost: docker\r\n\r\n");
}

/* It is small, and the socket is empty: it goes as a whole or not at all. */
static void send_question(struct docker *d)
{
    char bytes[512];
    struct slice path;
    struct text t = text_over(bytes, sizeof(bytes));
    print_question(label_of(d, &path), &t);
    d->is_sent = true;
    if (send(d->io.fd, bytes, t.len, MSG_NOSIGNAL) != (ssize_t)t.len)
        refuse_errno(d, "Docker's socket takes no question", errno);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    struct docker *d = container_of(f, struct docker, io);
    if (!d->is_sent) send_question(d);
    if (d->io.fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) on_readable(d);
}

static void on_timer(struct timer *t)
{
    refuse(container_of(t, struct docker, timer), "Docker has not answered in time");
}

static void ask(struct source *s)
{
    struct docker *d = (struct docker *)s;
    struct loop *loop = sources_options_of(s->all)->loop;
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct slice path;
    label_of(d, &path);
    memcpy(un.sun_path, path.data, path.len);
    d->is_sent = false;
    d->io = (struct loop_fd){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                              .on_ready = on_ready };
    loop_arm(loop, &d->timer, ANSWER_MS);
    if (d->io.fd < 0 || connect(d->io.fd, (const struct sockaddr *)&un, sizeof(un)) < 0 ||
        loop_fd_register(loop, &d->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP) < 0)
        refuse_errno(d, "Docker's socket cannot be reached", errno);
}

static struct source *open_source(void)
{
    struct docker *d = calloc(1, sizeof(*d));
    if (!d) return NULL;
    d->io.fd = -1;
    timer_init(&d->timer, on_timer);
    return &d->source;
}

static void close_source(struct source *s)
{
    struct docker *d = (struct docker *)s;
    hang_up(d);
    d->is_closed = true;
    if (!d->reading) free_docker(d);
}

const struct source_kind source_docker = { open_source, ask, close_source };
