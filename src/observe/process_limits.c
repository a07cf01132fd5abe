#include "observe/process_limits.h"

#include <stddef.h>
#include <string.h>

#include "observe/proc_text.h"

static const struct {
    const char *name;
    size_t offset;
} rows[] = {
    { "Max open files", offsetof(struct process_limits, files) },
    { "Max processes", offsetof(struct process_limits, processes) },
    { "Max core file size", offsetof(struct process_limits, core_bytes) },
    { "Max address space", offsetof(struct process_limits, address_space_bytes) },
    { "Max locked memory", offsetof(struct process_limits, locked_bytes) },
    { "Max stack size", offsetof(struct process_limits, stack_bytes) },
};

#define ROW_COUNT (sizeof(rows) / sizeof(*rows))

static bool take_limit(struct slice *rest, uint64_t *out)
{
    struct slice word;
    if (proc_take_u64(rest, out)) return true;
    *out = PROCESS_UNLIMITED;
    return proc_take_word(rest, &word) && slice_equal(word, SLICE("unlimited"));
}

/* The row of this line, or ROW_COUNT. */
static size_t find_row(struct slice line)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (slice_starts_with(line, slice_of(rows[i].name))) return i;
    return ROW_COUNT;
}

bool process_limits_parse(struct slice text, struct process_limits *out)
{
    struct slice rest = text, line;
    uint32_t found = 0;
    memset(out, 0, sizeof(*out));
    while (proc_take_line(&rest, &line)) {
        size_t row = find_row(line);
        if (row == ROW_COUNT) continue;
        size_t name_len = strlen(rows[row].name);
        struct slice figures = { line.data + name_len, line.len - name_len };
        struct process_limit limit;
        if (!take_limit(&figures, &limit.soft) || !take_limit(&figures, &limit.hard)) return false;
        memcpy((char *)out + rows[row].offset, &limit, sizeof(limit));
        found |= 1u << row;
    }
    return found == (1u << ROW_COUNT) - 1;
}
