#include "observe/process_memory.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "observe/proc_lines.h"
#include "observe/proc_text.h"

#define KIB 1024u
#define COUNT(table) (uint32_t)(sizeof(table) / sizeof(*(table)))
#define LINE(name, member)                               \
    {                                                    \
        name, offsetof(struct mapping_line, member), KIB \
    }
#define TOTAL(name, member)                                \
    {                                                      \
        name, offsetof(struct process_memory, member), KIB \
    }

const char *const memory_kind_names[MEMORY_KIND_COUNT] = {
    [MEMORY_HEAP] = "heap",    [MEMORY_STACK] = "stack",    [MEMORY_ANONYMOUS] = "anonymous",
    [MEMORY_TEXT] = "text",    [MEMORY_DATA] = "file data", [MEMORY_SHARED] = "shared",
    [MEMORY_HUGE] = "hugetlb", [MEMORY_KERNEL] = "kernel",
};

static const struct proc_field total_fields[] = {
    TOTAL("Rss", total.resident_bytes),
    TOTAL("Pss", total.proportional_bytes),
    TOTAL("Private_Dirty", total.private_dirty_bytes),
    TOTAL("Swap", total.swap_bytes),
    TOTAL("AnonHugePages", total.huge_bytes),
    TOTAL("Anonymous", total.anonymous_bytes),
    TOTAL("Pss_Anon", proportional_anonymous_bytes),
    TOTAL("Pss_File", proportional_file_bytes),
    TOTAL("Pss_Shmem", proportional_shared_bytes),
};

/* What one line of smaps tells. */
struct mapping_line {
    struct memory_sums sums;
    uint64_t page_bytes;
};

static const struct proc_field line_fields[] = {
    LINE("Size", sums.mapped_bytes),
    LINE("KernelPageSize", page_bytes),
    LINE("Rss", sums.resident_bytes),
    LINE("Pss", sums.proportional_bytes),
    LINE("Private_Dirty", sums.private_dirty_bytes),
    LINE("Swap", sums.swap_bytes),
    LINE("AnonHugePages", sums.huge_bytes),
    LINE("Anonymous", sums.anonymous_bytes),
    /* Pages of hugetlbfs are in no other sum. */
    LINE("Private_Hugetlb", sums.resident_bytes),
    LINE("Shared_Hugetlb", sums.resident_bytes),
};

static void add_sums(struct memory_sums *to, const struct memory_sums *more)
{
    to->mapped_bytes += more->mapped_bytes;
    to->resident_bytes += more->resident_bytes;
    to->proportional_bytes += more->proportional_bytes;
    to->private_dirty_bytes += more->private_dirty_bytes;
    to->swap_bytes += more->swap_bytes;
    to->huge_bytes += more->huge_bytes;
    to->anonymous_bytes += more->anonymous_bytes;
}

bool process_memory_parse(struct slice text, struct process_memory *out)
{
    memset(out, 0, sizeof(*out));
    return (proc_fields_read(text, total_fields, COUNT(total_fields), out) & 3) == 3;
}

bool process_memory_read(struct process_reader *r, struct process_memory *out)
{
    struct slice text;
    memset(out, 0, sizeof(*out));
    if (!process_reader_text(r, "smaps_rollup", "proportional memory (PSS)", &text)) return false;
    return process_memory_parse(text, out);
}

static enum memory_kind kind_of_name(struct slice name, struct slice access)
{
    if (slice_equal(name, SLICE("[heap]"))) return MEMORY_HEAP;
    if (slice_starts_with(name, SLICE("[stack"))) return MEMORY_STACK;
    if (slice_starts_with(name, SLICE("[anon_shmem:"))) return MEMORY_SHARED;
    if (slice_starts_with(name, SLICE("[anon:"))) return MEMORY_ANONYMOUS;
    if (slice_starts_with(name, SLICE("["))) return MEMORY_KERNEL;
    if (slice_starts_with(name, SLICE("/anon_hugepage"))) return MEMORY_HUGE;
    bool is_shared = access.len >= 4 && access.data[3] == 's';
    if (is_shared) return MEMORY_SHARED;
    if (!name.len) return MEMORY_ANONYMOUS;
    return access.len >= 3 && access.data[2] == 'x' ? MEMORY_TEXT : MEMORY_DATA;
}

/* "55d0-55d1 r-xp 00002000 08:01 123   /usr/bin/cat" begins a mapping. */
static bool parse_head(struct slice line, enum memory_kind *kind)
{
    struct slice rest = line, access, word, name;
    uint64_t start, end;
    if (!proc_take_hex(&rest, &start) || !proc_take_char(&rest, '-') || !proc_take_hex(&rest, &end))
        return false;
    if (!proc_take_word(&rest, &access)) return false;
    for (int i = 0; i < 3; i++)
        if (!proc_take_word(&rest, &word)) return false;
    name = slice_trim(rest);
    *kind = kind_of_name(name, access);
    return true;
}

/* Files of hugetlbfs are known by their pages only, which are told after the size. */
static void become_huge(struct process_mappings *m, struct mapping_place *place)
{
    m->kinds[place->kind].mapping_count--;
    m->kinds[place->kind].mapped_bytes -= place->mapped_bytes;
    m->kinds[MEMORY_HUGE].mapping_count++;
    m->kinds[MEMORY_HUGE].mapped_bytes += place->mapped_bytes;
    place->kind = MEMORY_HUGE;
}

static void read_page_size(struct process_mappings *m, uint64_t page_bytes, struct mapping_place *place)
{
    bool is_huge = page_bytes > place->page_bytes && place->kind != MEMORY_HUGE;
    if (is_huge && m->kinds[place->kind].mapping_count) become_huge(m, place);
}

void process_mappings_line(struct process_mappings *m, struct slice line, struct mapping_place *place)
{
    struct mapping_line one = { 0 };
    if (parse_head(line, &place->kind)) {
        m->kinds[place->kind].mapping_count++;
        place->mapped_bytes = 0;
        return;
    }
    uint32_t row = proc_field_read(line, line_fields, COUNT(line_fields), &one);
    if (row == COUNT(line_fields)) return;
    if (one.page_bytes) read_page_size(m, one.page_bytes, place);
    place->mapped_bytes += one.sums.mapped_bytes;
    add_sums(&m->kinds[place->kind], &one.sums);
}

bool process_mappings_read(struct process_reader *r, struct process_mappings *out)
{
    static const char what[] = "memory by kind of mapping";
    struct proc_lines lines;
    struct slice line;
    struct mapping_place place = { .kind = MEMORY_ANONYMOUS, .page_bytes = r->page_bytes };
    memset(out, 0, sizeof(*out));
    int fd = process_reader_open_file(r, "smaps", what);
    if (fd < 0) return false;
    proc_lines_init(&lines, fd, r->scratch, PROCESS_SCRATCH);
    while (proc_lines_next(&lines, &line)) process_mappings_line(out, line, &place);
    close(fd);
    if (lines.error) process_reader_note(r, what, lines.error);
    return !lines.error;
}
