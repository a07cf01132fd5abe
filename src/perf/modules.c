#include "perf/modules.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "perf/image.h"

#define LINE_BYTES (PATH_MAX + 128)
#define VDSO_MAX (64u << 10)

/* "55d0c0-55d0c8 r-xp 00001000 fe:00 1234   /usr/bin/weir (deleted)"; false: not executable, or of no file. */
static bool parse_line(char *line, struct module *out)
{
    unsigned long long start, limit, offset, inode;
    unsigned int major, minor;
    char flags[8];
    int path_at = 0;
    int found = sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %n", &start, &limit, flags, &offset, &major,
                       &minor, &inode, &path_at);
    if (found != 7 || flags[2] != 'x' || !path_at || !line[path_at]) return false;
    char *path = line + path_at, *deleted;
    path[strcspn(path, "\n")] = 0;
    bool is_vdso = strcmp(path, "[vdso]") == 0;
    if (*path != '/' && !is_vdso) return false;
    *out = (struct module){ .start = start, .limit = limit, .file_offset = offset, .inode = inode };
    out->device = makedev(major, minor);
    deleted = strstr(path, " (deleted)");
    out->is_deleted = deleted && !deleted[10];
    if (out->is_deleted) *deleted = 0;
    out->path = strdup(path);
    return out->path != NULL;
}

static int read_vdso(const struct modules *m, const struct module *v, void **memory, size_t *size,
                     struct err *err)
{
    *size = v->limit - v->start;
    *memory = *size <= VDSO_MAX ? malloc(*size) : NULL;
    if (!*memory) return err_set(err, "out of memory for the vDSO");
    struct iovec to = { *memory, *size }, from = { (void *)(uintptr_t)v->start, *size };
    if (process_vm_readv(m->pid ? m->pid : getpid(), &to, 1, &from, 1, 0) == (ssize_t)*size) return 0;
    free(*memory);
    *memory = NULL;
    return err_set(err, "cannot read the vDSO: %s", strerror(errno));
}

static int open_file(const struct modules *m, const struct module *module, struct err *err)
{
    char path[PATH_MAX + 64];
    struct stat st;
    if (m->pid)
        snprintf(path, sizeof(path), "/proc/%d/root%s", (int)m->pid, module->path);
    else
        snprintf(path, sizeof(path), "%s", module->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == module->inode) return fd;
    if (fd >= 0) close(fd);
    /* It was replaced or deleted: what is mapped may still be had, by whoever may. */
    snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)(m->pid ? m->pid : getpid()),
             (unsigned long long)module->start, (unsigned long long)module->limit);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) return fd;
    err_set(err, "%s was deleted or replaced since it was mapped; restart the program to see its names",
            module->path);
    return -1;
}

int module_open(const struct modules *m, const struct module *module, struct elf_image *image, void **memory,
                struct err *err)
{
    size_t size = 0;
    *memory = NULL;
    if (*module->path == '[') {
        if (read_vdso(m, module, memory, &size, err) < 0) return -1;
        if (elf_open_memory(image, *memory, size, err) == 0) return 0;
        free(*memory);
        *memory = NULL;
        return -1;
    }
    int fd = open_file(m, module, err);
    if (fd < 0) return -1;
    return elf_open_fd(image, fd, err) < 0 ? err_prefix(err, "%s", module->path) : 0;
}

static void look_into(struct modules *m, struct module *module)
{
    struct elf_image image;
    void *memory = NULL;
    uint64_t address = 0;
    if (module_open(m, module, &image, &memory, NULL) < 0) return;
    if (elf_address_of(&image, module->file_offset, &address)) {
        module->bias = module->start - address;
        module->has_bias = true;
    }
    elf_build_id(&image, module->build_id);
    elf_close(&image);
    free(memory);
}

static int compare(const void *left, const void *right)
{
    const struct module *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static int read_maps(struct modules *m, FILE *maps, struct err *err)
{
    char *line = malloc(LINE_BYTES);
    uint32_t cap = 0;
    struct module found;
    int result = 0;
    if (!line) return err_set(err, "out of memory");
    while (result == 0 && m->count < MODULES_MAX && fgets(line, LINE_BYTES, maps)) {
        if (!parse_line(line, &found)) continue;
        if (m->count == cap) {
            cap = cap ? 2 * cap : 64;
            struct module *items = realloc(m->items, cap * sizeof(*items));
            if (!items) {
                free(found.path);
                result = err_set(err, "out of memory");
                break;
            }
            m->items = items;
        }
        m->items[m->count++] = found;
    }
    free(line);
    return result;
}

static void look_into_all(struct modules *m)
{
    if (!m->items) return;
    qsort(m->items, m->count, sizeof(*m->items), compare);
    for (uint32_t i = 0; i < m->count; i++) look_into(m, &m->items[i]);
}

/* False: no file of that name, or another one than was mapped. */
static bool find_file(const struct image_file *f, time_t died, struct module *out)
{
    struct stat st;
    if (*f->path != '/' || stat(f->path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_mtime > died) return false;
    *out =
        (struct module){ .start = f->start, .limit = f->end, .file_offset = f->offset, .inode = st.st_ino };
    out->path = strdup(f->path);
    return out->path != NULL;
}

int modules_of_image(struct modules **out, const struct image *image, struct err *err)
{
    struct stat core;
    struct modules *m = calloc(1, sizeof(*m));
    if (m) m->items = calloc(image->file_count + 1, sizeof(*m->items));
    if (!m || !m->items || fstat(image->fd, &core) < 0) {
        modules_free(m);
        return err_set(err, "out of memory");
    }
    for (uint32_t i = 0; i < image->file_count && m->count < MODULES_MAX; i++) {
        const struct image_segment *s = image_segment_of(image, image->files[i].start);
        if (s && s->flags & PF_X && find_file(&image->files[i], core.st_mtime, &m->items[m->count]))
            m->count++;
    }
    look_into_all(m);
    *out = m;
    return 0;
}

int modules_read(struct modules **out, pid_t pid, struct err *err)
{
    char path[64];
    struct modules *m = calloc(1, sizeof(*m));
    if (!m) return err_set(err, "out of memory");
    m->pid = pid == getpid() ? 0 : pid;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)(pid ? pid : getpid()));
    FILE *maps = fopen(path, "re");
    if (!maps) {
        free(m);
        return err_set(err, "cannot read %s: %s", path, strerror(errno));
    }
    int result = read_maps(m, maps, err);
    fclose(maps);
    if (result < 0) {
        modules_free(m);
        return -1;
    }
    look_into_all(m);
    *out = m;
    return 0;
}

void modules_free(struct modules *m)
{
    if (!m) return;
    for (uint32_t i = 0; i < m->count; i++) free(m->items[i].path);
    free(m->items);
    free(m);
}

const struct module *modules_find(const struct modules *m, uint64_t pc)
{
    uint32_t low = 0, count = m->count;
    while (count) {
        uint32_t half = count / 2;
        const struct module *at = &m->items[low + half];
        if (pc < at->start) {
            count = half;
        } else if (pc < at->limit) {
            return at;
        } else {
            low += half + 1;
            count -= half + 1;
        }
    }
    return NULL;
}
