#include "logs/source_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logs/syslog.h"

#define PIECE_BYTES (256u << 10)
#define RECEIVE_BYTES (8 << 20) /* of the socket: a second of bursts */

struct source_input {
    struct loop *loop;
    struct loop_fd io;
    struct loop_task more;
    struct timer look; /* for what epoll cannot watch: a regular file as standard input */
    struct loop_grave grave;
    struct intake *intake;
    void (*before)(void *context, struct intake *intake);
    void *context;
    bool is_syslog;
    struct address address;
    struct source_input_counts counts;
    uint32_t overflow_seen;
    char *memory; /* PIECE_BYTES and what must follow */
};

/* How much was left undone: */
enum progress { IDLE, BUSY, ENDED };

static void feed(struct source_input *in, struct slice piece)
{
    if (in->before) in->before(in->context, in->intake);
    intake_feed(in->intake, piece);
}

/* datagrams */

static void see_overflow(struct source_input *in, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        uint32_t total;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL) continue;
        memcpy(&total, CMSG_DATA(c), sizeof(total));
        in->counts.dropped += total - in->overflow_seen;
        in->overflow_seen = total;
    }
}

/* Each is a record: its end is where a line's would be. */
static void take_datagram(struct source_input *in, size_t len)
{
    struct slice message;
    in->counts.datagrams++;
    in->counts.bytes += len;
    if (!syslog_message((struct slice){ in->memory, len }, &message)) {
        in->counts.foreign++;
        return;
    }
    char *end = in->memory + (message.data - in->memory) + message.len;
    *end = '\n';
    feed(in, (struct slice){ message.data, message.len + 1 });
}

static enum progress read_datagrams(struct source_input *in)
{
    for (size_t read = 0; read < SOURCE_INPUT_TURN_BYTES;) {
        char control[CMSG_SPACE(sizeof(uint32_t))];
        struct iovec v = { in->memory, SYSLOG_DATAGRAM_MAX };
        struct msghdr m = {
            .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        ssize_t n = recvmsg(in->io.fd, &m, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return IDLE;
        see_overflow(in, &m);
        take_datagram(in, (size_t)n);
        read += (size_t)n + 1;
    }
    return BUSY;
}

/* standard input */

static enum progress read_stream(struct source_input *in)
{
    for (size_t taken = 0; taken < SOURCE_INPUT_TURN_BYTES;) {
        ssize_t n = read(in->io.fd, in->memory, PIECE_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return IDLE;
        if (n == 0) return ENDED;
        in->counts.bytes += (uint64_t)n;
        feed(in, (struct slice){ in->memory, (size_t)n });
        taken += (size_t)n;
    }
    return BUSY;
}

static void go_on(struct source_input *in)
{
    switch (in->is_syslog ? read_datagrams(in) : read_stream(in)) {
    case BUSY: loop_defer(in->loop, &in->more); break;
    case ENDED:
        if (in->before) in->before(in->context, in->intake);
        intake_end(in->intake);
        in->counts.is_ended = true;
        loop_fd_close(in->loop, &in->io);
        break;
    case IDLE: break;
    }
}

static void on_input(struct loop_fd *f, uint32_t events)
{
    (void)events;
    go_on(container_of(f, struct source_input, io));
}

static void on_more(struct loop_task *t)
{
    go_on(container_of(t, struct source_input, more));
}

/* opening */

/* A socket's file that nobody listens at any more is in the way. */
static void remove_stale(const struct address *address)
{
    struct stat st;
    const char *path = address->sa.un.sun_path;
    if (address->sa.any.sa_family != AF_UNIX || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode)) return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    if (connect(fd, &address->sa.any, address->len) < 0 && errno == ECONNREFUSED) unlink(path);
    close(fd);
}

static int set_up_socket(int fd, const struct address *a, struct err *err)
{
    char text[ADDRESS_TEXT_MAX];
    int on = 1, size = RECEIVE_BYTES, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (a->sa.any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, &a->sa.any, a->len) == 0) return 0;
    return err_set(err, "cannot listen for syslog at %s: %s", address_print(a, text), strerror(errno));
}

int source_input_bind(const struct address *address, struct err *err)
{
    remove_stale(address);
    int fd = socket(address->sa.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return err_set(err, "cannot open a datagram socket: %s", strerror(errno));
    if (set_up_socket(fd, address, err) < 0) { /* the file, if there is one, is another's */
        close(fd);
        return -1;
    }
    /* nginx's workers run as another user. */
    if (address->sa.any.sa_family == AF_UNIX && chmod(address->sa.un.sun_path, 0666) < 0) {
        err_set(err, "cannot set the mode of %s: %s", address->sa.un.sun_path, strerror(errno));
        source_input_unbind(address, fd);
        return -1;
    }
    return fd;
}

/* Before its socket is closed: afterwards the path may be that of a socket which another thread has bound meanwhile. */
static void remove_file(const struct address *address)
{
    if (address->sa.any.sa_family == AF_UNIX) unlink(address->sa.un.sun_path);
}

void source_input_unbind(const struct address *address, int fd)
{
    remove_file(address);
    close(fd);
}

static int open_socket(struct source_input *in, int fd, struct err *err)
{
    in->io.fd = fd >= 0 ? fd : source_input_bind(&in->address, err);
    if (in->io.fd < 0) in->address.len = 0; /* it is another's */
    return in->io.fd < 0 ? -1 : 0;
}

static int open_stdin(struct source_input *in, struct err *err)
{
    in->io.fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
    if (in->io.fd < 0) return err_set(err, "there is no standard input: %s", strerror(errno));
    int flags = fcntl(in->io.fd, F_GETFL);
    if (flags < 0 || fcntl(in->io.fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_set(err, "cannot read standard input: %s", strerror(errno));
    return 0;
}

static void on_look(struct timer *t)
{
    go_on(container_of(t, struct source_input, look));
}

static int watch_input(struct source_input *in, struct err *err)
{
    if (loop_fd_register(in->loop, &in->io, EPOLLIN) == 0) return 0;
    if (in->is_syslog || errno != EPERM) return err_set(err, "cannot watch its input: %s", strerror(errno));
    loop_arm(in->loop, &in->look, 1); /* a regular file: it is read to its end, turn by turn */
    return 0;
}

int source_input_open(struct source_input **out, struct loop *l, const struct address *address, int fd,
                      struct intake *intake, struct err *err)
{
    struct source_input *in = calloc(1, sizeof(*in));
    if (!in) {
        if (fd >= 0) source_input_unbind(address, fd);
        return err_set(err, "out of memory for a log's input");
    }
    in->loop = l;
    in->intake = intake;
    in->is_syslog = address != NULL;
    in->io = (struct loop_fd){ .fd = -1, .on_ready = on_input };
    if (address) in->address = *address;
    loop_task_init(&in->more, on_more);
    timer_init(&in->look, on_look);
    in->memory = malloc(PIECE_BYTES + INTAKE_SLACK);
    int result = address ? open_socket(in, fd, err) : open_stdin(in, err);
    if (result == 0 && !in->memory) result = err_set(err, "out of memory for a log's input");
    if (result == 0) result = watch_input(in, err);
    if (result < 0) {
        source_input_close(in);
        return -1;
    }
    *out = in;
    return 0;
}

static void bury_input(struct loop_grave *g)
{
    struct source_input *in = container_of(g, struct source_input, grave);
    free(in->memory);
    free(in);
}

void source_input_close(struct source_input *in)
{
    if (!in) return;
    loop_cancel(&in->more);
    loop_disarm(in->loop, &in->look);
    if (in->is_syslog && in->address.len) remove_file(&in->address);
    if (in->io.fd >= 0) loop_fd_close(in->loop, &in->io);
    loop_bury(in->loop, &in->grave, bury_input);
}

struct source_input_counts source_input_counts(const struct source_input *in)
{
    return in->counts;
}

void source_input_use(struct source_input *in, struct intake *intake)
{
    in->intake = intake;
}

void source_input_before_feed(struct source_input *in, void (*before)(void *context, struct intake *intake),
                              void *context)
{
    in->before = before;
    in->context = context;
}
