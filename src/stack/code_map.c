#include "stack/code_map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe/proc_text.h"
#include "observe/process_root.h"

#define NAME_MAX_BYTES 1024u

struct entry {
    uint64_t start, limit;
    uint32_t line; /* the later one counts */
    uint32_t name_at, name_len;
};

struct code_map {
    char *text;
    struct entry *entries; /* by start; none lies over another */
    uint32_t count;
};

void code_map_free(struct code_map *c)
{
    if (!c) return;
    free(c->text);
    free(c->entries);
    free(c);
}

/* parsing */

static bool parse_line(const struct code_map *c, struct slice line, struct entry *out)
{
    uint64_t size;
    if (!proc_take_hex(&line, &out->start) || !proc_take_hex(&line, &size) || !size) return false;
    if (!proc_take_char(&line, ' ') || !line.len || size > UINT64_MAX - out->start) return false;
    out->limit = out->start + size;
    out->name_at = (uint32_t)(line.data - c->text);
    out->name_len = (uint32_t)(line.len < NAME_MAX_BYTES ? line.len : NAME_MAX_BYTES);
    for (uint32_t i = 0; i < out->name_len; i++) {
        unsigned char byte = (unsigned char)c->text[out->name_at + i];
        if (byte < ' ' || byte == 127) c->text[out->name_at + i] = '?';
    }
    return true;
}

static int by_start(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->start != b->start) return a->start < b->start ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

/* Of two that lie over each other the later is whole, and the earlier keeps what is before it, or behind it. */
static void lay_out(struct code_map *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        struct entry e = c->entries[i];
        while (kept && c->entries[kept - 1].limit > e.start && c->entries[kept - 1].line < e.line) {
            struct entry *under = &c->entries[kept - 1];
            under->limit = e.start;
            if (under->limit > under->start) break;
            kept--;
        }
        if (kept && c->entries[kept - 1].limit > e.start) e.start = c->entries[kept - 1].limit;
        if (e.start < e.limit) c->entries[kept++] = e;
    }
    c->count = kept;
}

static uint32_t count_lines(const char *text, size_t len)
{
    uint32_t count = 0;
    const char *end = text + len;
    for (const char *at = text; (at = memchr(at, '\n', (size_t)(end - at))); at++) count++;
    return count;
}

int code_map_parse(struct code_map **out, char *text, size_t len, struct err *err)
{
    struct code_map *c = calloc(1, sizeof(*c));
    uint32_t lines = count_lines(text, len),
             skipped = lines > CODE_MAP_ENTRIES_MAX ? lines - CODE_MAP_ENTRIES_MAX : 0;
    if (c) c->entries = malloc((lines - skipped + 1) * sizeof(*c->entries));
    if (!c || !c->entries) {
        free(text);
        free(c);
        return err_set(err, "out of memory for names");
    }
    c->text = text;
    char *at = text, *end;
    /* A last line without its end is being written. */
    for (uint32_t line = 0; (end = memchr(at, '\n', len - (size_t)(at - text))); line++, at = end + 1) {
        struct entry e = { .line = line };
        if (line >= skipped && parse_line(c, (struct slice){ at, (size_t)(end - at) }, &e))
            c->entries[c->count++] = e;
    }
    qsort(c->entries, c->count, sizeof(*c->entries), by_start);
    lay_out(c);
    *out = c;
    return 0;
}

struct slice code_map_find(const struct code_map *c, uint64_t address)
{
    uint32_t low = 0, high = c->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->entries[middle].limit <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct entry *e = &c->entries[low];
    if (low == c->count || address < e->start) return SLICE_NONE;
    return (struct slice){ c->text + e->name_at, e->name_len };
}

/* reading */

/* Its end, from the beginning of a line on. */
static char *load_map(int fd, uint64_t size, size_t *len)
{
    uint64_t at = size > CODE_MAP_BYTES_MAX ? size - CODE_MAP_BYTES_MAX : 0;
    size_t cap = (size_t)(size - at), got = 0;
    char *text = malloc(cap + 1);
    while (text && got < cap) {
        ssize_t n = pread(fd, text + got, cap - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break; /* it was cut meanwhile */
        got += (size_t)n;
    }
    if (text && at) {
        const char *line = memchr(text, '\n', got);
        size_t cut = line ? (size_t)(line + 1 - text) : got;
        memmove(text, text + cut, got -= cut);
    }
    *len = got;
    return text;
}

int code_map_read(struct code_map **out, const struct modules *m, struct err *err)
{
    char path[64];
    struct stat st;
    size_t len = 0;
    if (!m->pid || m->root < 0) return err_set(err, "its files are not to be had");
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)m->ns_pid);
    int fd = process_root_file(m->root, path, &st);
    if (fd < 0)
        return err_set(err, "%s: %s", path, errno == ENXIO ? "it is no regular file" : strerror(errno));
    /* A name more may be another file's, put here by whoever may not read it. */
    if ((st.st_uid != m->uid && st.st_uid != 0) || st.st_nlink != 1) {
        close(fd);
        return err_set(err, "%s is not taken: it belongs to user %u, not to the process's", path, st.st_uid);
    }
    char *text = load_map(fd, (uint64_t)st.st_size, &len);
    close(fd);
    return text ? code_map_parse(out, text, len, err) : err_set(err, "out of memory for names");
}
