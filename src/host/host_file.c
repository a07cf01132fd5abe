#include "host/host_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* More entries of a directory than this are not looked at. */
#define ENTRIES_MAX 65536u

static int join(const char *root, const char *path, char out[HOST_PATH_MAX])
{
    int len = snprintf(out, HOST_PATH_MAX, "%s%s", root, path);
    if (len >= 0 && (uint32_t)len < HOST_PATH_MAX) return 0;
    errno = ENAMETOOLONG;
    return -1;
}

void host_path(char out[HOST_PATH_MAX], const char *directory, const char *name, const char *leaf)
{
    struct text t = text_over(out, HOST_PATH_MAX);
    text_add_slice(&t, slice_of(directory));
    text_add_char(&t, '/');
    text_add_slice(&t, slice_of(name));
    if (leaf) {
        text_add_char(&t, '/');
        text_add_slice(&t, slice_of(leaf));
    }
    text_cstr(&t);
}

static int open_regular(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) return fd;
    close(fd);
    errno = EINVAL;
    return -1;
}

static ssize_t read_descriptor(int fd, char *out, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t got = read(fd, out + len, size - len);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

int host_read(const char *root, const char *path, char *out, size_t size)
{
    char whole[HOST_PATH_MAX];
    out[0] = 0;
    if (join(root, path, whole) < 0) return -1;
    int fd = open_regular(whole);
    if (fd < 0) return -1;
    ssize_t len = read_descriptor(fd, out, size - 1);
    int reason = errno;
    close(fd);
    errno = reason;
    if (len < 0) return -1;
    for (ssize_t i = 0; i < len; i++)
        if (!out[i]) out[i] = ' ';
    while (len && (out[len - 1] == '\n' || out[len - 1] == ' ')) len--;
    out[len] = 0;
    return (int)len;
}

/* strtoull() takes a sign, which no fact here has. */
static bool take_number(const char **at, uint64_t *out)
{
    const char *text = *at + strspn(*at, " \t");
    if (!isdigit((unsigned char)*text)) return false;
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    *at = end;
    return errno == 0;
}

int host_read_numbers(const char *root, const char *path, uint64_t *out, uint32_t count)
{
    char text[512];
    const char *at = text;
    uint32_t found = 0;
    if (host_read(root, path, text, sizeof(text)) < 0) return -1;
    while (found < count && take_number(&at, &out[found])) found++;
    if (found) return (int)found;
    errno = EINVAL;
    return -1;
}

bool host_exists(const char *root, const char *path)
{
    char whole[HOST_PATH_MAX];
    return join(root, path, whole) == 0 && access(whole, F_OK) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct host_entry *)a)->name, ((const struct host_entry *)b)->name);
}

int host_names(const char *root, const char *path, bool (*accept)(const char *name), struct host_entry *out,
               uint32_t max)
{
    char whole[HOST_PATH_MAX];
    uint32_t count = 0, seen = 0;
    if (join(root, path, whole) < 0) return -1;
    DIR *dir = opendir(whole);
    if (!dir) return -1;
    for (struct dirent *e = readdir(dir); e && count < max && seen < ENTRIES_MAX; e = readdir(dir), seen++) {
        size_t len = strlen(e->d_name);
        if (e->d_name[0] == '.' || len >= HOST_ENTRY_MAX || !accept(e->d_name)) continue;
        memcpy(out[count++].name, e->d_name, len + 1);
    }
    closedir(dir);
    qsort(out, count, sizeof(*out), by_name);
    return (int)count;
}

const char *host_value(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) != 0 || !strchr(": \t", line[len]) || !line[len]) continue;
        return line + len + strspn(line + len, ": \t");
    }
    return NULL;
}

bool host_value_u64(const char *text, const char *key, uint64_t *out)
{
    const char *value = host_value(text, key);
    return value && take_number(&value, out);
}
