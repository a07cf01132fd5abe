#include "conf/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX SLICE("file:")
#define SECRET_BYTES_MAX ((size_t)64 << 10)

bool secret_file_is_named(struct slice text)
{
    return slice_starts_with(text, PREFIX);
}

/* All of it, and whether there is more than fits; -1 with errno. */
static ssize_t read_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < size) {
        got = read(fd, out + len, size - len);
        if (got > 0) len += (size_t)got;
    }
    return got < 0 ? -1 : (ssize_t)len;
}

static const char *take(struct slice text, const char *path, struct conf_arena *arena, struct err *err)
{
    if (text.len && text.data[text.len - 1] == '\n') text.len--;
    if (text.len && text.data[text.len - 1] == '\r') text.len--;
    if (!text.len || memchr(text.data, 0, text.len)) {
        err_set(err, "%s %s", path, text.len ? "has a zero byte, and is no text" : "is empty");
        return NULL;
    }
    return conf_arena_copy_secret(arena, text);
}

static const char *read_secret(int fd, const char *path, struct conf_arena *arena, struct err *err)
{
    struct stat st;
    char bytes[SECRET_BYTES_MAX + 1];
    const char *secret = NULL;
    ssize_t len = fstat(fd, &st) < 0 ? -1 : 0;
    bool is_file = len == 0 && S_ISREG(st.st_mode);
    if (is_file) len = read_all(fd, bytes, sizeof(bytes));
    if (len < 0)
        err_set(err, "cannot read %s: %s", path, strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
    else if (!is_file)
        err_set(err, "%s is no file", path);
    else if ((size_t)len > SECRET_BYTES_MAX)
        err_set(err, "%s has more than %zu KiB, and no secret may", path, SECRET_BYTES_MAX >> 10);
    else
        secret = take((struct slice){ bytes, (size_t)len }, path, arena, err);
    explicit_bzero(bytes, sizeof(bytes));
    return secret;
}

const char *secret_file_read(struct slice text, struct conf_arena *arena, struct err *err)
{
    char path[PATH_MAX];
    struct slice name = { text.data + PREFIX.len, text.len - PREFIX.len };
    if (!name.len || *name.data != '/' || name.len >= sizeof(path)) {
        err_set(err, "\"%.*s\" does not name a file from the root on; write file:/run/secrets/name",
                text.len > 128 ? 128 : (int)text.len, text.data);
        return NULL;
    }
    memcpy(path, name.data, name.len);
    path[name.len] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        err_set(err, "cannot open %s: %s", path, strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
        return NULL;
    }
    const char *secret = read_secret(fd, path, arena, err);
    close(fd);
    return secret;
}
