#include "record/access_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* poll() promises room for this much in a pipe. */
#define PIPE_CHUNK 4096u

int access_file_open(struct access_file *f, struct err *err)
{
    if (f->path) {
        /* O_NONBLOCK: a FIFO that nobody reads is an error, not a wait. */
        int fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
        if (fd < 0)
            return err_set(err, "access_log: cannot open %s: %s; check the directory and its permissions",
                           f->path, strerror(errno));
        f->fd = fd;
        return 0;
    }
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) < 0) return err_set(err, "access_log: standard output is closed");
    f->is_socket = S_ISSOCK(st.st_mode);
    /* O_NONBLOCK on the descriptor itself would reach everyone who shares it. */
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        f->fd = open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        f->is_pipe = f->fd < 0;
        if (f->fd >= 0) return 0;
    }
    f->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return f->fd < 0 ? err_set(err, "access_log: standard output: %s", strerror(errno)) : 0;
}

int access_file_init(struct access_file *f, const char *path, struct err *err)
{
    *f = (struct access_file){ .fd = -1 };
    if (strcmp(path, "-") != 0 && !(f->path = strdup(path))) return err_set(err, "access_log: no memory");
    return access_file_open(f, err);
}

void access_file_fini(struct access_file *f)
{
    if (f->fd >= 0) close(f->fd);
    free(f->path);
}

ssize_t access_file_write(const struct access_file *f, struct iovec *iov, uint32_t count)
{
    if (f->is_socket) {
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = count };
        return sendmsg(f->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (f->is_pipe) {
        struct pollfd p = { .fd = f->fd, .events = POLLOUT };
        if (poll(&p, 1, 0) <= 0) {
            errno = EAGAIN;
            return -1;
        }
        count = 1;
        if (iov->iov_len > PIPE_CHUNK) iov->iov_len = PIPE_CHUNK;
    }
    return writev(f->fd, iov, (int)count);
}
