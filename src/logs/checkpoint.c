#include "logs/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_checkpoint(const char *what, const char *path, struct err *err)
{
    return err_set(err, "cannot %s %s: %s", what, path, strerror(errno));
}

static int write_checkpoint(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        bytes.data += n;
        bytes.len -= (size_t)n;
    }
    return 0;
}

static int write_file(const char *path, struct slice bytes, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return fail_checkpoint("create", path, err);
    int result = write_checkpoint(fd, bytes) < 0 || fsync(fd) < 0 ? fail_checkpoint("write", path, err) : 0;
    if (close(fd) < 0 && result == 0) result = fail_checkpoint("write", path, err);
    return result;
}

/* Without it, the rename may be undone when the machine stops. */
static int sync_directory_of(const char *path, struct err *err)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) + 1 : 1;
    memcpy(directory, slash ? path : ".", len);
    directory[len] = 0;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_checkpoint("open", directory, err);
    int result = fsync(fd) < 0 ? fail_checkpoint("sync", directory, err) : 0;
    close(fd);
    return result;
}

int checkpoint_write(const char *path, struct slice bytes, struct err *err)
{
    char temporary[PATH_MAX];
    int len = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (len < 0 || len >= PATH_MAX) return err_set(err, "the path of a checkpoint is too long: %s", path);
    if (write_file(temporary, bytes, err) < 0) {
        unlink(temporary);
        return -1;
    }
    if (rename(temporary, path) < 0) {
        fail_checkpoint("put in place", path, err);
        unlink(temporary);
        return -1;
    }
    return sync_directory_of(path, err);
}

static ssize_t read_checkpoint(int fd, char *out, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, out + len, size - len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int read_file(int fd, const char *path, size_t max, char **out, size_t *len, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0) return fail_checkpoint("read", path, err);
    if (!S_ISREG(st.st_mode)) return err_set(err, "%s is no regular file", path);
    if ((uint64_t)st.st_size > max) return err_set(err, "%s has more than %zu bytes", path, max);
    size_t size = (size_t)st.st_size;
    char *memory = malloc(size + 1);
    if (!memory) return err_set(err, "out of memory for %s", path);
    ssize_t n = read_checkpoint(fd, memory, size);
    if (n < 0) {
        free(memory);
        return fail_checkpoint("read", path, err);
    }
    memory[n] = 0;
    *out = memory;
    *len = (size_t)n;
    return 0;
}

int checkpoint_read(const char *path, size_t max, char **out, size_t *len, struct err *err)
{
    *out = NULL;
    *len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return errno == ENOENT ? 0 : fail_checkpoint("open", path, err);
    int result = read_file(fd, path, max, out, len, err);
    close(fd);
    return result;
}
