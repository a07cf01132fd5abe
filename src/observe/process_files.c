#include "observe/process_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/proc_text.h"

const char *const file_kind_names[FILE_KIND_COUNT] = {
    [FILE_SOCKET] = "socket",
    [FILE_PIPE] = "pipe",
    [FILE_EVENTPOLL] = "eventpoll",
    [FILE_EVENTFD] = "eventfd",
    [FILE_TIMERFD] = "timerfd",
    [FILE_SIGNALFD] = "signalfd",
    [FILE_INOTIFY] = "inotify",
    [FILE_PIDFD] = "pidfd",
    [FILE_PERF_EVENT] = "perf_event",
    [FILE_IO_URING] = "io_uring",
    [FILE_OTHER_ANONYMOUS] = "other anonymous",
    [FILE_MEMFD] = "memfd",
    [FILE_DEVICE] = "device",
    [FILE_DELETED] = "deleted file",
    [FILE_DIRECTORY] = "directory",
    [FILE_NAMED] = "file",
};

/* The first that fits. The kernel writes some names of anonymous inodes in brackets and some without. */
static const struct {
    const char *prefix;
    enum file_kind kind;
} prefixes[] = {
    { "socket:[", FILE_SOCKET },
    { "pipe:[", FILE_PIPE },
    { "anon_inode:[eventpoll]", FILE_EVENTPOLL },
    { "anon_inode:[eventfd", FILE_EVENTFD },
    { "anon_inode:[timerfd]", FILE_TIMERFD },
    { "anon_inode:[signalfd]", FILE_SIGNALFD },
    { "anon_inode:inotify", FILE_INOTIFY },
    { "anon_inode:[fanotify]", FILE_INOTIFY },
    { "anon_inode:[pidfd]", FILE_PIDFD },
    { "pidfd:[", FILE_PIDFD },
    { "anon_inode:[perf_event]", FILE_PERF_EVENT },
    { "anon_inode:[io_uring]", FILE_IO_URING },
    { "anon_inode:", FILE_OTHER_ANONYMOUS },
    { "/memfd:", FILE_MEMFD },
};

static bool ends_with(struct slice s, struct slice end)
{
    return s.len >= end.len && memcmp(s.data + s.len - end.len, end.data, end.len) == 0;
}

static uint64_t inode_of(struct slice target)
{
    struct slice rest = { target.data + strlen("socket:["), target.len - strlen("socket:[") };
    uint64_t inode;
    return proc_take_u64(&rest, &inode) && slice_equal(rest, SLICE("]")) ? inode : 0;
}

enum file_kind process_file_kind(struct slice target, uint64_t *inode)
{
    *inode = 0;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
        if (!slice_starts_with(target, slice_of(prefixes[i].prefix))) continue;
        if (prefixes[i].kind == FILE_SOCKET) *inode = inode_of(target);
        return prefixes[i].kind;
    }
    if (ends_with(target, SLICE(" (deleted)"))) return FILE_DELETED;
    if (slice_starts_with(target, SLICE("/dev/")) && !slice_starts_with(target, SLICE("/dev/shm/")))
        return FILE_DEVICE;
    return FILE_NAMED;
}

void process_files_init(struct process_files *f)
{
    *f = (struct process_files){ 0 };
}

void process_files_fini(struct process_files *f)
{
    free(f->sockets);
    process_files_init(f);
}

/* Without room the socket is counted all the same. */
static void keep_socket(struct process_files *f, uint64_t inode)
{
    if (f->socket_count == f->socket_cap) {
        uint32_t cap = f->socket_cap ? f->socket_cap * 2 : 64;
        uint64_t *sockets = realloc(f->sockets, cap * sizeof(*sockets));
        if (!sockets) return;
        f->sockets = sockets;
        f->socket_cap = cap;
    }
    f->sockets[f->socket_count++] = inode;
}

static bool is_directory(int fd_directory, const char *name)
{
    struct statx status; /* without asking a file server, which may not answer */
    return statx(fd_directory, name, AT_STATX_DONT_SYNC, STATX_TYPE, &status) == 0 &&
           S_ISDIR(status.stx_mode);
}

static void look_at_descriptor(struct process_reader *r, struct process_files *f, int fd_directory,
                               const char *name)
{
    char target[4096];
    uint64_t inode;
    ssize_t len = readlinkat(fd_directory, name, target, sizeof(target));
    if (len < 0 && errno == ENOENT) return; /* closed meanwhile */
    f->total++;
    if (len < 0) {
        process_reader_note(r, "open descriptors by kind", errno);
        return;
    }
    enum file_kind kind = process_file_kind((struct slice){ target, (size_t)len }, &inode);
    if (kind == FILE_NAMED && is_directory(fd_directory, name)) kind = FILE_DIRECTORY;
    f->counts[kind]++;
    if (inode) keep_socket(f, inode);
}

static int by_inode(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One socket may have many descriptors. */
static void sort_sockets(struct process_files *f)
{
    if (!f->socket_count) return;
    qsort(f->sockets, f->socket_count, sizeof(*f->sockets), by_inode);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < f->socket_count; i++)
        if (f->sockets[i] != f->sockets[kept - 1]) f->sockets[kept++] = f->sockets[i];
    f->socket_count = kept;
}

static void read_directory(struct process_reader *r, DIR *directory, struct process_files *out)
{
    const struct dirent *entry;
    uint32_t seen = 0;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.') continue;
        if (seen++ < PROCESS_FILES_MAX)
            look_at_descriptor(r, out, dirfd(directory), entry->d_name);
        else
            out->total++;
    }
    if (seen > PROCESS_FILES_MAX)
        notes_add(&r->notes, "descriptors by kind: only the first %u are looked at", PROCESS_FILES_MAX);
}

bool process_files_read(struct process_reader *r, struct process_files *out)
{
    *out = (struct process_files){ .sockets = out->sockets, .socket_cap = out->socket_cap };
    int fd = openat(r->directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        process_reader_note(r, "open descriptors", errno);
        if (fd >= 0) close(fd);
        return false;
    }
    read_directory(r, directory, out);
    closedir(directory);
    sort_sockets(out);
    return true;
}
