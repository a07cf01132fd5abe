#include "stack/modules.h"

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

#include "observe/proc_file.h"
#include "observe/proc_text.h"
#include "observe/process_root.h"
#include "stack/image.h"

#define LINE_BYTES (PATH_MAX + 128)
#define VDSO_MAX (64u << 10)

/* "55d0c0-55d0c8 r-xp 00001000 fe:00 1234   /usr/bin/weir (deleted)"; false: not executable, or there is no memory. Without
 * a path, it is of no file. */
static bool parse_line(char *line, struct module *out)
{
    unsigned long long start, limit, offset, inode;
    unsigned int major, minor;
    char flags[8];
    int path_at = 0;
    int found = sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %n", &start, &limit, flags, &offset, &major,
                       &minor, &inode, &path_at);
    if (found != 7 || flags[2] != 'x' || !path_at || start >= limit || start >> 63) return false;
    char *path = line + path_at, *deleted;
    path[strcspn(path, "\n")] = 0;
    bool is_vdso = strcmp(path, "[vdso]") == 0;
    *out = (struct module){ .start = start, .limit = limit, .file_offset = offset, .inode = inode };
    if (*path != '/' && !is_vdso) return true;
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
    char path[64];
    struct stat st;
    int fd = m->pid && m->root < 0 ? -1 : process_root_file(m->pid ? m->root : AT_FDCWD, module->path, &st);
    if (fd >= 0 && st.st_ino == module->inode) return fd;
    if (fd >= 0) close(fd);
    /* It was replaced or deleted: what is mapped may still be had, by whoever may. */
    snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)(m->pid ? m->pid : getpid()),
             (unsigned long long)module->start, (unsigned long long)module->limit);
    fd = process_root_file(AT_FDCWD, path, &st);
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

static int compare_modules(const void *left, const void *right)
{
    const struct module *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

/* Room for one more in an array that doubles. */
static bool grow_modules(void **items, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap) return true;
    uint32_t more = *cap ? 2 * *cap : 64;
    void *grown = realloc(*items, more * size);
    if (!grown) return false;
    *items = grown;
    *cap = more;
    return true;
}

/* The kernel lists them by address. */
static bool add_made(struct modules *m, uint64_t start, uint64_t limit, uint32_t *cap)
{
    struct made_code *last = m->made_count ? &m->made[m->made_count - 1] : NULL;
    if (last && start <= last->limit) {
        if (limit > last->limit) last->limit = limit;
        return true;
    }
    if (m->made_count == MADE_CODE_MAX) return true;
    if (!grow_modules((void **)&m->made, m->made_count, cap, sizeof(*m->made))) return false;
    m->made[m->made_count++] = (struct made_code){ start, limit };
    return true;
}

static int read_lines(struct modules *m, FILE *maps, struct err *err)
{
    char *line = malloc(LINE_BYTES);
    uint32_t cap = 0, made_cap = 0;
    struct module found;
    bool has_memory = line != NULL;
    while (has_memory && m->count < MODULES_MAX && fgets(line, LINE_BYTES, maps)) {
        if (!parse_line(line, &found)) continue;
        if (!found.path) {
            has_memory = add_made(m, found.start, found.limit, &made_cap);
            continue;
        }
        has_memory = grow_modules((void **)&m->items, m->count, &cap, sizeof(*m->items));
        if (has_memory)
            m->items[m->count++] = found;
        else
            free(found.path);
    }
    free(line);
    return has_memory ? 0 : err_set(err, "out of memory");
}

static void look_into_all(struct modules *m)
{
    if (!m->items) return;
    qsort(m->items, m->count, sizeof(*m->items), compare_modules);
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
    struct modules *m = modules_none(0);
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

/* "Uid:	0	1000	0	1000" has the effective one second, "NSpid:	4321	12" the innermost number last. */
static void read_status(struct modules *m, pid_t pid)
{
    char path[64], memory[4096], program[PATH_MAX];
    struct slice text, line;
    uint64_t number;
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    ssize_t len = readlink(path, program, sizeof(program) - 1);
    if (len > 0) m->program = strndup(program, (size_t)len);
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    m->ns_pid = pid;
    if (proc_file_load(AT_FDCWD, path, memory, sizeof(memory), &text)) return;
    while (proc_take_line(&text, &line)) {
        bool is_uid = slice_starts_with(line, SLICE("Uid:")),
             is_pid = slice_starts_with(line, SLICE("NSpid:"));
        if (!is_uid && !is_pid) continue;
        size_t key = is_uid ? 4 : 6;
        line = (struct slice){ line.data + key, line.len - key };
        for (uint32_t i = 0; proc_take_u64(&line, &number); i++) {
            if (is_pid) m->ns_pid = (int32_t)number;
            if (is_uid && i == 1) m->uid = (uint32_t)number;
        }
    }
}

struct modules *modules_none(pid_t pid)
{
    struct modules *m = calloc(1, sizeof(*m));
    if (!m) return NULL;
    m->references = 1;
    m->root = -1;
    m->pid = pid == getpid() ? 0 : pid;
    m->uid = (uint32_t)-1; /* nobody's */
    return m;
}

/* Without what is in the files. */
static int read_maps(struct modules **out, pid_t pid, struct err *err)
{
    char path[64];
    struct modules *m = modules_none(pid);
    if (!m) return err_set(err, "out of memory");
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)(pid ? pid : getpid()));
    FILE *maps = fopen(path, "re");
    if (!maps) {
        free(m);
        return err_set(err, "cannot read %s: %s", path, strerror(errno));
    }
    int result = read_lines(m, maps, err);
    fclose(maps);
    if (result < 0) {
        modules_free(m);
        return -1;
    }
    if (m->count) qsort(m->items, m->count, sizeof(*m->items), compare_modules);
    if (m->pid) m->root = process_root_open(m->pid);
    read_status(m, pid ? pid : getpid());
    *out = m;
    return 0;
}

int modules_read(struct modules **out, pid_t pid, struct err *err)
{
    if (read_maps(out, pid, err) < 0) return -1;
    look_into_all(*out);
    return 0;
}

/* reading again */

bool module_is_same(const struct module *a, const struct module *b)
{
    return a->start == b->start && a->limit == b->limit && a->file_offset == b->file_offset &&
           a->device == b->device && a->inode == b->inode && strcmp(a->path, b->path) == 0;
}

static const struct module *same_in(const struct modules *m, const struct module *module)
{
    const struct module *found = modules_find(m, module->start);
    return found && module_is_same(found, module) ? found : NULL;
}

/* The first that ends above an address. */
static uint32_t first_above(const struct modules *m, uint64_t address)
{
    uint32_t low = 0, high = m->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->items[middle].limit <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t first_made_above(const struct modules *m, uint64_t address)
{
    uint32_t low = 0, high = m->made_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->made[middle].limit <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_made_within(const struct modules *m, uint64_t start, uint64_t limit)
{
    uint32_t at = first_made_above(m, start);
    return at < m->made_count && m->made[at].start < limit;
}

static bool has_module_within(const struct modules *m, uint64_t start, uint64_t limit)
{
    uint32_t at = first_above(m, start);
    return at < m->count && m->items[at].start < limit;
}

static bool is_covered(const struct modules *by, const struct modules *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (!same_in(by, &m->items[i])) return false;
    for (uint32_t i = 0; i < m->made_count && by->made_count < MADE_CODE_MAX; i++) {
        uint32_t at = first_made_above(by, m->made[i].start);
        if (at == by->made_count || by->made[at].start > m->made[i].start ||
            by->made[at].limit < m->made[i].limit)
            return false;
    }
    return true;
}

/* Whether one of these has gone, and the other has something at its place. */
static bool has_given_way(const struct modules *m, const struct modules *to)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct module *gone = &m->items[i];
        if (same_in(to, gone)) continue;
        if (has_module_within(to, gone->start, gone->limit) || has_made_within(to, gone->start, gone->limit))
            return true;
    }
    return false;
}

/* What has gone without being replaced may have been sampled before it went. */
static bool keep_gone(struct modules *m, const struct modules *before)
{
    uint32_t count = m->count, kept = count;
    struct module *items = realloc(m->items, (count + before->count + 1) * sizeof(*items));
    if (!items) return false;
    m->items = items;
    for (uint32_t i = 0; i < before->count && kept < MODULES_MAX; i++) {
        if (same_in(m, &before->items[i])) continue;
        items[kept] = before->items[i];
        items[kept].path = strdup(before->items[i].path);
        if (items[kept].path) kept++;
    }
    m->count = kept;
    qsort(items, kept, sizeof(*items), compare_modules);
    return true;
}

static int compare_made(const void *left, const void *right)
{
    const struct made_code *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static bool keep_made(struct modules *m, const struct modules *before)
{
    uint32_t count = m->made_count + before->made_count, cap = count + 1;
    struct made_code *all = calloc(cap, sizeof(*all)), *of_now = m->made;
    if (!all) return false;
    for (uint32_t i = 0; i < count; i++)
        all[i] = i < m->made_count ? of_now[i] : before->made[i - m->made_count];
    qsort(all, count, sizeof(*all), compare_made);
    free(of_now);
    m->made = all;
    m->made_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct made_code next = all[i]; /* never before where the next is written */
        add_made(m, next.start, next.limit, &cap);
    }
    return true;
}

enum modules_change modules_read_again(struct modules **out, const struct modules *before)
{
    struct modules *now;
    if (read_maps(&now, before->pid, NULL) < 0) return MODULES_SAME;
    bool is_same = is_covered(before, now),
         is_other = has_given_way(before, now) || has_given_way(now, before);
    for (uint32_t i = 0; i < now->count && !is_same; i++) {
        struct module *module = &now->items[i];
        const struct module *known = same_in(before, module);
        if (!known) {
            look_into(now, module);
            continue;
        }
        memcpy(module->build_id, known->build_id, sizeof(module->build_id));
        module->bias = known->bias;
        module->has_bias = known->has_bias;
    }
    if (!is_same && !is_other) is_same = !keep_gone(now, before) || !keep_made(now, before);
    if (is_same) {
        modules_free(now);
        return MODULES_SAME;
    }
    *out = now;
    return is_other ? MODULES_OTHER : MODULES_MORE;
}

struct modules *modules_get(struct modules *m)
{
    atomic_fetch_add(&m->references, 1);
    return m;
}

void modules_free(struct modules *m)
{
    if (!m || atomic_fetch_sub(&m->references, 1) > 1) return;
    for (uint32_t i = 0; i < m->count; i++) free(m->items[i].path);
    free(m->items);
    free(m->made);
    free(m->program);
    if (m->root >= 0) close(m->root);
    free(m);
}

bool modules_have_code(const struct modules *m, uint64_t pc)
{
    return modules_find(m, pc) || has_made_within(m, pc, pc + 1);
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
