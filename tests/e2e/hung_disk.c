/* Preloaded into weir: once a file is there (WEIR_HANG), the thread of a name (WEIR_HANG_THREAD) never comes back from what it asks of a
 * file or a host, as where a disk or a mount is gone. That it has gone there is said by a second file, of that name with ".hung". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* A thread has its name a moment after it has begun. */
#define NAMED_WITHIN_MS 1000

static int is_of_name(void)
{
    char name[16] = "";
    const char *wanted = getenv("WEIR_HANG_THREAD");
    for (int i = 0; i < NAMED_WITHIN_MS; i++) {
        prctl(PR_GET_NAME, name);
        if (strcmp(name, "weir") != 0 || syscall(SYS_gettid) == getpid()) break;
        poll(NULL, 0, 1);
    }
    return wanted && strcmp(name, wanted) == 0;
}

static void hang_if_so(void)
{
    char said[4096];
    const char *path = getenv("WEIR_HANG");
    if (!path || access(path, F_OK) < 0 || !is_of_name()) return;
    snprintf(said, sizeof(said), "%s.hung", path);
    close((int)syscall(SYS_openat, AT_FDCWD, said, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    for (;;) poll(NULL, 0, -1);
}

int open(const char *path, int flags, ...)
{
    static int (*real)(const char *path, int flags, ...);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    hang_if_so();
    return real(path, flags, mode);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    static ssize_t (*real)(int fd, const struct iovec *parts, int count);
    if (!real) real = (ssize_t(*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    hang_if_so();
    return real(fd, parts, count);
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
    static int (*real)(int fd, const struct sockaddr *to, socklen_t len);
    if (!real) real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    hang_if_so();
    return real(fd, to, len);
}
