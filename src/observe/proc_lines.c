#include "observe/proc_lines.h"

#include <errno.h>
#include <unistd.h>

void proc_lines_init(struct proc_lines *l, int fd, char *memory, size_t cap)
{
    *l = (struct proc_lines){ .fd = fd, .memory = memory, .cap = cap };
}

/* Moves what is left to the front and reads behind it. */
static void fill_lines(struct proc_lines *l)
{
    memmove(l->memory, l->memory + l->at, l->len - l->at);
    l->len -= l->at;
    l->at = 0;
    ssize_t n;
    do n = read(l->fd, l->memory + l->len, l->cap - l->len);
    while (n < 0 && errno == EINTR);
    if (n < 0) l->error = errno;
    if (n <= 0) l->is_at_end = true;
    if (n > 0) l->len += (size_t)n;
}

/* What is held up to a newline, the end, or all of a full memory; false: more must be read first. */
static bool take_held(struct proc_lines *l, struct slice *line, bool *is_cut)
{
    size_t held = l->len - l->at;
    const char *begin = l->memory + l->at, *end = memchr(begin, '\n', held);
    *is_cut = !end;
    if (!end && !l->is_at_end && held < l->cap) return false;
    *line = (struct slice){ begin, end ? (size_t)(end - begin) : held };
    l->at += line->len + (end ? 1 : 0);
    return true;
}

bool proc_lines_next(struct proc_lines *l, struct slice *line)
{
    for (;;) {
        bool is_cut;
        if (l->at == l->len && l->is_at_end) return false;
        if (!take_held(l, line, &is_cut)) {
            fill_lines(l);
            continue;
        }
        bool is_rest = l->is_passing_over;
        l->is_passing_over = is_cut && !l->is_at_end;
        if (!is_rest && !(l->error && is_cut)) return true;
    }
}
