#include "base/memory_view.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIPE_BYTES 4096u /* what an empty pipe takes without blocking */
#define PAGE_BYTES 4096u

/* Where process_vm_readv() is forbidden (seccomp), a pipe tells as well whether memory can be read: write() fails with
 * EFAULT where a plain load would end the process. */
static bool read_through_pipe(uint64_t address, char *out, size_t len)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return false;
    bool is_read = true;
    while (len && is_read) {
        size_t part = len < PIPE_BYTES ? len : PIPE_BYTES;
        is_read = write(ends[1], (const void *)(uintptr_t)address, part) == (ssize_t)part &&
                  read(ends[0], out, part) == (ssize_t)part;
        address += part;
        out += part;
        len -= part;
    }
    close(ends[0]);
    close(ends[1]);
    return is_read;
}

static bool read_process(pid_t pid, uint64_t address, void *out, size_t len)
{
    struct iovec here = { out, len }, there = { (void *)(uintptr_t)address, len };
    return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

static bool read_self(const void *context, uint64_t address, void *out, size_t len)
{
    (void)context;
    int saved = errno;
    bool is_read = read_process(getpid(), address, out, len);
    if (!is_read && (errno == ENOSYS || errno == EPERM)) is_read = read_through_pipe(address, out, len);
    errno = saved;
    return is_read;
}

static bool read_other(const void *context, uint64_t address, void *out, size_t len)
{
    return read_process(*(const int32_t *)context, address, out, len);
}

struct memory_view memory_of_self(void)
{
    return (struct memory_view){ .read = read_self };
}

struct memory_view memory_of_process(const int32_t *pid)
{
    return (struct memory_view){ .read = read_other, .context = pid };
}

/* Page by page: a text may end right before memory that cannot be read. */
bool memory_read_text(const struct memory_view *m, uint64_t address, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '?';
    out[1] = 0;
    while (len < size - 1) {
        size_t part = PAGE_BYTES - (address + len) % PAGE_BYTES;
        if (part > size - 1 - len) part = size - 1 - len;
        if (!memory_read(m, address + len, out + len, part)) {
            out[0] = '?';
            out[1] = 0;
            return false;
        }
        for (size_t end = len + part; len < end; len++) {
            if (!out[len]) return true;
            if (out[len] < ' ' || out[len] > '~') out[len] = '?';
        }
    }
    out[len] = 0;
    return true;
}
