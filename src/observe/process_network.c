#include "observe/process_network.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/proc_lines.h"
#include "observe/proc_text.h"

#define FIGURES 12u

static void add_figures(struct network_sums *s, const uint64_t f[FIGURES])
{
    s->receive_bytes += f[0];
    s->receive_packets += f[1];
    s->receive_errors += f[2];
    s->receive_drops += f[3];
    s->send_bytes += f[8];
    s->send_packets += f[9];
    s->send_errors += f[10];
    s->send_drops += f[11];
}

bool process_network_line(struct slice line, struct process_network *out)
{
    const char *colon = line.len ? memrchr(line.data, ':', line.len) : NULL; /* names may hold colons */
    uint64_t figures[FIGURES];
    if (!colon) return false;
    struct slice name = slice_trim((struct slice){ line.data, (size_t)(colon - line.data) });
    struct slice rest = { colon + 1, (size_t)(line.data + line.len - colon - 1) };
    for (uint32_t i = 0; i < FIGURES; i++)
        if (!proc_take_u64(&rest, &figures[i])) return false;
    add_figures(slice_equal(name, SLICE("lo")) ? &out->loopback : &out->outside, figures);
    out->interface_count++;
    return true;
}

static bool is_same_namespace(const struct process_reader *r)
{
    struct stat theirs, ours;
    if (!r->is_live || fstatat(r->directory, "ns/net", &theirs, 0) < 0) return true;
    return stat("/proc/self/ns/net", &ours) == 0 && theirs.st_ino == ours.st_ino &&
           theirs.st_dev == ours.st_dev;
}

bool process_network_read(struct process_reader *r, struct process_network *out)
{
    static const char what[] = "bytes of the network namespace";
    struct proc_lines lines;
    struct slice line;
    memset(out, 0, sizeof(*out));
    int fd = process_reader_open_file(r, "net/dev", what);
    if (fd < 0) return false;
    proc_lines_init(&lines, fd, r->scratch, PROCESS_SCRATCH);
    while (proc_lines_next(&lines, &line)) process_network_line(line, out);
    close(fd);
    if (lines.error) process_reader_note(r, what, lines.error);
    out->is_shared = is_same_namespace(r);
    return !lines.error;
}
