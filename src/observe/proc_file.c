#include "observe/proc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int read_descriptor(int fd, char *memory, size_t cap, size_t *len)
{
    *len = 0;
    while (*len < cap) {
        ssize_t n = read(fd, memory + *len, cap - *len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return 0;
        *len += (size_t)n;
    }
    return 0;
}

int proc_file_load(int directory, const char *path, char *memory, size_t cap, struct slice *out)
{
    size_t len = 0;
    *out = SLICE_NONE;
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return errno;
    int error = read_descriptor(fd, memory, cap, &len);
    close(fd);
    if (!error) *out = (struct slice){ memory, len };
    return error;
}
