#include "observe/vm_area.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)1 << 30)
#define VM_AREAS_MAX 1000000u

/* All of a file of /proc, terminated; NULL with errno. */
static char *read_whole(const char *path, size_t *len)
{
    size_t room = 1 << 16, used = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd < 0 ? NULL : malloc(room);
    while (text) {
        ssize_t n = read(fd, text + used, room - used - 1);
        if (n < 0 && errno == EINTR) continue;
        if (n > 0) used += (size_t)n;
        if (n == 0) break;
        char *grown = NULL;
        if (n > 0 && used < room - 1) continue;
        if (n > 0 && room < TEXT_MAX) grown = realloc(text, room * 2);
        if (!grown) {
            free(text);
            text = NULL;
            break;
        }
        text = grown;
        room *= 2;
    }
    int saved = errno;
    if (fd >= 0) close(fd);
    errno = saved;
    if (text) text[used] = 0;
    *len = used;
    return text;
}

static struct vm_area *add_area(struct vm_areas *m, struct err *err)
{
    if (m->count == m->room) {
        uint32_t room = m->room ? m->room * 2 : 256;
        struct vm_area *grown = m->count < VM_AREAS_MAX ? realloc(m->items, room * sizeof(*grown)) : NULL;
        if (!grown) {
            err_set(err, "there is no room for more than %u mappings", m->count);
            return NULL;
        }
        m->items = grown;
        m->room = room;
    }
    struct vm_area *item = &m->items[m->count++];
    memset(item, 0, sizeof(*item));
    return item;
}

/* "7f00-8000 rw-p 00000000 00:00 0    [stack]"; false: the line is another one. */
static bool parse_head(const char *line, struct vm_area *out)
{
    char flags[5];
    int used = 0;
    struct vm_area m = { 0 };
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &m.start, &m.end, flags, &m.offset,
               &used) < 4 ||
        !used || m.end <= m.start || strlen(flags) != 4)
        return false;
    m.can_read = flags[0] == 'r';
    m.can_write = flags[1] == 'w';
    m.can_execute = flags[2] == 'x';
    m.is_shared = flags[3] == 's';
    snprintf(m.path, sizeof(m.path), "%s", line + used);
    m.is_file = m.path[0] == '/';
    *out = m;
    return true;
}

static void parse_detail(const char *line, struct vm_area *m)
{
    unsigned long long kilobytes;
    if (sscanf(line, "Anonymous: %llu kB", &kilobytes) == 1)
        m->has_own = kilobytes > 0;
    else if (strncmp(line, "VmFlags:", 8) == 0)
        m->is_left_out = strstr(line, " dd") || strstr(line, " io");
}

int vm_areas_parse(struct vm_areas *m, struct slice smaps, struct err *err)
{
    char line[1024];
    while (smaps.len) {
        const char *end = memchr(smaps.data, '\n', smaps.len);
        size_t len = end ? (size_t)(end - smaps.data) : smaps.len;
        size_t cut = len < sizeof(line) - 1 ? len : sizeof(line) - 1;
        struct vm_area found;
        memcpy(line, smaps.data, cut);
        line[cut] = 0;
        smaps.data += len + (end != NULL);
        smaps.len -= len + (end != NULL);
        if (parse_head(line, &found)) {
            struct vm_area *item = add_area(m, err);
            if (!item) return -1;
            *item = found;
        } else if (m->count) {
            parse_detail(line, &m->items[m->count - 1]);
        }
    }
    return 0;
}

int vm_areas_read(struct vm_areas *m, int32_t pid, struct err *err)
{
    char path[64];
    size_t len = 0;
    *m = (struct vm_areas){ 0 };
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    m->maps = read_whole(path, &len);
    snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
    char *smaps = m->maps ? read_whole(path, &len) : NULL;
    int result = smaps ? vm_areas_parse(m, (struct slice){ smaps, len }, err)
                       : err_set(err, "cannot read the mappings of process %d: %s", pid,
                                 errno == ENOENT ? "there is no such process" : strerror(errno));
    free(smaps);
    if (result == 0 && !m->count)
        result = err_set(err, "process %d has no memory: it is a kernel thread, or over", pid);
    if (result < 0) vm_areas_fini(m);
    return result;
}

bool vm_areas_are_current(const struct vm_areas *m, int32_t pid)
{
    char path[64];
    size_t len = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    char *now = read_whole(path, &len);
    bool is_same = now && m->maps && strcmp(now, m->maps) == 0;
    free(now);
    return is_same;
}

void vm_areas_fini(struct vm_areas *m)
{
    free(m->items);
    free(m->maps);
    *m = (struct vm_areas){ 0 };
}
