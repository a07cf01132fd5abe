#include "observe/process_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "observe/proc_file.h"
#include "observe/process_stat.h"

bool process_reader_is_there(const struct process_reader *r)
{
    return faccessat(r->directory, "stat", F_OK, 0) == 0;
}

void process_reader_note(struct process_reader *r, const char *what, int error)
{
    if (error == ESRCH || !process_reader_is_there(r)) return; /* said by process_reader_check() */
    if (error == EACCES || error == EPERM)
        notes_add(&r->notes, "%s: not permitted; run as root or as the user of process %d", what,
                  r->identity.pid);
    else if (error == ENOENT)
        notes_add(&r->notes, "%s: this kernel does not tell", what);
    else
        notes_add(&r->notes, "%s: %s", what, strerror(error));
}

bool process_reader_text(struct process_reader *r, const char *path, const char *what, struct slice *out)
{
    int error = proc_file_load(r->directory, path, r->scratch, PROCESS_SCRATCH, out);
    if (!error) return true;
    process_reader_note(r, what, error);
    return false;
}

int process_reader_open_file(struct process_reader *r, const char *path, const char *what)
{
    int fd = openat(r->directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) process_reader_note(r, what, errno);
    return fd;
}

/* When the process that has the number now began. */
static bool find_start(const struct process_reader *r, uint64_t *start_ticks)
{
    char path[PROCESS_PATH_MAX + 32], memory[4096];
    struct process_stat stat;
    struct slice text;
    snprintf(path, sizeof(path), "%s/%d/stat", r->root, r->identity.pid);
    if (proc_file_load(AT_FDCWD, path, memory, sizeof(memory), &text)) return false;
    if (!process_stat_parse(text, &stat)) return false;
    *start_ticks = stat.start_ticks;
    return true;
}

int process_reader_check(struct process_reader *r, struct err *err)
{
    uint64_t start_ticks;
    if (!find_start(r, &start_ticks)) return err_set(err, "process %d has ended", r->identity.pid);
    if (start_ticks == r->identity.start_ticks) return 0;
    return err_set(err, "process %d has ended; another process has its number now", r->identity.pid);
}

static int read_identity(struct process_reader *r, struct err *err)
{
    struct process_stat stat;
    struct slice text;
    int error = proc_file_load(r->directory, "stat", r->scratch, PROCESS_SCRATCH, &text);
    if (error) return err_set(err, "%s/%d/stat: %s", r->root, r->identity.pid, strerror(error));
    if (!process_stat_parse(text, &stat))
        return err_set(err, "%s/%d/stat is not what proc(5) says it is", r->root, r->identity.pid);
    r->identity.start_ticks = stat.start_ticks;
    return 0;
}

static void read_exe(struct process_reader *r)
{
    ssize_t len = readlinkat(r->directory, "exe", r->exe, sizeof(r->exe) - 1);
    if (len < 0 && (errno == EACCES || errno == EPERM)) process_reader_note(r, "path of the program", errno);
    r->exe[len > 0 ? len : 0] = 0;
}

static int open_directory(struct process_reader *r, struct err *err)
{
    char path[PROCESS_PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/%d", r->root, r->identity.pid);
    r->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->directory >= 0) return 0;
    if (errno == ENOENT)
        return err_set(err, "there is no process %d, or %s hides it (hidepid)", r->identity.pid, r->root);
    return err_set(err, "%s: %s", path, strerror(errno));
}

int process_reader_open(struct process_reader *r, int32_t pid, const char *proc_root, struct err *err)
{
    memset(r, 0, sizeof(*r));
    r->identity.pid = pid;
    r->is_live = !proc_root || strcmp(proc_root, "/proc") == 0;
    r->ns_per_tick = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
    r->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    snprintf(r->root, sizeof(r->root), "%s", proc_root ? proc_root : "/proc");
    if (open_directory(r, err) < 0) return -1;
    r->scratch = malloc(PROCESS_SCRATCH);
    if (!r->scratch) {
        err_set(err, "out of memory");
        goto close_directory;
    }
    if (read_identity(r, err) < 0) goto free_scratch;
    read_exe(r);
    return 0;
free_scratch:
    free(r->scratch);
close_directory:
    close(r->directory);
    return -1;
}

void process_reader_close(struct process_reader *r)
{
    free(r->scratch);
    free(r->earlier);
    close(r->directory);
    r->scratch = NULL;
    r->earlier = NULL;
    r->earlier_count = 0;
    r->directory = -1;
}
