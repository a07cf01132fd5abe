#include "tls/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20)
/* Longer than a tick of any kernel. */
#define FRESH_NS (INT64_C(20) * 1000000)

static int64_t ns_of(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct file_stamp stamp_of(const struct stat *st)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t changed_ns = ns_of(st->st_ctim);
    return (struct file_stamp){ .device = st->st_dev,
                                .inode = st->st_ino,
                                .bytes = st->st_size,
                                .modified_ns = ns_of(st->st_mtim),
                                .changed_ns = changed_ns,
                                .is_fresh = ns_of(now) - changed_ns < FRESH_NS };
}

struct file_stamp file_stamp_take(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? (struct file_stamp){ 0 } : stamp_of(&st);
}

bool file_stamp_is_same(const struct file_stamp *read, const struct file_stamp *now)
{
    return !read->is_fresh && read->device == now->device && read->inode == now->inode &&
           read->bytes == now->bytes && read->modified_ns == now->modified_ns &&
           read->changed_ns == now->changed_ns;
}

static ssize_t read_all(struct small_file *f, int fd)
{
    ssize_t got = 1;
    while (got > 0 && f->len <= FILE_MAX) {
        got = read(fd, f->text + f->len, FILE_MAX + 1 - f->len);
        if (got > 0) f->len += (size_t)got;
    }
    return got;
}

int small_file_read(struct small_file *f, const char *path, struct file_stamp *stamp, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *f = (struct small_file){ 0 };
    *stamp = file_stamp_take(path);
    if (fd < 0) {
        const char *remedy = errno == EACCES ? "; let the user that weir runs as read it" : "";
        return err_set(err, "cannot open %s: %s%s", path, strerror(errno), remedy);
    }
    /* What is read may be younger than what it is taken for, never older. */
    bool is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (is_file) *stamp = stamp_of(&st);
    if (is_file) f->text = malloc(FILE_MAX + 1);
    ssize_t got = f->text ? read_all(f, fd) : -1;
    bool is_short = is_file && !f->text, is_long = f->len > FILE_MAX;
    close(fd);
    if (got == 0 && !is_long) return 0;
    small_file_wipe(f);
    if (!is_file) return err_set(err, "%s is no file", path);
    if (is_short) return err_set(err, "there is no memory to read %s", path);
    if (is_long) return err_set(err, "%s has more than 1 MiB, more than such a file has", path);
    return err_set(err, "cannot read %s", path);
}

void small_file_wipe(struct small_file *f)
{
    if (f->text) explicit_bzero(f->text, f->len);
    free(f->text);
    *f = (struct small_file){ 0 };
}
