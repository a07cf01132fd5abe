#include "observe/process_root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int process_root_open(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* A place, not yet a file: opening it (O_PATH) does nothing to what is there. */
static int find_below(int root, const char *path)
{
    struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC };
    if (root == AT_FDCWD) return open(path, O_PATH | O_CLOEXEC);
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

int process_root_file(int root, const char *path, struct stat *st)
{
    char place[64];
    int at = find_below(root, path), fd = -1;
    if (at < 0) return -1;
    if (fstat(at, st) == 0 && S_ISREG(st->st_mode)) {
        snprintf(place, sizeof(place), "/proc/self/fd/%d", at);
        fd = open(place, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } else {
        errno = ENXIO;
    }
    int cause = errno;
    close(at);
    errno = cause;
    return fd;
}
